"""Prompts to language models: prompt files, delimiters, and the record of each call."""
