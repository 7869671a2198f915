"""Memories, workers and indexes over an unreliable connection to PostgreSQL."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from time import monotonic
from typing import Any

import psycopg
import pytest

from remembrancer import Memory
from remembrancer.adapters.stores.postgres import append_signal
from remembrancer.adapters.stores.postgres.settings import PostgresSettings
from remembrancer.adapters.stores.postgres.transaction_scripts import quoted
from remembrancer.adapters.vector_index.pgvector import PgvectorIndex, PgvectorSettings
from remembrancer.application.inline import run_inline
from remembrancer.domain.errors import AdapterUnavailable
from remembrancer.domain.graph.graph import View
from remembrancer.domain.ports.vector_index import IndexQuery
from remembrancer.domain.scope import Scope
from remembrancer.testing.unreliable_wire import UnreliableWire, When
from remembrancer.testing.vector_index import DIMENSION, LATER, document, vector
from remembrancer.wiring.settings import load_settings
from tests.engines.flapping import FlappingGraph, FlappingIndex
from tests.helpers.faces import ASYNC, SYNC, opened
from tests.helpers.waiting import PATIENCE, until

ANN: dict[str, Any] = {"user_id": "ann"}
TEA = "I like green tea."
OSLO = "I work at Acme in Oslo."

FACES = pytest.mark.parametrize("face", [SYNC, ASYNC])
FAULTS = pytest.mark.parametrize("fault", ["drop", "cut", "half_close", "silence"])


def config_of(postgres: PostgresSettings) -> dict[str, Any]:
    names = ("dsn", "schema", "partitions", "connect_timeout", "statement_timeout")
    log = {name: getattr(postgres, name) for name in names}
    return {
        "audit_log": {"provider": "postgres", **log},
        "embedder": {"dimension": 32},
        "projections": {"wait": 0, "lease": 1.0},
    }


def memory_at(postgres: PostgresSettings, **engines: Any) -> Memory:
    settings = load_settings(config_of(postgres), environment={})
    return Memory(settings=settings, overrides=engines)


# Memory and AsyncMemory


@FACES
@pytest.mark.parametrize("when", ["before", "after"])
def test_add_with_a_lost_receipt_is_made_once_under_its_idempotency_key(
    over_wire: PostgresSettings, wire: UnreliableWire, *, face: str, when: When
) -> None:
    async def use() -> None:
        async with opened(face, config_of(over_wire)) as memory:
            await memory.add(TEA, idempotency_key="tea", **ANN)
            # Given an add whose commit, or its answer, is lost
            wire.cut_at(b"COMMIT; BEGIN", when)
            with pytest.raises(AdapterUnavailable, match="postgres"):
                await memory.add(OSLO, idempotency_key="oslo", **ANN)
            assert not wire.cuts
            # When it is retried twice
            one = await memory.add(OSLO, idempotency_key="oslo", **ANN)
            two = await memory.add(OSLO, idempotency_key="oslo", **ANN)
            # Then it is recorded once, and log and read models agree
            assert [verdict.fact_id for verdict in one.verdicts] == [
                verdict.fact_id for verdict in two.verdicts
            ]
            facts = [fact.text for fact in (await memory.get_all(**ANN)).facts]
            assert sorted(facts) == sorted([TEA, OSLO])
            assert (await memory.verify()).ok

    asyncio.run(use())


@FACES
def test_memory_calls_succeed_after_dropped_connections(
    over_wire: PostgresSettings, wire: UnreliableWire, *, face: str
) -> None:
    async def use() -> None:
        async with opened(face, config_of(over_wire)) as memory:
            calls: list[Callable[[], Any]] = [
                lambda: memory.add(TEA, **ANN),
                lambda: memory.search("tea", **ANN),
                lambda: memory.get_all(**ANN),
                memory.verify,
                memory.stats,
            ]
            for call in calls:
                await asyncio.gather(*(memory.get_all(**ANN) for _ in range(6)))
                wire.drop()
                await call()
            assert [item.fact.text for item in await memory.search("tea", **ANN)] == [TEA]

    asyncio.run(use())


# Workers


@contextmanager
def working(memory: Memory) -> Iterator[None]:
    stop = threading.Event()
    thread = threading.Thread(target=lambda: memory.run_worker(stop=stop.is_set), daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(PATIENCE)
    assert not thread.is_alive()


@FAULTS
def test_worker_catches_up_after_a_broken_wire_is_mended(
    postgres: PostgresSettings, impatient: PostgresSettings, wire: UnreliableWire, fault: str
) -> None:
    index, graph = FlappingIndex(), FlappingGraph()
    with (
        memory_at(impatient, vector_index=index, knowledge_graph=graph) as memory,
        memory_at(postgres) as writer,
    ):

        def lag() -> int:
            # Read over a direct connection, from the worker's checkpoints
            last = writer.stats().last_position
            with psycopg.connect(postgres.dsn) as connection:
                (reached,) = connection.execute(
                    f"SELECT min(position) FROM {quoted(postgres.schema)}.feed "
                    "WHERE projection IN ('vector_index', 'knowledge_graph')".encode()
                ).fetchone() or (None,)
            # None until the worker has its first checkpoints
            return int(last - (reached or 0))

        with working(memory):
            writer.add(OSLO, **ANN)
            until(lambda: lag() == 0)
            # Given a running worker whose wire breaks while a writer continues
            getattr(wire, fault)()
            for number in range(8):
                writer.add(f"My neighbour {number} works at Acme.", user_id=f"u{number % 3}")
            # When it is mended
            wire.mend()
            # Then the worker catches up
            until(lambda: lag() == 0)
        assert memory.dead_letters() == []
        # And the engines have exactly the same facts as the store
        for user in ("ann", "u0", "u1", "u2"):
            facts = writer.get_all(user_id=user).facts
            held = [item for item in index.delivered.values() if item.scope.user_id == user]
            assert sorted(item.text for item in held) == sorted(fact.text for fact in facts)
            view = View(scope=Scope(user_id=user), now=datetime.now(UTC))
            embedded = memory._inner._container.embedded_graph()
            assert list(graph.entities(view)) == list(run_inline(embedded.entities(view))) != []


def test_worker_continues_after_an_unreleased_lease_expires(
    postgres: PostgresSettings, impatient: PostgresSettings, wire: UnreliableWire
) -> None:
    index = FlappingIndex()
    with (
        memory_at(impatient, vector_index=index) as memory,
        memory_at(postgres) as writer,
        working(memory),
    ):
        # Given a running worker that failed to release its lease
        wire.cut_at(b"owner = NULL, problem", "before")
        writer.add(TEA, **ANN)
        until(lambda: len(index.delivered) == 1 and not wire.cuts)
        # Then the next event is still delivered
        writer.add(OSLO, **ANN)
        until(lambda: len(index.delivered) == 2)


# Append signal


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(append_signal, "BETWEEN", 0.1)
    monkeypatch.setattr(append_signal, "GRACE", 0.5)


def listens(postgres: PostgresSettings) -> bool:
    with psycopg.connect(postgres.dsn, autocommit=True) as connection:
        row = connection.execute(
            "SELECT FROM pg_stat_activity WHERE state = 'idle' "
            "AND starts_with(query, 'SELECT coalesce') AND strpos(query, %s) > 0",
            (f"{quoted(postgres.schema)}.waiting()",),
        ).fetchone()
        return row is not None


@FAULTS
@pytest.mark.usefixtures("quick")
def test_waiter_wakes_after_a_broken_wire_is_mended(
    postgres: PostgresSettings, impatient: PostgresSettings, wire: UnreliableWire, fault: str
) -> None:
    with memory_at(impatient) as memory, memory_at(postgres) as writer:
        after = memory.stats().last_position
        signal = memory._inner._container.append_signal()
        thread = threading.Thread(target=lambda: run_inline(signal.wait(after, 3600)), daemon=True)
        thread.start()
        until(lambda: listens(postgres))
        getattr(wire, fault)()
        writer.add(TEA, **ANN)
        wire.mend()
        thread.join(PATIENCE)
        assert not thread.is_alive()


@pytest.mark.usefixtures("quick")
def test_wait_on_a_half_open_connection_returns_near_its_timeout(
    impatient: PostgresSettings, wire: UnreliableWire
) -> None:
    with memory_at(impatient) as memory:
        signal = memory._inner._container.append_signal()
        run_inline(signal.wait(0, 0.01))
        wire.half_close()
        began = monotonic()
        run_inline(signal.wait(0, 0.5))
        assert monotonic() - began < 5
        wire.mend()


# The pgvector engine


@pytest.fixture
def index(impatient: PostgresSettings) -> Iterator[PgvectorIndex]:
    settings = PgvectorSettings(
        dsn=impatient.dsn, schema=impatient.schema, connect_timeout=0.5, statement_timeout=0.5
    )
    made = PgvectorIndex(settings, "m", DIMENSION)
    yield made
    made.close()


QUERY = IndexQuery(scope=Scope(user_id="alice"), text="tea", vector=vector(1), now=LATER)


def test_index_calls_succeed_after_dropped_connections(
    index: PgvectorIndex, wire: UnreliableWire
) -> None:
    tea = document("tea")
    index.put([tea])
    for call in (lambda: index.search(QUERY), lambda: index.put([tea])):
        wire.drop()
        call()
    assert [hit.key for hit in index.search(QUERY)] == [tea.key]


def test_index_on_a_half_open_connection_raises_in_time(
    index: PgvectorIndex, wire: UnreliableWire
) -> None:
    tea = document("tea")
    index.put([tea])
    wire.half_close()
    began = monotonic()
    with pytest.raises(
        AdapterUnavailable, match="pgvector: the connection is open, but the server does not answer"
    ):
        index.search(QUERY)
    assert monotonic() - began < 10
    wire.mend()
    assert [hit.key for hit in index.search(QUERY)] == [tea.key]
