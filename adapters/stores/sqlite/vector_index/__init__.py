"""The index inside a SQLite file: rows are the truth, numpy arrays answer the queries."""

from remembrancer.adapters.stores.sqlite.vector_index.index import SqliteVectorIndex
from remembrancer.adapters.stores.sqlite.vector_index.sizes import Sizes

__all__ = ["Sizes", "SqliteVectorIndex"]
