"""Contract tests of the store in SQLite."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeAlias

import pytest

from remembrancer.adapters.key_vault.sqlite import SqliteKeyVault, SqliteVaultSettings
from remembrancer.adapters.stores.shared.codec import EventCodec
from remembrancer.adapters.stores.shared.sealing import SealingCodec
from remembrancer.adapters.stores.sqlite.audit_log import SqliteAuditLog, create_log
from remembrancer.adapters.stores.sqlite.database import Database, SqliteSettings
from remembrancer.adapters.stores.sqlite.fact_store import SqliteFactStore
from remembrancer.adapters.stores.sqlite.knowledge_graph import SqliteKnowledgeGraph
from remembrancer.adapters.stores.sqlite.projection_state import (
    SqliteProjectionState,
    create_projection_state,
)
from remembrancer.adapters.stores.sqlite.usage_store import SqliteUsageStore
from remembrancer.adapters.stores.sqlite.vector_index import Sizes, SqliteVectorIndex
from remembrancer.domain.ports.vector_index import IndexQuery
from remembrancer.domain.recorded import Append, Recorded
from remembrancer.testing.audit_log import AuditLogContract
from remembrancer.testing.fact_store import FactStoreContract
from remembrancer.testing.knowledge_graph import KnowledgeGraphContract
from remembrancer.testing.projection_state import FEED, LONG, ProjectionStateContract
from remembrancer.testing.usage_store import UsageStoreContract
from remembrancer.testing.vector_index import (
    DIMENSION,
    NOON,
    VectorIndexContract,
    document,
    vector,
)

Apply: TypeAlias = Callable[[sqlite3.Connection, Sequence[Recorded]], object]


def log_database(tmp_path: Path) -> Database:
    return Database(SqliteSettings(path=str(tmp_path / "log.db")), [create_log])


class Listener:
    """Applies each append to one read model, in the transaction of the append."""

    def __init__(self, apply: Apply) -> None:
        self._apply = apply

    def prepare(self, append: Append) -> None:
        pass

    def apply(
        self, connection: sqlite3.Connection, chain: Sequence[Recorded], prepared: None
    ) -> None:
        self._apply(connection, chain)

    def committed(self, chain: Sequence[Recorded]) -> None:
        pass


def counted(model: SqliteKnowledgeGraph | SqliteUsageStore) -> Apply:
    """Apply events to a read model, and check the number of rows that it reports."""

    def apply(connection: sqlite3.Connection, chain: Sequence[Recorded]) -> None:
        before = model.count_in(connection)
        added = model.apply_in(connection, chain)
        assert model.count_in(connection) == before + added

    return apply


class TestAuditLog(AuditLogContract):
    def make_log(self, tmp_path: Path) -> SqliteAuditLog:
        return SqliteAuditLog(log_database(tmp_path))


class TestSealedAuditLog(AuditLogContract):
    def make_log(self, tmp_path: Path) -> SqliteAuditLog:
        vault = SqliteKeyVault(SqliteVaultSettings(path=str(tmp_path / "keys.db")))
        return SqliteAuditLog(log_database(tmp_path), SealingCodec(vault))


class TestAuditLogInMemory(AuditLogContract):
    def make_log(self, tmp_path: Path) -> SqliteAuditLog:
        return SqliteAuditLog(Database(SqliteSettings(), [create_log]))


class TestFactStore(FactStoreContract):
    def make_stores(self, tmp_path: Path) -> tuple[SqliteAuditLog, SqliteFactStore]:
        database = log_database(tmp_path)
        facts = SqliteFactStore(database, EventCodec())
        with database.transaction() as connection:
            facts.create(connection)
        return SqliteAuditLog(database, listener=Listener(facts.apply)), facts


class TestKnowledgeGraph(KnowledgeGraphContract):
    def make_graph(self, tmp_path: Path) -> tuple[SqliteAuditLog, SqliteKnowledgeGraph]:
        database = log_database(tmp_path)
        graph = SqliteKnowledgeGraph(database)
        with database.transaction() as connection:
            graph.create(connection)
        return SqliteAuditLog(database, listener=Listener(counted(graph))), graph


class TestUsageStore(UsageStoreContract):
    def make_stores(self, tmp_path: Path) -> tuple[SqliteAuditLog, SqliteUsageStore]:
        database = log_database(tmp_path)
        usage = SqliteUsageStore(database)
        with database.transaction() as connection:
            usage.create(connection)
        return SqliteAuditLog(database, listener=Listener(counted(usage))), usage


def state_database(path: Path) -> Database:
    return Database(SqliteSettings(path=str(path)), [create_projection_state])


class TestProjectionState(ProjectionStateContract):
    @pytest.fixture(autouse=True)
    def _closing(self, _state: None) -> Iterator[None]:
        yield
        self.database.close()

    def make_state(self, tmp_path: Path) -> SqliteProjectionState:
        self.database = state_database(tmp_path / "state.db")
        return SqliteProjectionState(self.database)


def test_only_one_of_several_connections_to_a_file_acquires_the_lease(tmp_path: Path) -> None:
    databases = [state_database(tmp_path / "state.db") for _ in range(4)]
    states = [SqliteProjectionState(database) for database in databases]
    states[0].enrol(FEED)
    with ThreadPoolExecutor(4) as threads:
        leases = list(
            threads.map(lambda state: state.acquire(FEED, 0, owner="w", seconds=LONG), states)
        )
    assert sum(lease is not None for lease in leases) == 1
    for database in databases:
        database.close()


def sqlite_index(path: str, sizes: Sizes) -> SqliteVectorIndex:
    database = Database(SqliteSettings(path=path), [])
    index = SqliteVectorIndex(database, model="m", dimension=DIMENSION, sizes=sizes)
    with database.transaction() as connection:
        index.create(connection)
    return index


class TestVectorIndex(VectorIndexContract):
    def make_index(self, tmp_path: Path) -> SqliteVectorIndex:
        return sqlite_index(str(tmp_path / "index.db"), Sizes())


class TestVectorIndexInMemory(VectorIndexContract):
    def make_index(self, tmp_path: Path) -> SqliteVectorIndex:
        return sqlite_index(":memory:", Sizes())


class TestVectorIndexInSegments(VectorIndexContract):
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
