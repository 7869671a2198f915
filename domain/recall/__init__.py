"""Recall as pure functions: query analysis, index documents and ranking."""
