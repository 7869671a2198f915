"""Models: of language, of embeddings, of relevance."""
