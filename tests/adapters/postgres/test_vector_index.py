"""Contract tests of the vector index in PostgreSQL, and of pgvector as an engine apart."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from attrs import evolve

from remembrancer.adapters.stores.postgres.database import Database
from remembrancer.adapters.stores.postgres.sessions import Sessions
from remembrancer.adapters.stores.postgres.settings import PostgresSettings
from remembrancer.adapters.stores.postgres.vector_index import PostgresVectorIndex
from remembrancer.adapters.vector_index.pgvector import PgvectorIndex, PgvectorSettings
from remembrancer.application.inline import run_inline
from remembrancer.testing.driving import Driven
from remembrancer.testing.external_index import ExternalIndexContract
from remembrancer.testing.vector_index import DIMENSION, VectorIndexContract
from tests.engines.postgres_schemas import SharedSchemas


@pytest.mark.parametrize(
    ("blocking", "pgvector"),
    [(True, True), (False, True), (True, False)],
    ids=["blocking", "suspending", "without-pgvector"],
)
class TestPostgresVectorIndex(VectorIndexContract):
    @pytest.fixture(autouse=True)
    def _database(
        self, postgres_schemas: SharedSchemas, blocking: bool, pgvector: bool
    ) -> Iterator[None]:
        with postgres_schemas.empty(type(self), pgvector) as settings:
            self.database = Database(settings, [], blocking=blocking)
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
    compares = True

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
