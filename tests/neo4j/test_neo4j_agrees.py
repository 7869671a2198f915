"""The graph on Neo4j answers like the one in memory, however the log is cut into pages."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import timedelta

import pytest
from graphs import PLACES, PlainGraph, graph_at
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from memledger.adapters.audit_log.memory import InMemoryAuditLog
from memledger.adapters.knowledge_graph.memory import InMemoryKnowledgeGraph
from memledger.domain.events import Event
from memledger.domain.graph import View
from memledger.domain.recorded import Position
from memledger.testing.audit_log import append_of
from memledger.testing.graph_histories import NOON, histories, names, views


@pytest.fixture(scope="module", params=PLACES)
def graph(request: pytest.FixtureRequest) -> Iterator[PlainGraph]:
    with graph_at(request.param) as made:
        yield made


@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(
    appends=histories,
    view=views,
    start=st.lists(names, max_size=3),
    depth=st.integers(1, 3),
    limit=st.sampled_from([1, 3, 100]),
    page=st.integers(1, 12),
)
def test_it_answers_as_the_graph_in_memory_does(
    graph: PlainGraph,
    appends: list[list[Event]],
    view: View,
    start: list[str],
    depth: int,
    limit: int,
    page: int,
) -> None:
    memory = InMemoryKnowledgeGraph()
    log = InMemoryAuditLog(listener=memory)
    for hour, happened in enumerate(appends):
        log.append(append_of(happened, at=NOON + timedelta(hours=hour)))
    graph.clear()
    events: Sequence = log.read(Position(0))
    for first in range(0, len(events), page):
        # A page comes with the end of the one before: what was taken in is taken in once.
        graph.apply(events[max(first - 2, 0) : first + page])
    for method, arguments in (
        ("neighbours", (start, depth, limit)),
        ("relations", ((*start, "Ann")[0], limit)),
        ("entities", (None, limit)),
        ("entities", (start, limit)),
    ):
        expected = getattr(memory, method)(view, *arguments)
        assert getattr(graph, method)(view, *arguments) == expected
