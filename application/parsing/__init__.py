"""Validation of callers' input, done once."""
