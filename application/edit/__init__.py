"""Changes that a caller asks for by name."""
