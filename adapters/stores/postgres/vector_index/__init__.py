"""Vectors and keywords in a PostgreSQL database, with pgvector where it can be had."""

from remembrancer.adapters.stores.postgres.vector_index.index import PostgresVectorIndex

__all__ = ["PostgresVectorIndex"]
