"""The SQLite store: audit log, read models, projection state and vector index in one file."""
