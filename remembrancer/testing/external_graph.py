"""The contract of ``ExternalGraph``: ``KnowledgeGraphContract`` plus idempotent delivery of pages.

The reference is the graph in memory. Test connection failures in the tests of the engine;
``unreliable_wire`` helps.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from remembrancer.adapters.stores.memory.audit_log import InMemoryAuditLog
from remembrancer.adapters.stores.memory.knowledge_graph import InMemoryKnowledgeGraph
from remembrancer.domain.errors import AdapterUnavailable
from remembrancer.domain.events import Event, FactRetracted, RelationEnded
from remembrancer.domain.graph.graph import SAME_AS, View
from remembrancer.domain.recorded import Position, Recorded
from remembrancer.domain.scope import Scope
from remembrancer.testing.audit_log import append_of
from remembrancer.testing.depth import scaled
from remembrancer.testing.driving import Driven
from remembrancer.testing.engine import EngineContract
from remembrancer.testing.graph_histories import NOON, histories, names, views
from remembrancer.testing.knowledge_graph import (
    LATER,
    SCOPE,
    KnowledgeGraphContract,
    fact_about,
    relation,
)

VIEWS = [
    View(scope=SCOPE, now=LATER),
    View(scope=SCOPE, now=LATER, ended=True),
    View(scope=SCOPE, now=LATER, as_of=NOON),
]


class Twice:
    """A log listener that delivers every page twice, the second time after the page before it."""

    def __init__(self, graph: Any) -> None:
        self._graph = graph
        self._before: Sequence[Recorded] = ()

    def apply(self, chain: Sequence[Recorded]) -> None:
        """Deliver a page."""
        self._graph.apply(chain)
        self._graph.apply([*self._before, *chain])
        self._before = chain


def history(user: str = "alice") -> tuple[Sequence[Recorded], InMemoryKnowledgeGraph]:
    """Eight events that make, revise and end links, and the graph in memory after them."""
    memory = InMemoryKnowledgeGraph()
    log = InMemoryAuditLog(listener=memory)
    scope = Scope(user_id=user)
    fact = evolve(fact_about("Ann", "tea"), scope=scope)
    likes = relation("Ann", "likes", "tea", fact_id=fact.fact_id, scope=scope)
    lived = relation("Ann", "lives_in", "Paris", scope=scope)
    alias = relation("Annie", SAME_AS, "Ann", scope=scope)
    happened: list[list[Event]] = [
        [fact, likes, lived, alias],
        [RelationEnded(relation_id=lived.relation_id, ended_at=NOON)],
        [FactRetracted(fact_id=fact.fact_id), evolve(fact_about("Ann", "milk"), scope=scope)],
        [relation("Ann", "lives_in", "Rome", scope=scope)],
    ]
    for hour, events in enumerate(happened):
        log.append(append_of(events, ledger=scope.ledger, at=NOON + timedelta(hours=hour)))
    return log.read(Position(0)), memory


class ExternalGraphContract(EngineContract, KnowledgeGraphContract):
    """Inherit and implement ``make_external``, and if possible ``make_worker`` and
    ``make_neighbour``.
    """

    def make_external(self, tmp_path: Path) -> Any:
        """A fresh, empty graph."""
        raise NotImplementedError

    def make_graph(self, tmp_path: Path) -> tuple[Any, Any]:
        """The graph behind a log that delivers every page twice."""
        graph = self.make_external(tmp_path)
        driven = graph if isinstance(graph, Driven) else Driven(graph)
        return InMemoryAuditLog(listener=Twice(driven)), graph

    @property
    def engine(self) -> Any:
        """The graph."""
        return self.graph

    def later_calls(self) -> list[Any]:
        """One write and two reads."""
        events, _ = history()
        return [
            lambda: self.graph.apply(events),
            lambda: self.graph.relations(VIEWS[0], "Ann", 10),
            lambda: self.graph.entities(VIEWS[0], None, 10),
        ]

    def assert_same(self, memory: InMemoryKnowledgeGraph, user: str = "alice") -> None:
        """Assert that the graph answers for a user like the graph in memory."""
        _assert_same(self.graph, memory, user)

    # Clearing

    def test_cleared_graph_is_empty_and_can_be_filled_again(self) -> None:
        (mine, memory), (theirs, _) = history(), history("bob")
        self.graph.apply(mine)
        self.graph.apply(theirs)
        self.graph.clear()
        nothing = InMemoryKnowledgeGraph()
        self.assert_same(nothing)
        self.assert_same(nothing, "bob")
        self.graph.clear()
        # Positions are cleared too, or these events would be skipped as already applied.
        self.graph.apply(mine)
        self.assert_same(memory)
        self.assert_same(nothing, "bob")

    def test_page_that_arrives_after_clearing_is_refused_and_hides_no_event(
        self, worker: Any
    ) -> None:
        events, memory = history()
        self.graph.apply(events[:6])
        self.graph.clear()
        # Sent before, by a worker that has lost its lease since.
        with pytest.raises(AdapterUnavailable):
            worker.apply(events[6:])
        self.assert_same(InMemoryKnowledgeGraph())
        self.graph.apply(events)
        self.assert_same(memory)

    def test_changes_to_one_graph_do_not_affect_another(self, neighbour: Any) -> None:
        (mine, memory), (theirs, other) = history(), history()
        self.graph.apply(mine)
        _assert_same(neighbour, InMemoryKnowledgeGraph())
        neighbour.apply(theirs)
        self.assert_same(memory)
        self.graph.clear()
        _assert_same(neighbour, other)
        self.graph.apply(mine)
        neighbour.clear()
        self.assert_same(memory)

    # Repeated pages

    @pytest.mark.parametrize(
        ("first", "last"), [(0, 8), (0, 3), (2, 6), (7, 8)], ids=["whole", "old", "inner", "end"]
    )
    def test_event_delivered_twice_is_applied_once(
        self, worker: Any, first: int, last: int
    ) -> None:
        events, memory = history()
        self.graph.apply(events)
        worker.apply(events[first:last])
        self.assert_same(memory)

    def test_partly_applied_page_is_complete_after_redelivery(self, worker: Any) -> None:
        for taken in range(9):
            events, memory = history(f"user {taken}")
            self.graph.apply(events[:taken])
            worker.apply(events)
            self.assert_same(memory, f"user {taken}")

    def test_empty_page_changes_nothing(self) -> None:
        self.graph.apply([])
        self.assert_same(InMemoryKnowledgeGraph())

    # Subclasses share this test, which Hypothesis reports; here that is harmless.
    @settings(
        max_examples=scaled(60),
        deadline=None,
        suppress_health_check=[HealthCheck.differing_executors, HealthCheck.too_slow],
    )
    @given(
        appends=histories,
        view=views,
        start=st.lists(names, max_size=3),
        depth=st.integers(1, 3),
        limit=st.sampled_from([1, 3, 100]),
        page=st.integers(1, 12),
    )
    def test_answers_equal_the_graph_in_memory_for_any_page_size(
        self,
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
        self.graph.clear()
        events = log.read(Position(0))
        for first in range(0, len(events), page):
            # Each page repeats the end of the page before; those events must be applied once.
            self.graph.apply(events[max(first - 2, 0) : first + page])
        for method, arguments in (
            ("neighbours", (start, depth, limit)),
            ("relations", ((*start, "Ann")[0], limit)),
            ("entities", (None, limit)),
            ("entities", (start, limit)),
        ):
            expected = getattr(memory, method)(view, *arguments)
            assert getattr(self.graph, method)(view, *arguments) == expected

    # Concurrent workers

    def test_same_page_from_many_workers_at_once_is_applied_once(self, worker: Any) -> None:
        events, memory = history()
        pages = [events, events, events[:5], events, events[:2], events]
        with ThreadPoolExecutor(len(pages)) as threads:
            workers = [self.graph, worker] * 3
            list(threads.map(lambda one, page: one.apply(page), workers, pages))
        self.assert_same(memory)

    def test_concurrent_deliveries_of_other_ledgers_do_not_interfere(self, worker: Any) -> None:
        users = [f"user {number}" for number in range(4)]
        made = [history(user) for user in users]
        with ThreadPoolExecutor(len(users)) as threads:
            workers = [self.graph, worker] * 2
            list(threads.map(lambda one, page: one.apply(page[0]), workers, made))
        for user, (_, memory) in zip(users, made, strict=True):
            self.assert_same(memory, user)

    def test_position_of_one_ledger_does_not_affect_another(self) -> None:
        (mine, memory), (theirs, other) = history(), history("bob")
        # Alice's last position is not below any of Bob's, and Alice is applied first.
        self.graph.apply(mine)
        self.graph.apply(theirs[:3])
        self.graph.apply([*mine[-2:], *theirs[2:]])
        self.assert_same(memory)
        self.assert_same(other, "bob")


def _assert_same(graph: Any, memory: InMemoryKnowledgeGraph, user: str = "alice") -> None:
    for view in (evolve(one, scope=Scope(user_id=user)) for one in VIEWS):
        assert graph.neighbours(view, ["Annie"], 3, 100) == memory.neighbours(view, ["Annie"], 3)
        assert graph.entities(view, None, 100) == memory.entities(view)
