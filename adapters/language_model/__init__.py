"""Asking language models: one technology a module, and what they share."""
