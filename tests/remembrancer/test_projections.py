"""External projections catch up with the log: after each write, by a worker, or by a rebuild."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from remembrancer import AsyncMemory, Memory
from remembrancer.adapters.stores.memory.vector_index import InMemoryVectorIndex
from remembrancer.adapters.stores.postgres.settings import PostgresSettings
from remembrancer.application.projections.worker import Report
from remembrancer.domain.errors import AdapterUnavailable, InvalidRequest
from remembrancer.domain.graph.graph import View
from remembrancer.domain.ports.vector_index import Document
from remembrancer.domain.scope import Scope
from remembrancer.testing.driving import Driven
from remembrancer.testing.file_index import FileIndex
from remembrancer.wiring.settings import load_settings
from tests.engines.flapping import FlappingGraph, FlappingIndex
from tests.helpers.waiting import PATIENCE, until

ANN: dict[str, Any] = {"user_id": "ann"}
BEN: dict[str, Any] = {"user_id": "ben"}
TEA = "I like green tea."

Open = Callable[..., Memory]


HOMES = ["memory", "sqlite", "postgres"]
lasting = pytest.mark.parametrize("home", HOMES[1:], indirect=True)
"""Stores that persist, for tests that reopen a memory."""


@pytest.fixture(params=HOMES)
def home(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, Any]:
    """Settings of a log in a database for this test alone."""
    if request.param == "postgres":
        postgres: PostgresSettings = request.getfixturevalue("postgres")
        return {"provider": "postgres", "dsn": postgres.dsn, "schema": postgres.schema}
    path = {"path": str(tmp_path / "app.db")} if request.param == "sqlite" else {}
    return {"provider": request.param, **path}


@pytest.fixture
def opened(home: dict[str, Any]) -> Iterator[Open]:
    """Opens a memory over external engines; a persistent database is the same each time."""
    memories: list[Memory] = []

    def open_memory(
        index: object = None, graph: object = None, *, embedder: int = 32, **projections: Any
    ) -> Memory:
        config = {
            "audit_log": home,
            "embedder": {"dimension": embedder},
            "projections": projections,
        }
        overrides = {
            name: engine
            for name, engine in (("vector_index", index), ("knowledge_graph", graph))
            if engine is not None
        }
        memory = Memory(settings=load_settings(config, environment={}), overrides=overrides)
        memories.append(memory)
        return memory

    yield open_memory
    for memory in memories:
        memory.close()


def texts(memory: Memory, question: str = "tea?", **scope: Any) -> tuple[set[str], tuple[str, ...]]:
    found = memory.search(question, **(scope or ANN))
    return {item.fact.text for item in found}, found.degraded


def lag(memory: Memory, projection: str = "vector_index") -> int:
    return sum(item.events for item in memory.stats().lags if item.projection == projection)


# After the commit


def test_write_is_in_the_external_index_when_it_returns(opened: Open) -> None:
    index = FlappingIndex()
    memory = opened(index)
    receipt = memory.add(TEA, **ANN)
    assert receipt.lagging == ()
    assert {document.text for document in index.delivered.values()} == {TEA}
    assert texts(memory) == ({TEA}, ())


def test_updates_and_deletes_reach_the_external_index(opened: Open) -> None:
    index = FlappingIndex()
    memory = opened(index)
    receipt = memory.add(TEA, **ANN)
    fact_id = receipt.verdicts[0].fact_id
    assert fact_id is not None
    changed = memory.update(fact_id, "I like black tea.")
    assert changed is not None
    assert changed.lagging == ()
    assert texts(memory) == ({"I like black tea."}, ())
    assert memory.delete(fact_id).lagging == ()
    assert texts(memory) == (set(), ())


def test_write_is_in_the_external_graph_when_it_returns(opened: Open) -> None:
    graph = FlappingGraph()
    memory = opened(graph=graph)
    receipt = memory.add("Ann works at Acme in Oslo.", **ANN)
    assert receipt.lagging == ()
    view = View(scope=Scope(user_id="ann"), now=memory.get_all(**ANN).facts[0].created_at)
    assert list(graph.entities(view)) == list(embedded_graph(memory).entities(view)) != []


def test_async_memory_drives_projections_in_its_own_loop(home: dict[str, Any]) -> None:
    index = FlappingIndex()

    async def use() -> None:
        settings = load_settings({"audit_log": home}, environment={})
        async with AsyncMemory(settings=settings, overrides={"vector_index": index}) as memory:
            receipts = await asyncio.gather(*(memory.add(TEA, user_id=f"u{n}") for n in range(9)))
            assert {receipt.lagging for receipt in receipts} == {()}
            found = await memory.search("tea?", user_id="u3")
            assert (len(found), found.degraded) == (1, ())

    asyncio.run(use())
    assert len(index.delivered) == 9


def test_unavailable_engine_lags_and_catches_up(opened: Open) -> None:
    # Given an engine that is unavailable
    index = FlappingIndex()
    memory = opened(index)
    index.away = lambda: True
    # When facts are added
    receipts = [memory.add(text, **ANN) for text in (TEA, "I like mint tea.")]
    # Then the writes are committed, report the lag, and can be found
    assert [receipt.lagging for receipt in receipts] == [("vector_index",)] * 2
    assert texts(memory) == ({TEA, "I like mint tea."}, ("vector_index",))
    (current,) = memory.stats().lags
    assert current.events == memory.stats().last_position
    assert current.problem == "flapping: connection refused"
    # And when the engine is back, it catches up
    index.away = lambda: False
    memory.run_worker(once=True)
    assert lag(memory) == 0
    assert len(index.delivered) == 2
    assert memory.stats().lags[0].problem is None


def test_search_falls_back_to_the_log_if_the_engine_fails(opened: Open) -> None:
    index = FlappingIndex()
    memory = opened(index)
    memory.add(TEA, **ANN)
    index.away = lambda: True
    assert texts(memory) == ({TEA}, ("vector_index",))


def test_lag_of_another_ledger_does_not_degrade_a_search(opened: Open) -> None:
    index = FlappingIndex()
    memory = opened(index, wait=0)
    memory.add(TEA, **ANN)
    memory.run_worker(once=True)
    memory.add(TEA, **BEN)
    assert texts(memory, **ANN) == ({TEA}, ())
    assert texts(memory, **BEN) == ({TEA}, ("vector_index",))


def test_hanging_engine_delays_a_write_at_most_by_the_wait_setting(opened: Open) -> None:
    # Given an engine that does not return from a put
    index = FlappingIndex()
    memory = opened(index, wait=0.05)
    index.gate.clear()
    # When
    receipt = memory.add(TEA, **ANN)
    # Then the write returned while the engine was called, and the engine catches up
    assert receipt.lagging == ("vector_index",)
    until(index.waiting.is_set)
    index.gate.set()
    until(lambda: lag(memory) == 0)
    assert texts(memory) == ({TEA}, ())


def test_wait_of_zero_leaves_delivery_to_workers(opened: Open) -> None:
    index = FlappingIndex()
    memory = opened(index, wait=0)
    assert memory.add(TEA, **ANN).lagging == ("vector_index",)
    assert index.puts == 0
    report = memory.run_worker(once=True)
    assert [(item.events, counts.delivered) for item, counts in report.partitions] == [(0, 5)]
    assert texts(memory) == ({TEA}, ())


def test_changed_context_reaches_the_external_index(opened: Open) -> None:
    index = FlappingIndex()
    memory = opened(index)
    memory.add(TEA, **ANN)
    memory.add("It was raining all day.", **ANN)
    (document,) = [item for item in index.delivered.values() if item.text == TEA]
    assert "raining" in document.context


# Workers


def working(memory: Memory, **options: Any) -> tuple[threading.Thread, threading.Event]:
    stop = threading.Event()
    thread = threading.Thread(
        target=lambda: memory.run_worker(stop=stop.is_set, **options), daemon=True
    )
    thread.start()
    return thread, stop


def test_worker_delivers_events_until_it_is_stopped(opened: Open) -> None:
    index, graph = FlappingIndex(), FlappingGraph()
    memory = opened(index, graph, wait=0)
    thread, stop = working(memory)
    for number in range(5):
        memory.add(f"I like tea number {number}.", **ANN)
        until(lambda: lag(memory) == lag(memory, "knowledge_graph") == 0)
    stop.set()
    thread.join(PATIENCE)
    assert not thread.is_alive()
    assert len(index.delivered) == 5


def test_worker_survives_a_failure_of_its_engine(opened: Open) -> None:
    index = FlappingIndex()
    memory = opened(index, wait=0)
    index.away = lambda: True
    reports: list[Report] = []
    thread, stop = working(memory, on_report=reports.append)
    memory.add(TEA, **ANN)
    until(lambda: any(counts.failures for report in reports for _, counts in report.partitions))
    assert memory.dead_letters() == []
    index.away = lambda: False
    until(lambda: lag(memory) == 0)
    stop.set()
    thread.join(PATIENCE)
    assert len(index.delivered) == 1


def test_last_report_of_a_worker_is_its_result(opened: Open) -> None:
    memory = opened(FlappingIndex(), wait=0)
    memory.add(TEA, **ANN)
    reports: list[Report] = []
    result = memory.run_worker(once=True, on_report=reports.append)
    assert reports[-1] == result
    assert [lag.events for lag, _ in result.partitions] == [0]


def test_cancelled_worker_task_releases_its_lease(home: dict[str, Any]) -> None:
    index = FlappingIndex()

    async def use() -> None:
        settings = load_settings({"audit_log": home, "projections": {"wait": 0}}, environment={})
        async with AsyncMemory(settings=settings, overrides={"vector_index": index}) as memory:
            working = asyncio.create_task(memory.run_worker())
            await memory.add(TEA, **ANN)
            while (await memory.stats()).lags[0].events:
                await asyncio.sleep(0.01)
            working.cancel()
            with pytest.raises(asyncio.CancelledError):
                await working
            assert (await memory.stats()).lags[0].owner is None

    asyncio.run(asyncio.wait_for(use(), PATIENCE))
    assert len(index.delivered) == 1


def test_two_workers_share_the_partitions(opened: Open) -> None:
    index, graph = FlappingIndex(), FlappingGraph()
    memory = opened(index, graph, wait=0, partitions=3, batch=2)
    workers = [working(memory) for _ in range(2)]
    for number in range(12):
        memory.add(TEA, user_id=f"u{number}")
    until(lambda: lag(memory) == lag(memory, "knowledge_graph") == 0)
    for thread, stop in workers:
        stop.set()
        thread.join(PATIENCE)
    assert len(index.delivered) == 12


@lasting
def test_more_partitions_continue_from_the_checkpoint_of_fewer(opened: Open) -> None:
    index = FlappingIndex()
    with opened(index, partitions=1) as memory:
        memory.add(TEA, **ANN)
    with opened(index, partitions=3) as memory:
        assert memory.add("I like mint tea.", **ANN).lagging == ()
        assert [item.events for item in memory.stats().lags].count(0) >= 1
        memory.run_worker(once=True)
        assert lag(memory) == 0
    assert len(index.delivered) == 2


def test_worker_without_external_projections_is_refused(opened: Open) -> None:
    with pytest.raises(InvalidRequest, match="there is no external projection"):
        opened().run_worker(once=True)


# Dead letters


def too_long(document: Document) -> bool:
    return "endless" in document.text


def test_refused_event_becomes_a_dead_letter_and_does_not_block_others(opened: Open) -> None:
    index = FlappingIndex()
    memory = opened(index, wait=0)
    index.bad = too_long
    for text in ("I like mint tea.", "I like endless tea.", "I like iced tea."):
        memory.add(text, infer=False, **ANN)
    memory.add(TEA, infer=False, **BEN)
    # When
    report = memory.run_worker(once=True)
    # Then
    assert lag(memory) == 0
    assert {item.text for item in index.delivered.values()} == {
        "I like mint tea.", "I like iced tea.", TEA
    }  # fmt: skip
    letters = memory.dead_letters()
    assert {letter.cause for letter in letters} == {
        "InvalidRequest: text: is too long for this engine"
    }
    assert "fact.added" in {letter.type_name for letter in letters}
    assert {(letter.ledger, letter.tries) for letter in letters} == {("user:ann", 3)}
    assert sum(item.dead for item, _ in report.partitions) == len(letters)
    # And the ledger with a dead letter is read from the log's own database
    assert texts(memory, **ANN)[1] == ("vector_index",)
    assert "I like endless tea." in texts(memory, **ANN)[0]
    assert texts(memory, **BEN) == ({TEA}, ())


def test_dead_letters_are_delivered_by_a_retry_after_the_cause_is_fixed(opened: Open) -> None:
    index = FlappingIndex()
    memory = opened(index)
    index.bad = too_long
    assert memory.add("I like endless tea.", **ANN).lagging == ("vector_index",)
    letters = memory.dead_letters()
    # When the retry fails
    again = memory.retry_dead_letters()
    assert again.revived == 0
    assert [letter.tries for letter in again.dead] == [letter.tries + 3 for letter in letters]
    assert [letter.since for letter in again.dead] == [letter.since for letter in letters]
    # When the retry succeeds
    index.bad = lambda _document: False
    assert memory.retry_dead_letters().revived == len(letters)
    assert memory.dead_letters() == []
    assert texts(memory) == ({"I like endless tea."}, ())


def test_retry_on_an_unavailable_engine_loses_no_dead_letter(opened: Open) -> None:
    index = FlappingIndex()
    memory = opened(index)
    index.bad = too_long
    memory.add("I like endless tea.", **ANN)
    letters = memory.dead_letters()
    index.away = lambda: True
    with pytest.raises(AdapterUnavailable):
        memory.retry_dead_letters()
    assert memory.dead_letters() == letters


def test_ordered_delivery_stops_a_ledger_at_its_dead_letter(opened: Open) -> None:
    # Given a graph that refuses one event of Ann
    graph = FlappingGraph()
    memory = opened(graph=graph, wait=0)
    graph.bad = lambda item: getattr(item.event, "text", None) == "Ann works at Acme."
    fact_id = memory.add("Ann works at Acme.", infer=False, **ANN).verdicts[0].fact_id
    assert fact_id is not None
    memory.add("Ben works at Initech.", infer=False, **BEN)
    memory.run_worker(once=True)
    # When there are later events in this and another ledger
    memory.update(fact_id, "Ann worked at Acme.")
    memory.add("Ben lives in Oslo.", infer=False, **BEN)
    memory.run_worker(once=True)
    # Then Ann's ledger waits, the other one does not
    (letter,) = memory.dead_letters()
    assert letter.ledger == "user:ann"
    assert lag(memory, "knowledge_graph") == 0
    assert histories(graph, "ann") == {}
    assert histories(graph, "ben") == histories(embedded_graph(memory), "ben") != {}
    # And a successful retry delivers all events in order
    graph.bad = lambda _item: False
    assert memory.retry_dead_letters().revived == 1
    assert histories(graph, "ann") == histories(embedded_graph(memory), "ann")


def embedded_graph(memory: Memory) -> Any:
    return Driven(memory._inner._container.embedded_graph())


def histories(graph: Any, user: str) -> dict[str, int]:
    """The entities of a user's ledger with their number of facts."""
    view = View(scope=Scope(user_id=user), now=datetime(2100, 1, 1, tzinfo=UTC))
    return {entity.name: entity.facts for entity in graph.entities(view)}


# Rebuilding


def test_rebuild_clears_the_engine_and_feeds_it_from_the_beginning(opened: Open) -> None:
    index = FlappingIndex()
    memory = opened(index)
    for number in range(5):
        memory.add(f"I like tea number {number}.", **ANN)
    before = dict(index.delivered)
    # Given an engine whose documents were tampered with
    lost, other, *_ = before
    index.remove([lost])
    del index.delivered[lost]
    stray = evolve(before[other], key=("stray", 1), text="No fact of ours")
    index.put([stray])
    # When
    report = memory.rebuild("vector_index")
    # Then
    assert index.delivered == before
    assert [item.events for item, _ in report.partitions] == [0]
    assert texts(memory)[1] == ()


def test_rebuild_of_one_of_two_engines_reports_that_one_alone(opened: Open) -> None:
    # Failed with a KeyError: the report had the lag of both engines, the worker had one
    index, graph = FlappingIndex(), FlappingGraph()
    memory = opened(index, graph)
    memory.add("Ann likes tea.", **ANN)
    report = memory.rebuild("vector_index")
    assert [(item.projection, item.events) for item, _ in report.partitions] == [
        ("vector_index", 0)
    ]
    assert {item.projection for item in memory.stats().lags} == {"vector_index", "knowledge_graph"}


def test_interrupted_rebuild_is_continued_by_a_worker(opened: Open) -> None:
    index = FlappingIndex()
    memory = opened(index, batch=2)
    for number in range(5):
        memory.add(f"I like tea number {number}.", **ANN)
    before, puts = dict(index.delivered), index.puts
    # Given a rebuild whose engine fails in the middle
    index.away = lambda: index.puts > puts + 2
    with pytest.raises(AdapterUnavailable, match="cut short: flapping"):
        memory.rebuild("vector_index")
    # Then reads skip the engine
    assert lag(memory) > 0
    assert texts(memory)[1] == ("vector_index",)
    # And a worker finishes the rebuild without a restart
    index.away = lambda: False
    memory.run_worker(once=True)
    assert index.delivered == before
    assert lag(memory) == 0


def test_rebuild_of_an_unknown_projection_is_refused(opened: Open) -> None:
    with pytest.raises(InvalidRequest, match="no 'facts' to rebuild; there are: vector_index"):
        opened(FlappingIndex()).rebuild("facts")


@lasting
def test_engine_fed_with_another_embedder_is_skipped_until_rebuilt(
    opened: Open, tmp_path: Path
) -> None:
    def opened_with(dimension: int) -> Memory:
        return opened(FileIndex(tmp_path / "index.db", dimension), embedder=dimension)

    with opened_with(16) as memory:
        assert memory.add(TEA, **ANN).lagging == ()
    with opened_with(32) as memory:
        memory.rebuild("read_models")
        # Then writes don't wait for it, reads skip it, and a worker says what to do
        assert memory.add("I like mint tea.", **ANN).lagging == ("vector_index",)
        assert texts(memory) == ({TEA, "I like mint tea."}, ("vector_index",))
        assert memory.stats().lags[0].rebuild
        with pytest.raises(InvalidRequest, match="run remembrancer rebuild vector_index"):
            memory.run_worker(once=True)
        memory.rebuild("vector_index")
        assert texts(memory) == ({TEA, "I like mint tea."}, ())
        assert not memory.stats().lags[0].rebuild


@lasting
def test_engine_that_lost_its_data_is_reported_as_lagging(
    opened: Open,
) -> None:
    for lagging in ((), ("vector_index",)):
        with opened(InMemoryVectorIndex()) as memory:
            assert memory.add(TEA, **ANN).lagging == lagging
            assert texts(memory)[0] == {TEA}


# Wiring


@pytest.mark.parametrize(
    ("part", "method"), [("vector_index", "put"), ("knowledge_graph", "apply")]
)
def test_override_without_the_needed_method_is_refused_on_open(part: str, method: str) -> None:
    with pytest.raises(InvalidRequest, match=rf"overrides\.{part}: lacks {method}\(\)"):
        Memory(overrides={part: object()})


def test_closing_twice_does_nothing(opened: Open) -> None:
    memory = opened(FlappingIndex())
    memory.add(TEA, **ANN)
    memory.close()
    memory.close()
