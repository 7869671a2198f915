"""Faults of the Neo4j server: errors are reported, and pages are applied exactly once."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from attrs import evolve

from remembrancer.adapters.knowledge_graph.neo4j import statements
from remembrancer.adapters.knowledge_graph.neo4j.connection import Connection
from remembrancer.adapters.knowledge_graph.neo4j.graph import Neo4jKnowledgeGraph
from remembrancer.adapters.knowledge_graph.neo4j.settings import Neo4jSettings
from remembrancer.adapters.knowledge_graph.neo4j.visible_links import VisibleLinks
from remembrancer.adapters.stores.memory.audit_log import InMemoryAuditLog
from remembrancer.adapters.stores.memory.knowledge_graph import InMemoryKnowledgeGraph
from remembrancer.application.background_loop import BackgroundLoop
from remembrancer.domain.errors import AdapterUnavailable, SettingsError
from remembrancer.domain.events import Event, FactRetracted, RelationEnded
from remembrancer.domain.graph.graph import SAME_AS, View
from remembrancer.domain.recorded import Position, Recorded
from remembrancer.testing.audit_log import NOON, append_of
from remembrancer.testing.knowledge_graph import LATER, SCOPE, fact_about, relation
from remembrancer.testing.unreliable_wire import UnreliableWire, When
from tests.engines.neo4j_server import PLACES, STAND_IN, PlainGraph, address_of, plain, settings_at

COMMIT = b"\x00\x02\xb0\x12\x00\x00"
"""The bytes of the message COMMIT, in its own chunk."""

VIEW = View(scope=SCOPE, now=LATER)


@pytest.fixture(params=PLACES)
def settings(request: pytest.FixtureRequest) -> Iterator[Neo4jSettings]:
    """Settings of an empty graph."""
    with settings_at(request.param) as found:
        found = evolve(found, retry_for=2.0)
        with plain(found) as graph:
            graph.clear()
        yield found


@pytest.fixture
def graph(settings: Neo4jSettings) -> Iterator[PlainGraph]:
    with plain(settings) as made:
        yield made


@pytest.fixture
def wire(settings: Neo4jSettings) -> Iterator[UnreliableWire]:
    with UnreliableWire(*address_of(settings)) as made:
        yield made


@pytest.fixture
def over_wire(settings: Neo4jSettings, wire: UnreliableWire) -> Neo4jSettings:
    return evolve(settings, uri=f"bolt://127.0.0.1:{wire.port}")


def history() -> tuple[list[Recorded], InMemoryKnowledgeGraph]:
    """Events that make, change and end links, and an in-memory graph that applied them."""
    memory = InMemoryKnowledgeGraph()
    log = InMemoryAuditLog(listener=memory)
    fact = fact_about("Ann", "tea")
    likes = relation("Ann", "likes", "tea", fact_id=fact.fact_id)
    ended = relation("Ann", "lives_in", "Paris")
    happened: list[list[Event]] = [
        [fact, likes, ended, relation("Annie", SAME_AS, "Ann")],
        [RelationEnded(relation_id=ended.relation_id, ended_at=NOON)],
        [FactRetracted(fact_id=fact.fact_id), fact_about("Ann", "milk")],
    ]
    for events in happened:
        log.append(append_of(events))
    return list(log.read(Position(0))), memory


def assert_same(graph: PlainGraph, memory: InMemoryKnowledgeGraph) -> None:
    for view in (VIEW, evolve(VIEW, ended=True), evolve(VIEW, as_of=NOON)):
        assert graph.neighbours(view, ["Annie"], 3, 100) == memory.neighbours(view, ["Annie"], 3)
        assert graph.entities(view, None, 100) == memory.entities(view)


def test_calls_fail_while_the_server_is_down_and_the_page_is_applied_afterwards(
    over_wire: Neo4jSettings, wire: UnreliableWire
) -> None:
    events, memory = history()
    with plain(evolve(over_wire, retry_for=0.0)) as graph:
        graph.apply(events[:2])
        wire.cut()
        for call in (
            lambda: graph.apply(events),
            graph.ping,
            lambda: graph.relations(VIEW, "Ann", 10),
        ):
            with pytest.raises(AdapterUnavailable, match=r"^neo4j: no answer from") as raised:
                call()
            assert raised.value.adapter == "neo4j"
        wire.mend()
        graph.apply(events)
        assert_same(graph, memory)


@pytest.mark.parametrize("when", ["before", "after"])
def test_page_is_applied_once_if_the_connection_breaks_at_commit(
    over_wire: Neo4jSettings, wire: UnreliableWire, when: When
) -> None:
    events, memory = history()
    with plain(over_wire) as graph:
        graph.apply(events[:1])
        wire.cut_at(COMMIT, when, when)
        graph.apply(events)
        assert not wire.cuts
        assert_same(graph, memory)


def test_page_is_applied_once_if_it_is_repeated_after_an_unknown_commit(
    over_wire: Neo4jSettings, wire: UnreliableWire
) -> None:
    events, memory = history()
    with plain(evolve(over_wire, retry_for=0.0)) as graph:
        graph.apply(events[:1])
        wire.cut_at(COMMIT, "after")
        with pytest.raises(AdapterUnavailable, match="neo4j: no answer"):
            graph.apply(events)
        assert_same(graph, memory)
        graph.apply(events)
        assert_same(graph, memory)


def test_page_applied_by_many_at_once_is_applied_once(graph: PlainGraph) -> None:
    events, memory = history()
    graph.apply_together(*[events] * 8)
    assert_same(graph, memory)


def test_concurrent_pages_of_many_ledgers_are_all_applied(graph: PlainGraph) -> None:
    pages = []
    log = InMemoryAuditLog()
    for user in range(8):
        scope = evolve(SCOPE, user_id=f"user {user % 4}")
        event = relation("Ann", "knows", f"friend {user}", scope=scope)
        pages.append(log.append(append_of([event], ledger=scope.ledger)).recorded)
    graph.apply_together(*pages[:4])
    graph.apply_together(*pages[4:])
    for user in range(4):
        view = evolve(VIEW, scope=evolve(SCOPE, user_id=f"user {user}"))
        found = [link.object for link in graph.relations(view, "Ann", 10)]
        assert found == [f"friend {user + 4}", f"friend {user}"]


def test_reader_sees_one_snapshot_while_others_write(
    settings: Neo4jSettings, graph: PlainGraph
) -> None:
    events, _ = history()
    graph.apply(events[:4])
    connection = Connection(settings)

    async def look_twice(tx: Any) -> list[Sequence[Any]]:
        seen = await VisibleLinks.begin(tx, VIEW, ["Ann"])
        before = await seen.links(["ann"], 10)
        other = Neo4jKnowledgeGraph(settings)
        await other.apply(events)
        await other.close()
        return [before, await seen.links(["ann"], 10)]

    async def look() -> list[Sequence[Any]]:
        found = await connection.read(look_twice)
        await connection.close()
        return found

    before, after = asyncio.run(look())
    assert [tie.link.position for tie in before[0]] == [3, 2, 1]
    assert after == before
    assert [one.link.position for one in graph.neighbours(VIEW, ["Ann"], 1, 10)] == [4, 7]


def test_wrong_password_error_names_the_setting(settings: Neo4jSettings) -> None:
    expected = pytest.raises(SettingsError, match=r"^knowledge_graph\.password: neo4j: ")
    with plain(evolve(settings, password="wrong")) as graph, expected:
        graph.apply(history()[0])


def test_wrong_database_error_names_the_setting(settings: Neo4jSettings) -> None:
    with plain(evolve(settings, database="elsewhere")) as graph:
        for call in (graph.ping, lambda: graph.apply(history()[0])):
            with pytest.raises(SettingsError, match=r"^knowledge_graph\.database: neo4j: "):
                call()


def test_call_to_a_silent_server_fails_after_the_timeout() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        uri = f"bolt://127.0.0.1:{silent.getsockname()[1]}"
        expected = pytest.raises(AdapterUnavailable, match=r"neo4j: no answer .*0\.3 s")
        with plain(Neo4jSettings(uri=uri, timeout=0.3)) as graph, expected:
            graph.ping()


def test_apply_fails_after_an_interrupted_clear_until_clear_completes(
    settings: Neo4jSettings, graph: PlainGraph
) -> None:
    events, memory = history()
    graph.apply(events)
    connection = Connection(settings)

    async def begin_clearing() -> None:
        async def work(tx: Any) -> None:
            await (await tx.run(statements.BEGIN_CLEARING)).consume()

        await connection.write(work)
        await connection.close()

    asyncio.run(begin_clearing())
    with pytest.raises(AdapterUnavailable, match="cleared"):
        graph.apply(events)
    graph.clear()
    assert graph.entities(VIEW, None, 10) == []
    graph.apply(events)
    assert_same(graph, memory)


def test_long_names_with_the_same_beginning_are_distinct(graph: PlainGraph) -> None:
    memory = InMemoryKnowledgeGraph()
    log = InMemoryAuditLog(listener=memory)
    one, other = "Zürich " * 9000 + "east", "Zürich " * 9000 + "west"
    log.append(append_of([relation(one, "near", other), fact_about(other)]))
    graph.apply(log.read(Position(0)))
    for name in (one, other):
        assert graph.neighbours(VIEW, [name], 1, 10) == memory.neighbours(VIEW, [name], 1)
    assert graph.entities(VIEW, None, 10) == memory.entities(VIEW)


def test_graph_works_on_several_loops_and_is_closed_on_all_of_them(
    settings: Neo4jSettings,
) -> None:
    made = Neo4jKnowledgeGraph(settings)
    loops = [BackgroundLoop(), BackgroundLoop()]
    log = InMemoryAuditLog()

    async def use(number: int) -> int:
        event = relation("Ann", "knows", f"friend {number}")
        await made.apply(log.append(append_of([event])).recorded)
        return len(await made.relations(VIEW, "Ann"))

    assert [loop.run(use(number)) for number, loop in enumerate(loops)] == [1, 2]
    loops[0].run(made.close())
    for loop in loops:
        with pytest.raises(AdapterUnavailable, match="closed"):
            loop.run(made.ping())
        loop.close()


def test_routed_uri_uses_the_members_that_the_server_names() -> None:
    with settings_at(STAND_IN) as settings:
        routed = evolve(settings, uri=settings.uri.replace("bolt:", "neo4j:"))
        with plain(routed) as graph:
            events, memory = history()
            graph.apply(events)
            assert_same(graph, memory)


def test_ping_returns_name_and_version(graph: PlainGraph) -> None:
    name, version = graph.ping().split(" ")
    assert (name, bool(version)) == ("neo4j", True)
