"""Helpers for tests of the Neo4j graph: settings of the real or fake server, and sync calls."""

from __future__ import annotations

import asyncio
import fcntl
import inspect
import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from remembrancer.adapters.knowledge_graph.neo4j.graph import Neo4jKnowledgeGraph
from remembrancer.adapters.knowledge_graph.neo4j.settings import Neo4jSettings
from remembrancer.application.background_loop import BackgroundLoop
from remembrancer.domain.recorded import Recorded
from tests.engines.bolt import DATABASE, PASSWORD, USER, BoltServer
from tests.engines.tables import Tables

URI = "NEO4J_URI"
STAND_IN, SERVER = "stand-in", "server"
PLACES = [STAND_IN, SERVER]

NEIGHBOUR = "neighbour"
"""A second database of the fake server."""


@contextmanager
def settings_at(place: str) -> Iterator[Neo4jSettings]:
    """Settings of a new fake server, or of the server in the environment variables."""
    if place == STAND_IN:
        server = BoltServer({DATABASE: Tables(), NEIGHBOUR: Tables()})
        yield Neo4jSettings(uri=server.uri, user=USER, password=PASSWORD)
        server.stop()
        return
    if URI not in os.environ:
        pytest.skip(f"needs a Neo4j server: set {URI}, and NEO4J_USER and NEO4J_PASSWORD")
    # A server holds one graph: parallel test processes take turns.
    with (Path(tempfile.gettempdir()) / "remembrancer-neo4j.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield Neo4jSettings(
            uri=os.environ[URI],
            user=os.environ.get("NEO4J_USER", "neo4j"),
            password=os.environ.get("NEO4J_PASSWORD", ""),
        )


@contextmanager
def graph_at(place: str) -> Iterator[PlainGraph]:
    """Yield an empty graph."""
    with settings_at(place) as settings, plain(settings) as graph:
        graph.clear()
        yield graph


@contextmanager
def plain(settings: Neo4jSettings) -> Iterator[PlainGraph]:
    """Yield a graph with sync methods, and close it."""
    graph = PlainGraph(settings)
    try:
        yield graph
    finally:
        graph.shut()


def address_of(settings: Neo4jSettings) -> tuple[str, int]:
    """Return host and port."""
    parts = urlsplit(settings.uri)
    return str(parts.hostname), parts.port or 7687


class PlainGraph:
    """A graph with sync methods that run on one background loop, as under ``Memory``."""

    name = "graph"

    def __init__(self, settings: Neo4jSettings) -> None:
        self.graph = Neo4jKnowledgeGraph(settings)
        self.loop = BackgroundLoop()

    def __getattr__(self, name: str) -> Any:
        method = getattr(self.graph, name)
        assert inspect.iscoroutinefunction(method)

        def call(*args: Any, **kwargs: Any) -> Any:
            return self.loop.run(method(*args, **kwargs))

        return call

    def apply_together(self, *pages: Sequence[Recorded]) -> None:
        """Apply pages concurrently."""

        async def apply_all() -> None:
            await asyncio.gather(*map(self.graph.apply, pages))

        self.loop.run(apply_all())

    def shut(self) -> None:
        """Close the graph and its loop."""
        self.loop.run(self.graph.close())
        self.loop.close()
