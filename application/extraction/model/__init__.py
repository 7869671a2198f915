"""Extraction by a language model: chunking, prompting, and checks of an untrusted answer."""
