"""The graph in PostgreSQL and the one in memory return the same, for any history."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from datetime import timedelta

import pytest
from attrs import evolve
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from remembrancer.adapters.stores.memory.knowledge_graph import InMemoryKnowledgeGraph
from remembrancer.adapters.stores.postgres.audit_log import PostgresAuditLog, create_log
from remembrancer.adapters.stores.postgres.database import Database
from remembrancer.adapters.stores.postgres.knowledge_graph import PostgresKnowledgeGraph
from remembrancer.adapters.stores.postgres.sessions import Connection
from remembrancer.adapters.stores.postgres.settings import PostgresSettings
from remembrancer.application.inline import run_inline
from remembrancer.domain.events import Event
from remembrancer.domain.graph.graph import View
from remembrancer.domain.recorded import Append, Recorded
from remembrancer.domain.scope import Scope
from remembrancer.testing.audit_log import NOON, append_of
from remembrancer.testing.depth import scaled
from remembrancer.testing.driving import Driven
from tests.adapters.sqlite.test_graphs_agree import histories, names, views
from tests.engines.postgres_server import PostgresServer


class _Listener:
    def __init__(self, graph: PostgresKnowledgeGraph) -> None:
        self._graph = graph

    async def begin(self, connection: Connection) -> None:
        pass

    async def prepare(self, append: Append) -> None:
        pass

    async def claim(self) -> bool:
        return False

    async def apply(
        self, connection: Connection, ledger_id: int, chain: Sequence[Recorded], prepared: None
    ) -> None:
        await self._graph.apply_in(connection, ledger_id, chain)


@pytest.fixture(scope="module")
def database(postgres_server: PostgresServer) -> Iterator[Database]:
    fresh = PostgresSettings(dsn=postgres_server.dsn, schema=f"g{uuid.uuid4().hex}", partitions=1)
    opened = Database(fresh, [create_log])
    graph = PostgresKnowledgeGraph(opened.sessions)

    async def create() -> None:
        async with opened.sessions.transaction() as connection:
            await graph.create(connection)

    run_inline(create())
    yield opened
    opened.close()


@settings(max_examples=scaled(60), suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(
    appends=histories,
    view=views,
    start=st.lists(names, max_size=3),
    depth=st.integers(1, 3),
    limit=st.sampled_from([1, 3, 100]),
)
def test_postgres_graph_returns_the_same_as_the_memory_graph(
    database: Database,
    appends: list[list[Event]],
    view: View,
    start: list[str],
    depth: int,
    limit: int,
) -> None:
    # Given a ledger of its own for each example, in both graphs
    scope = Scope(user_id=uuid.uuid4().hex, agent_id=view.scope.agent_id, run_id=view.scope.run_id)
    graph, memory = PostgresKnowledgeGraph(database.sessions), InMemoryKnowledgeGraph()
    log = Driven(PostgresAuditLog(database.sessions, listener=_Listener(graph)))
    for hour, happened in enumerate(appends):
        own = [_of(scope, event) for event in happened]
        moment = NOON + timedelta(hours=hour)
        memory.apply(log.append(append_of(own, ledger=scope.ledger, at=moment)).recorded)
    # Then both return the same
    seen, driven = evolve(view, scope=scope), Driven(graph)
    for method, arguments in (
        ("neighbours", (start, depth, limit)),
        ("relations", ((*start, "Ann")[0], limit)),
        ("entities", (None, limit)),
        ("entities", (start, limit)),
    ):
        asked = getattr(memory, method)(seen, *arguments)
        assert list(getattr(driven, method)(seen, *arguments)) == list(asked)
    held = memory.versions(scope.ledger)
    found = driven.versions(scope.ledger)
    assert sorted(map(repr, found)) == sorted(map(repr, held))


def _of(scope: Scope, event: Event) -> Event:
    """The event, in the ledger of ``scope``."""
    inner = getattr(event, "scope", None)
    return event if inner is None else evolve(event, scope=evolve(inner, user_id=scope.user_id))
