"""The index inside a SQLite file: rows are the truth, numpy arrays answer the queries."""

from memledger.adapters.vector_index.sqlite.index import SqliteVectorIndex
from memledger.adapters.vector_index.sqlite.sizes import Sizes

__all__ = ["Sizes", "SqliteVectorIndex"]
