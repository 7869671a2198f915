"""Both knowledge graphs keep the contract."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from pathlib import Path

from memledger.adapters.audit_log.memory import InMemoryAuditLog
from memledger.adapters.audit_log.sqlite import SqliteAuditLog, create_log
from memledger.adapters.knowledge_graph.memory import InMemoryKnowledgeGraph
from memledger.adapters.knowledge_graph.sqlite import SqliteKnowledgeGraph
from memledger.adapters.sqlite.database import Database, SqliteSettings
from memledger.domain.recorded import Recorded
from memledger.testing.knowledge_graph import KnowledgeGraphContract


class TestInMemoryKnowledgeGraph(KnowledgeGraphContract):
    def make_graph(self, tmp_path: Path) -> tuple[InMemoryAuditLog, InMemoryKnowledgeGraph]:
        graph = InMemoryKnowledgeGraph()
        return InMemoryAuditLog(listener=graph), graph


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
