"""What drives the package from outside; it imports the public face alone."""
