"""``AppendSignal`` on PostgreSQL: notifications, reconnects and shared connections."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Sequence
from typing import Any

import psycopg
import pytest

from remembrancer import AsyncMemory, Memory
from remembrancer.adapters.stores.memory.vector_index import InMemoryVectorIndex
from remembrancer.adapters.stores.postgres import append_signal
from remembrancer.adapters.stores.postgres.position_assignment import channel_of
from remembrancer.adapters.stores.postgres.settings import PostgresSettings
from remembrancer.adapters.stores.postgres.transaction_scripts import quoted
from remembrancer.application.inline import run_inline
from remembrancer.application.projections import worker
from remembrancer.domain.ports.vector_index import Document
from remembrancer.wiring.settings import load_settings

USER: dict[str, Any] = {"user_id": "ann"}
PATIENCE = 60.0
NEVER = 3600.0


@pytest.fixture(autouse=True)
def no_polling(monkeypatch: pytest.MonkeyPatch) -> None:
    """Disable polling, so that only a notification wakes a waiter before the test fails."""
    monkeypatch.setattr(append_signal, "BETWEEN", NEVER)
    monkeypatch.setattr(worker, "IDLE", NEVER)


def settings_of(postgres: PostgresSettings) -> Any:
    log = {name: getattr(postgres, name) for name in ("dsn", "schema", "partitions")}
    config = {
        "audit_log": {"provider": "postgres", **log},
        "embedder": {"dimension": 32},
        "projections": {"wait": 0},
    }
    return load_settings(config, environment={})


def listener(postgres: PostgresSettings, *, other_than: int = 0) -> int:
    """Wait for a backend that listens after its first poll; return its process id."""
    deadline = time.monotonic() + PATIENCE
    with psycopg.connect(postgres.dsn, autocommit=True) as connection:
        while True:
            row = connection.execute(
                "SELECT pid FROM pg_stat_activity WHERE state = 'idle' AND pid <> %s "
                "AND starts_with(query, 'SELECT coalesce') AND strpos(query, %s) > 0",
                (other_than, f"{quoted(postgres.schema)}.waiting()"),
            ).fetchone()
            if row is not None:
                return int(row[0])
            assert time.monotonic() < deadline, "no backend listens"


def kill(postgres: PostgresSettings, pid: int) -> None:
    with psycopg.connect(postgres.dsn, autocommit=True) as connection:
        connection.execute("SELECT pg_terminate_backend(%s)", (pid,))


def waiting_in_thread(memory: Memory) -> threading.Thread:
    after = memory.stats().last_position
    container = memory._inner._container
    thread = threading.Thread(
        target=lambda: run_inline(container.append_signal().wait(after, NEVER)), daemon=True
    )
    thread.start()
    return thread


def test_waiter_wakes_when_another_memory_appends(postgres: PostgresSettings) -> None:
    with Memory(settings=settings_of(postgres)) as memory:
        with Memory(settings=settings_of(postgres)) as other:
            thread = waiting_in_thread(memory)
            listener(postgres)
            other.add("I like tea", **USER)
        thread.join(PATIENCE)
        assert not thread.is_alive()


def test_waiter_reconnects_after_its_connection_was_killed(
    postgres: PostgresSettings,
) -> None:
    with Memory(settings=settings_of(postgres)) as memory:
        thread = waiting_in_thread(memory)
        pid = listener(postgres)
        kill(postgres, pid)
        listener(postgres, other_than=pid)
        memory.add("I like tea", **USER)
        thread.join(PATIENCE)
        assert not thread.is_alive()


def test_async_wait_does_not_block_its_event_loop(postgres: PostgresSettings) -> None:
    async def use() -> None:
        async with AsyncMemory(settings=settings_of(postgres)) as memory:
            after = (await memory.stats()).last_position
            waiter = asyncio.create_task(memory._container.append_signal().wait(after, NEVER))
            pid = await asyncio.to_thread(listener, postgres)
            await asyncio.to_thread(kill, postgres, pid)
            await asyncio.to_thread(lambda: listener(postgres, other_than=pid))
            await memory.add("I like tea", **USER)
            await asyncio.wait_for(waiter, PATIENCE)

    asyncio.run(use())


def listeners(postgres: PostgresSettings) -> int:
    """Number of listening connections."""
    with psycopg.connect(postgres.dsn, autocommit=True) as connection:
        row = connection.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE strpos(query, %s) > 0 AND pid <> %s",
            (f"{quoted(postgres.schema)}.waiting()", connection.info.backend_pid),
        ).fetchone()
        assert row is not None
        return int(row[0])


def test_waiters_of_one_loop_share_a_connection_and_wake_together(
    postgres: PostgresSettings,
) -> None:
    async def use() -> None:
        async with AsyncMemory(settings=settings_of(postgres)) as memory:
            after = (await memory.stats()).last_position
            wait = memory._container.append_signal().wait
            waiters = [asyncio.create_task(wait(after, NEVER)) for _ in range(5)]
            await asyncio.to_thread(listener, postgres)
            assert await asyncio.to_thread(listeners, postgres) == 1
            await memory.add("I like tea", **USER)
            await asyncio.wait_for(asyncio.gather(*waiters), PATIENCE)

    asyncio.run(use())


@pytest.mark.parametrize("leaving", ["cancelled", "in time"])
def test_another_waiter_listens_after_the_listening_one_left(
    postgres: PostgresSettings, leaving: str
) -> None:
    async def use() -> None:
        async with AsyncMemory(settings=settings_of(postgres)) as memory:
            after = (await memory.stats()).last_position
            wait = memory._container.append_signal().wait
            first = asyncio.create_task(wait(after, NEVER if leaving == "cancelled" else 0.5))
            await asyncio.to_thread(listener, postgres)
            other = asyncio.create_task(wait(after, NEVER))
            await asyncio.sleep(0)
            if leaving == "cancelled":
                first.cancel()
            await asyncio.wait([first], timeout=PATIENCE)
            assert first.done()
            assert not other.done()
            await asyncio.to_thread(listener, postgres)
            await memory.add("I like tea", **USER)
            await asyncio.wait_for(other, PATIENCE)

    asyncio.run(use())


def test_wait_returns_at_its_timeout(postgres: PostgresSettings) -> None:
    with Memory(settings=settings_of(postgres)) as memory:
        for _ in range(2):
            run_inline(memory._inner._container.append_signal().wait(0, 0.01))
        assert memory.stats().last_position == 0


def test_append_sends_no_notification_without_a_listener(postgres: PostgresSettings) -> None:
    # LISTEN on the channel, but without the lock that marks a listener
    with (
        Memory(settings=settings_of(postgres)) as memory,
        psycopg.connect(postgres.dsn, autocommit=True) as connection,
    ):
        schema = quoted(postgres.schema)
        channel = channel_of(schema)
        connection.execute(f"LISTEN {channel}".encode())
        memory.add("I like tea", **USER)
        connection.execute("SELECT pg_notify(%s, 'the first')", (channel,))
        assert [notice.payload for notice in connection.notifies(stop_after=1)] == ["the first"]


class SignallingIndex(InMemoryVectorIndex):
    """An index that sets an event after a put."""

    def __init__(self) -> None:
        super().__init__()
        self.fed = threading.Event()

    def put(self, documents: Sequence[Document]) -> None:
        super().put(documents)
        self.fed.set()


def test_worker_applies_events_of_another_memory_without_polling(
    postgres: PostgresSettings,
) -> None:
    index, stop = SignallingIndex(), threading.Event()
    with (
        Memory(settings=settings_of(postgres), overrides={"vector_index": index}) as memory,
        Memory(settings=settings_of(postgres)) as other,
    ):
        thread = threading.Thread(target=lambda: memory.run_worker(stop=stop.is_set), daemon=True)
        thread.start()
        listener(postgres)
        other.add("I like tea", **USER)
        assert index.fed.wait(PATIENCE)
        stop.set()
        other.add("I like coffee", user_id="eve")  # wakes the worker, so that it checks stop
        thread.join(PATIENCE)
        assert not thread.is_alive()
