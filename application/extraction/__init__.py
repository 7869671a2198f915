"""Extraction of candidate facts from messages: by rules, or by a language model."""
