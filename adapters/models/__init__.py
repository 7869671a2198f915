"""Adapters for language models, embedders and rerankers."""
