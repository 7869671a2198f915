"""Both graphs return the same, and show exactly the facts that the ledger shows."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from datetime import timedelta

from attrs import evolve
from hypothesis import example, given, settings
from hypothesis import strategies as st

from remembrancer.adapters.stores.memory.knowledge_graph import InMemoryKnowledgeGraph
from remembrancer.adapters.stores.sqlite.audit_log import SqliteAuditLog, create_log
from remembrancer.adapters.stores.sqlite.database import Database, SqliteSettings
from remembrancer.adapters.stores.sqlite.knowledge_graph import SqliteKnowledgeGraph
from remembrancer.domain.events import (
    Event,
    FactAdded,
    FactCorrected,
    FactRestored,
    FactSuperseded,
)
from remembrancer.domain.facts.evolve import LedgerState, changes_of, fold
from remembrancer.domain.facts.fact import FactId, FactStatus
from remembrancer.domain.graph.graph import Link, LinkKey, Mention, View
from remembrancer.domain.recorded import Append, Position, Recorded
from remembrancer.domain.scope import Scope
from remembrancer.domain.text import normalised
from remembrancer.testing.audit_log import append_of
from remembrancer.testing.depth import scaled
from remembrancer.testing.graph_histories import NAMES, NOON, histories, names, views


def by_link(versions: Sequence[Link]) -> dict[LinkKey, list[Link]]:
    """Versions grouped by link, in the order given."""
    found: dict[LinkKey, list[Link]] = {}
    for version in versions:
        found.setdefault(version.key, []).append(version)
    return found


class _Listener:
    """Updates both graphs, and sums the row counts that the SQLite graph returns."""

    def __init__(self, sqlite: SqliteKnowledgeGraph, memory: InMemoryKnowledgeGraph) -> None:
        self._sqlite = sqlite
        self._memory = memory
        self.rows = 0

    def prepare(self, append: Append) -> None:
        pass

    def apply(
        self, connection: sqlite3.Connection, chain: Sequence[Recorded], prepared: None
    ) -> None:
        self.rows += self._sqlite.apply_in(connection, chain)
        self._memory.apply(chain)

    def committed(self, chain: Sequence[Recorded]) -> None:
        pass


class _Graphs:
    """Two graphs on one log."""

    def __init__(self) -> None:
        self.database = Database(SqliteSettings(), [create_log])
        self.sqlite = SqliteKnowledgeGraph(self.database)
        self.memory = InMemoryKnowledgeGraph()
        self.listener = _Listener(self.sqlite, self.memory)
        self.log = SqliteAuditLog(self.database, listener=self.listener)
        with self.database.transaction() as connection:
            self.sqlite.create(connection)

    def append(self, appends: Sequence[Sequence[Event]]) -> None:
        for hour, happened in enumerate(appends):
            moment = NOON + timedelta(hours=hour)
            self.log.append(append_of(happened, at=moment))

    def agree(self, view: View, start: Sequence[str], depth: int, limit: int) -> None:
        for method, arguments in (
            ("neighbours", (start, depth, limit)),
            ("relations", ((*start, "Ann")[0], limit)),
            ("entities", (None, limit)),
            ("entities", (start, limit)),
        ):
            in_sqlite = getattr(self.sqlite, method)(view, *arguments)
            assert in_sqlite == getattr(self.memory, method)(view, *arguments)
        for facts in (None, [FactId("a"), FactId("b")], []):
            in_sqlite = self.sqlite.versions(view.scope.ledger, facts)
            assert by_link(in_sqlite) == by_link(self.memory.versions(view.scope.ledger, facts))


@settings(max_examples=scaled(300))
@given(
    appends=histories,
    view=views,
    start=st.lists(names, max_size=3),
    depth=st.integers(1, 3),
    limit=st.sampled_from([1, 3, 100]),
)
def test_both_graphs_return_the_same_before_and_after_a_rebuild(
    appends: list[list[Event]], view: View, start: list[str], depth: int, limit: int
) -> None:
    graphs = _Graphs()
    graphs.append(appends)
    graphs.agree(view, start, depth, limit)
    with graphs.database.transaction() as connection:
        assert graphs.sqlite.count_in(connection) == graphs.listener.rows
        graphs.sqlite.clear(connection)
        assert graphs.sqlite.count_in(connection) == 0
        rows, position = 0, Position(0)
        while page := graphs.log.read_in(connection, position, 3):
            rows += graphs.sqlite.apply_in(connection, page)
            position = page[-1].position
        assert rows == graphs.listener.rows
    graphs.agree(view, start, depth, limit)
    graphs.database.close()


def _truthful(appends: list[list[Event]]) -> list[list[Event]]:
    """The appends, with what each ``FactRestored`` tells of the version that it brings back."""
    state = LedgerState()

    def told(event: Event) -> Iterator[Event]:
        if isinstance(event, FactRestored):
            earlier = state.at_version((event.fact_id, event.to_version))
            if earlier is None:
                return
            event = evolve(
                event,
                status=earlier.status,
                entities=earlier.entities,
                valid=earlier.valid,
                interruptions=earlier.interruptions,
                expires_at=earlier.expires_at,
            )
        state.changed(changes_of(event, NOON, state.latest, state.at_version))
        yield event

    kept = [[true for event in some for true in told(event)] for some in appends]
    return [some for some in kept if some]


ALICE = Scope(user_id="alice")
ADDED = FactAdded(
    fact_id=FactId("a"), scope=ALICE, text="text", occurred_at=NOON, entities=("Ann",)
)
SET_ASIDE = FactCorrected(fact_id=FactId("a"), version=1, status=FactStatus.SUPERSEDED)
"""A correction that supersedes a fact and states no end."""


@settings(max_examples=scaled(300))
@given(appends=histories, view=views)
@example(
    appends=[[ADDED, SET_ASIDE, FactSuperseded(fact_id=FactId("a"), ended_at=NOON)]],
    view=View(scope=ALICE, now=NOON + timedelta(hours=9)),
)
@example(
    appends=[
        [ADDED, SET_ASIDE, FactCorrected(fact_id=FactId("a"), version=1)],
        [FactSuperseded(fact_id=FactId("a"), ended_at=NOON)],
    ],
    view=View(scope=ALICE, now=NOON + timedelta(hours=9)),
)
def test_graph_shows_the_visible_facts_of_the_ledger(
    appends: list[list[Event]], view: View
) -> None:
    graphs = _Graphs()
    graphs.append(_truthful(appends))
    view = evolve(view, ended=False, mentions=True)
    reached = graphs.memory.neighbours(view, NAMES, 1, 1000)
    named = {
        link.fact_id: set(map(normalised, link.entities))
        for link in (item.link for item in reached)
        if isinstance(link, Mention)
    }
    state = fold(graphs.log.read(Position(0)))
    visible = {
        fact.fact_id: entities
        for versions in state.facts.values()
        for fact in versions
        if view.scope.covers(fact.scope)
        and fact.visible(now=view.now, as_of=view.as_of, valid_at=view.valid_at)
        and (entities := {name for name in map(normalised, fact.entities) if name})
    }
    assert named == visible
    graphs.database.close()


@given(appends=histories, view=views, start=st.lists(names, max_size=3))
def test_path_contains_only_links_that_the_view_sees(
    appends: list[list[Event]], view: View, start: list[str]
) -> None:
    graphs = _Graphs()
    graphs.append(appends)
    for reached in graphs.memory.neighbours(view, start, 3):
        assert reached.path.links[-1] == reached.link
        assert all(view.sees(link) for link in reached.path.links)
        assert reached.distance <= 3
    graphs.database.close()
