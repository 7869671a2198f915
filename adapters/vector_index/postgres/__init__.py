"""Vectors and keywords in a PostgreSQL database, with pgvector where it can be had."""

from remembrancer.adapters.vector_index.postgres.index import PostgresVectorIndex

__all__ = ["PostgresVectorIndex"]
