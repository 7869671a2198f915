"""Indexes over facts, by meaning and by words."""
