"""Adapters over litellm: language model, embedder, reranker, and their shared code."""
