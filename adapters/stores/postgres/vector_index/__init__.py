"""Vector and keyword index on PostgreSQL, with pgvector if it is available."""

from remembrancer.adapters.stores.postgres.vector_index.index import PostgresVectorIndex

__all__ = ["PostgresVectorIndex"]
