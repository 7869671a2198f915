"""Contract tests of the knowledge graphs of all stores."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from remembrancer.adapters.stores.memory.knowledge_graph import InMemoryKnowledgeGraph
from remembrancer.adapters.stores.postgres.audit_log import PostgresAuditLog
from remembrancer.adapters.stores.postgres.audit_log import create_log as create_postgres_log
from remembrancer.adapters.stores.postgres.database import Database as PostgresDatabase
from remembrancer.adapters.stores.postgres.knowledge_graph import PostgresKnowledgeGraph
from remembrancer.adapters.stores.postgres.sessions import Connection
from remembrancer.adapters.stores.postgres.settings import PostgresSettings
from remembrancer.adapters.stores.sqlite.audit_log import SqliteAuditLog, create_log
from remembrancer.adapters.stores.sqlite.database import Database, SqliteSettings
from remembrancer.adapters.stores.sqlite.knowledge_graph import SqliteKnowledgeGraph
from remembrancer.application.inline import run_inline
from remembrancer.domain.recorded import Recorded
from remembrancer.testing.driving import Driven
from remembrancer.testing.external_graph import ExternalGraphContract
from remembrancer.testing.knowledge_graph import KnowledgeGraphContract


class TestInMemoryKnowledgeGraph(ExternalGraphContract):
    closes = False

    def make_external(self, tmp_path: Path) -> InMemoryKnowledgeGraph:
        return InMemoryKnowledgeGraph()


class _Graph:
    def __init__(self, graph: SqliteKnowledgeGraph) -> None:
        self._graph = graph

    def apply(self, connection: sqlite3.Connection, chain: Sequence[Recorded]) -> None:
        before = self._graph.count_in(connection)
        added = self._graph.apply_in(connection, chain)
        assert self._graph.count_in(connection) == before + added

    def committed(self, chain: Sequence[Recorded]) -> None:
        pass


class TestSqliteKnowledgeGraph(KnowledgeGraphContract):
    def make_graph(self, tmp_path: Path) -> tuple[SqliteAuditLog, SqliteKnowledgeGraph]:
        database = Database(SqliteSettings(path=str(tmp_path / "graph.db")), [create_log])
        graph = SqliteKnowledgeGraph(database)
        with database.transaction() as connection:
            graph.create(connection)
        return SqliteAuditLog(database, listener=_Graph(graph)), graph


class _PostgresGraph:
    def __init__(self, graph: PostgresKnowledgeGraph) -> None:
        self._graph = graph

    async def begin(self, connection: Connection) -> None:
        pass

    async def apply(
        self, connection: Connection, ledger_id: int, chain: Sequence[Recorded]
    ) -> None:
        await self._graph.apply_in(connection, ledger_id, chain)


@pytest.mark.parametrize("blocking", [True, False], ids=["blocking", "suspending"])
class TestPostgresKnowledgeGraph(KnowledgeGraphContract):
    @pytest.fixture(autouse=True)
    def _graph(self, tmp_path: Path, postgres: PostgresSettings, blocking: bool) -> Iterator[None]:
        self.database = PostgresDatabase(postgres, [create_postgres_log], blocking=blocking)
        log, graph = self.make_graph(tmp_path)
        self.log, self.graph = Driven(log), Driven(graph)
        yield
        self.database.close()

    def make_graph(self, tmp_path: Path) -> tuple[PostgresAuditLog, PostgresKnowledgeGraph]:
        graph = PostgresKnowledgeGraph(self.database.sessions)

        async def create() -> None:
            async with self.database.opening.transaction() as connection:
                await graph.create(connection)

        run_inline(create())
        return PostgresAuditLog(self.database.sessions, listener=_PostgresGraph(graph)), graph
