"""Facts that a caller states as subject, predicate and value."""
