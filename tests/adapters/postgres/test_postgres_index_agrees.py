"""The PostgreSQL index returns the same as the one in memory, after any writes."""

from __future__ import annotations

import uuid
from collections.abc import Coroutine, Iterator
from contextlib import suppress
from typing import Any

import psycopg
import pytest
from attrs import evolve
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)

from remembrancer.adapters.stores.memory.vector_index import InMemoryVectorIndex
from remembrancer.adapters.stores.postgres.database import Database
from remembrancer.adapters.stores.postgres.settings import PostgresSettings
from remembrancer.adapters.stores.postgres.vector_index import PostgresVectorIndex
from remembrancer.application.inline import run_inline
from remembrancer.domain.facts.fact import FactKey, Interval
from remembrancer.domain.ports.vector_index import Document, IndexQuery
from remembrancer.domain.scope import Scope
from remembrancer.testing.depth import scaled
from tests.adapters.sqlite.test_indexes_agree import (
    DIMENSION,
    documents,
    intervals,
    keys,
    queries,
    same,
    texts,
)
from tests.engines.postgres_server import PostgresServer


class _RollBack(Exception):
    pass


class Indexes(RuleBasedStateMachine):
    """Two PostgreSQL indexes on one database, beside one in memory. The test sets ``database`` and
    ``pgvector``.
    """

    database: Database
    pgvector: bool
    put = Bundle("put")

    def __init__(self) -> None:
        super().__init__()
        self.reference = InMemoryVectorIndex()
        prefix = f"i{uuid.uuid4().hex[:12]}"
        self.indexes = [
            PostgresVectorIndex(
                self.database.sessions,
                model="m",
                dimension=DIMENSION,
                prefix=prefix,
                pgvector=self.pgvector,
            )
            for _ in range(2)
        ]
        self.documents: dict[FactKey, Document] = {}
        self.run(self.create())

    @staticmethod
    def run(work: Coroutine[Any, Any, Any]) -> Any:
        return run_inline(work)

    async def create(self) -> None:
        async with self.database.sessions.transaction() as connection:
            await self.indexes[0].create(connection)

    @rule(target=put, batch=st.lists(documents, max_size=8), which=st.integers(0, 1))
    def put_documents(self, batch: list[Document], which: int) -> Any:
        self.run(self.indexes[which].put(batch))
        self.reference.put(batch)
        self.documents |= {document.key: document for document in batch}
        return multiple(*(document.key for document in batch))

    @rule(key=put, visible=intervals, which=st.integers(0, 1))
    def change_times(self, key: FactKey, visible: Interval, which: int) -> None:
        if key in self.documents:
            self.put_documents([evolve(self.documents[key], visible=visible)], which)

    @rule(key=put, context=texts, which=st.integers(0, 1))
    def change_context(self, key: FactKey, context: str, which: int) -> None:
        if key in self.documents:
            self.put_documents([evolve(self.documents[key], context=context)], which)

    @rule(gone=st.lists(put | keys, max_size=5), which=st.integers(0, 1))
    def remove(self, gone: list[FactKey], which: int) -> None:
        self.run(self.indexes[which].remove(gone))
        self.reference.remove(gone)
        for key in gone:
            self.documents.pop(key, None)

    @rule(query=queries, which=st.integers(0, 1))
    def search(self, query: IndexQuery, which: int) -> None:
        same(self.run(self.indexes[which].search(query)), self.reference.search(query))

    @rule(batch=st.lists(documents, min_size=1, max_size=5), query=queries)
    def write_and_roll_back(self, batch: list[Document], query: IndexQuery) -> None:
        scratch = InMemoryVectorIndex()
        scratch.put([*self.documents.values(), *batch])

        async def write() -> None:
            async with self.database.sessions.transaction() as connection:
                await self.indexes[0].put_in(connection, batch)
                found = await self.indexes[0].search_in(connection, query)
                same(found, scratch.search(query))
                raise _RollBack

        with suppress(_RollBack):
            self.run(write())
        same(self.run(self.indexes[0].search(query)), self.reference.search(query))

    @rule()
    def rebuild(self) -> None:
        async def work() -> None:
            async with self.database.sessions.transaction() as connection:
                await self.indexes[0].clear(connection)
                assert await self.indexes[0].count_in(connection) == 0
                await self.indexes[0].put_in(connection, list(self.documents.values()))
                await self.indexes[0].forget_unused_in(connection)

        self.run(work())

    @invariant()
    def counts_agree(self) -> None:
        for user in ("alice", "bob"):
            ledger = Scope(user_id=user).ledger
            assert self.run(self.indexes[0].count(ledger)) == self.reference.count(ledger)
            assert self.run(self.indexes[1].speakers(ledger)) == self.reference.speakers(ledger)

    def teardown(self) -> None:
        """Assert that nothing is left of removed documents."""

        async def work() -> None:
            document, wording, name, ledger, kept, _ = self.indexes[0].tables
            async with self.database.sessions.transaction() as connection:
                await self.indexes[0].remove_in(connection, list(self.documents))
                for table in (document, wording, name, kept):
                    cursor = await connection.execute(f"SELECT count(*) FROM {table}")
                    assert (table, await cursor.fetchall()) == (table, [(0,)])
                cursor = await connection.execute(
                    "SELECT coalesce(sum(documents), 0), coalesce(sum(text_length), 0), "
                    f"coalesce(sum(context_length), 0) FROM {ledger}"
                )
                assert await cursor.fetchall() == [(0, 0, 0)]
                tables = ", ".join(self.indexes[0].tables)
                await connection.execute(f"DROP TABLE {tables}")

        self.run(work())


@pytest.fixture(scope="module")
def database(postgres_server: PostgresServer) -> Iterator[Database]:
    schema = f"test_{uuid.uuid4().hex}"
    database = Database(PostgresSettings(dsn=postgres_server.dsn, schema=schema), [])
    yield database
    database.close()
    with psycopg.connect(postgres_server.dsn, autocommit=True) as connection:
        connection.execute(f"DROP SCHEMA {schema} CASCADE".encode())


@pytest.mark.parametrize("pgvector", [True, False], ids=["pgvector", "without-pgvector"])
def test_postgres_index_returns_the_same_as_the_memory_index(
    database: Database, pgvector: bool
) -> None:
    class Machine(Indexes):
        pass

    Machine.database = database
    Machine.pgvector = pgvector
    run_state_machine_as_test(
        Machine, settings=settings(max_examples=scaled(25), stateful_step_count=25, deadline=None)
    )
