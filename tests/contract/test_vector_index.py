"""Contract tests of the vector indexes of all stores, and of pgvector."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from attrs import evolve

from remembrancer.adapters.stores.memory.vector_index import InMemoryVectorIndex
from remembrancer.adapters.stores.postgres.database import Database as PostgresDatabase
from remembrancer.adapters.stores.postgres.sessions import Sessions
from remembrancer.adapters.stores.postgres.settings import PostgresSettings
from remembrancer.adapters.stores.postgres.vector_index import PostgresVectorIndex
from remembrancer.adapters.stores.sqlite.database import Database, SqliteSettings
from remembrancer.adapters.stores.sqlite.vector_index import Sizes, SqliteVectorIndex
from remembrancer.adapters.vector_index.pgvector import PgvectorIndex, PgvectorSettings
from remembrancer.application.inline import run_inline
from remembrancer.domain.ports.vector_index import IndexQuery
from remembrancer.testing.driving import Driven
from remembrancer.testing.external_index import ExternalIndexContract
from remembrancer.testing.vector_index import (
    DIMENSION,
    NOON,
    VectorIndexContract,
    document,
    vector,
)


def sqlite_index(path: str, sizes: Sizes) -> SqliteVectorIndex:
    database = Database(SqliteSettings(path=path), [])
    index = SqliteVectorIndex(database, model="m", dimension=DIMENSION, sizes=sizes)
    with database.transaction() as connection:
        index.create(connection)
    return index


class TestInMemoryVectorIndex(ExternalIndexContract):
    closes = False

    def make_index(self, tmp_path: Path) -> InMemoryVectorIndex:
        return InMemoryVectorIndex()


class TestSqliteVectorIndex(VectorIndexContract):
    def make_index(self, tmp_path: Path) -> SqliteVectorIndex:
        return sqlite_index(str(tmp_path / "index.db"), Sizes())


class TestSqliteVectorIndexInMemory(VectorIndexContract):
    def make_index(self, tmp_path: Path) -> SqliteVectorIndex:
        return sqlite_index(":memory:", Sizes())


class TestSqliteVectorIndexInSegments(VectorIndexContract):
    """Segments, as for large ledgers, with sizes at which the results are still exact."""

    def make_index(self, tmp_path: Path) -> SqliteVectorIndex:
        return sqlite_index(str(tmp_path / "index.db"), Sizes(first=3, tail=2, segment=6, cache=1))

    def test_document_nearly_opposite_to_the_query_is_found(self) -> None:
        # Its code differs in 255 of 256 bits: that distance was the mark of a hidden document
        index = self.index
        ends = [(1, 2), (2, 1), (3, 3), (0, 1), (0, -2), (3, -1)]
        documents = [
            document(f"end {number}", vector=vector(*end)) for number, end in enumerate(ends)
        ]
        for each in documents:
            index.put([each])
        index.compact()
        query = IndexQuery(scope=documents[0].scope, vector=vector(2, 3), now=NOON, limit=10)
        assert {hit.key for hit in index.search(query)} == {each.key for each in documents}


@pytest.mark.parametrize(
    ("blocking", "pgvector"),
    [(True, True), (False, True), (True, False)],
    ids=["blocking", "suspending", "without-pgvector"],
)
class TestPostgresVectorIndex(VectorIndexContract):
    @pytest.fixture(autouse=True)
    def _database(
        self, postgres: PostgresSettings, blocking: bool, pgvector: bool
    ) -> Iterator[None]:
        self.database = PostgresDatabase(postgres, [], blocking=blocking)
        self.pgvector = pgvector
        yield
        self.database.close()

    def make_index(self, tmp_path: Path) -> PostgresVectorIndex:
        def index(sessions: Sessions) -> PostgresVectorIndex:
            return PostgresVectorIndex(
                sessions, model="m", dimension=DIMENSION, pgvector=self.pgvector
            )

        async def create() -> None:
            async with self.database.opening.transaction() as connection:
                await index(self.database.opening).create(connection)

        run_inline(create())
        return index(self.database.sessions)


class TestPgvectorIndex(ExternalIndexContract):
    @pytest.fixture(autouse=True)
    def _index(self, postgres: PostgresSettings, tmp_path: Path) -> Iterator[None]:
        self.dsn, self.schema = postgres.dsn, postgres.schema
        self.made: list[PgvectorIndex] = []
        self.index = Driven(self.make_index(tmp_path))
        yield
        for each in self.made:
            each.close()

    def make_index(self, tmp_path: Path, **changes: str) -> PgvectorIndex:
        settings = PgvectorSettings(dsn=self.dsn, schema=self.schema)
        self.made.append(PgvectorIndex(evolve(settings, **changes), "m", DIMENSION))
        return self.made[-1]

    def make_worker(self, tmp_path: Path) -> PgvectorIndex:
        return self.make_index(tmp_path)

    def make_neighbour(self, tmp_path: Path) -> PgvectorIndex:
        return self.make_index(tmp_path, table="neighbour")
