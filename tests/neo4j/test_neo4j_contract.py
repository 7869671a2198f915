"""The graph on Neo4j keeps the contract, on a server and on the stand-in for one."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

from graphs import SERVER, STAND_IN, PlainGraph, Twice, graph_at

from memledger.adapters.audit_log.memory import InMemoryAuditLog
from memledger.testing.knowledge_graph import KnowledgeGraphContract


class _OnNeo4j(KnowledgeGraphContract):
    place: str

    def setup_method(self) -> None:
        self.opened = ExitStack()

    def teardown_method(self) -> None:
        self.opened.close()

    def make_graph(self, tmp_path: Path) -> tuple[InMemoryAuditLog, PlainGraph]:
        graph = self.opened.enter_context(graph_at(self.place))
        return InMemoryAuditLog(listener=Twice(graph)), graph


class TestOnTheStandIn(_OnNeo4j):
    place = STAND_IN


class TestOnAServer(_OnNeo4j):
    place = SERVER
