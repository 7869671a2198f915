"""Callers' input, checked once."""
