"""The store on PostgreSQL: audit log, read models, projection state and vector index."""
