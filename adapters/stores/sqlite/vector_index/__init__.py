"""A hybrid index (vectors and BM25) in a SQLite file, searched with numpy on cached arrays."""

from remembrancer.adapters.stores.sqlite.vector_index.index import SqliteVectorIndex
from remembrancer.adapters.stores.sqlite.vector_index.sizes import Sizes

__all__ = ["Sizes", "SqliteVectorIndex"]
