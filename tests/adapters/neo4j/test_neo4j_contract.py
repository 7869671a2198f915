"""Contract tests of the Neo4j graph, on the fake server and on a real one."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import pytest
from attrs import evolve

from remembrancer.testing.external_graph import ExternalGraphContract
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


class TestOnTheStandIn(_OnNeo4j):
    place = STAND_IN

    def make_neighbour(self, tmp_path: Path) -> PlainGraph:
        return self.opened.enter_context(plain(evolve(self.settings, database=NEIGHBOUR)))


class TestOnAServer(_OnNeo4j):
    place = SERVER

    def make_neighbour(self, tmp_path: Path) -> PlainGraph:
        pytest.skip("declared: a database holds one graph, and a free server one database")
