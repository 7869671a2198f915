"""Contract tests of the Neo4j graph, on the fake server and on a real one."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import pytest
from attrs import evolve

from remembrancer.adapters.stores.memory.knowledge_graph import InMemoryKnowledgeGraph
from remembrancer.domain.errors import AdapterUnavailable
from remembrancer.testing.external_graph import ExternalGraphContract, history
from tests.engines.neo4j_server import NEIGHBOUR, SERVER, STAND_IN, PlainGraph, plain, settings_at


class _OnNeo4j(ExternalGraphContract):
    place: str

    def setup_method(self) -> None:
        self.opened = ExitStack()
        self.settings = self.opened.enter_context(settings_at(self.place))

    def teardown_method(self) -> None:
        self.opened.close()

    def make_external(self, tmp_path: Path) -> PlainGraph:
        graph = self.make_worker(tmp_path)
        graph.clear()
        return graph

    def make_worker(self, tmp_path: Path) -> PlainGraph:
        return self.opened.enter_context(plain(self.settings))

    def test_page_is_not_applied_after_another_log_has_taken_the_graph_over(
        self, worker: PlainGraph
    ) -> None:
        # Given a graph that holds a log when a page of it is delivered
        page, memory = history()
        assert self.graph.claim("log-1", bind=True) == "log-1"
        # When another log takes it over before the page arrives
        worker.clear()
        assert worker.claim("log-2", bind=True) == "log-2"
        # Then the page is refused, and the other log's page is applied
        with pytest.raises(AdapterUnavailable, match="another log has taken the graph over"):
            self.graph.apply(page)
        self.assert_same(InMemoryKnowledgeGraph())
        worker.apply(page)
        self.assert_same(memory)


class TestOnTheStandIn(_OnNeo4j):
    place = STAND_IN

    def make_neighbour(self, tmp_path: Path) -> PlainGraph:
        return self.opened.enter_context(plain(evolve(self.settings, database=NEIGHBOUR)))


class TestOnAServer(_OnNeo4j):
    place = SERVER

    def make_neighbour(self, tmp_path: Path) -> PlainGraph:
        pytest.skip("declared: a database holds one graph, and a free server one database")
