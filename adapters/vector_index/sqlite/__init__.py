"""The index inside a SQLite file: rows are the truth, numpy arrays answer the queries."""

from remembrancer.adapters.vector_index.sqlite.index import SqliteVectorIndex
from remembrancer.adapters.vector_index.sqlite.sizes import Sizes

__all__ = ["Sizes", "SqliteVectorIndex"]
