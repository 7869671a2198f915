"""All vector indexes keep the contract."""

from __future__ import annotations

from pathlib import Path

from memledger.adapters.sqlite.database import Database, SqliteSettings
from memledger.adapters.vector_index.memory import InMemoryVectorIndex
from memledger.adapters.vector_index.sqlite import Sizes, SqliteVectorIndex
from memledger.testing.vector_index import DIMENSION, VectorIndexContract


def sqlite_index(path: str, sizes: Sizes) -> SqliteVectorIndex:
    database = Database(SqliteSettings(path=path), [])
    index = SqliteVectorIndex(database, model="m", dimension=DIMENSION, sizes=sizes)
    with database.transaction() as connection:
        index.create(connection)
    return index


class TestInMemoryVectorIndex(VectorIndexContract):
    def make_index(self, tmp_path: Path) -> InMemoryVectorIndex:
        return InMemoryVectorIndex()


class TestSqliteVectorIndex(VectorIndexContract):
    def make_index(self, tmp_path: Path) -> SqliteVectorIndex:
        return sqlite_index(str(tmp_path / "index.db"), Sizes())


class TestSqliteVectorIndexInMemory(VectorIndexContract):
    def make_index(self, tmp_path: Path) -> SqliteVectorIndex:
        return sqlite_index(":memory:", Sizes())


class TestSqliteVectorIndexInSegments(VectorIndexContract):
    """The way of large ledgers, at a size where its results have to be exact."""

    def make_index(self, tmp_path: Path) -> SqliteVectorIndex:
        return sqlite_index(str(tmp_path / "index.db"), Sizes(first=3, tail=2, segment=6, cache=1))
