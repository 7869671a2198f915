"""Adapters of the port ``VectorIndex`` outside of the store: served engines and pgvector."""
