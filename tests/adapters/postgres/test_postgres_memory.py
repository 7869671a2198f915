"""Several memories on one PostgreSQL schema: rebuilds, lagging read models, pools."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import psycopg
import psycopg_pool
import pytest

from remembrancer import AsyncMemory, Memory
from remembrancer.adapters.stores.postgres.audit_log import PostgresAuditLog
from remembrancer.adapters.stores.postgres.read_models import PostgresReadModels
from remembrancer.adapters.stores.postgres.settings import PostgresSettings
from remembrancer.application.inline import run_inline
from remembrancer.domain.errors import AdapterUnavailable, IntegrityError, InvalidRequest
from remembrancer.domain.events import RelationAsserted
from remembrancer.domain.scope import Scope
from remembrancer.testing.audit_log import ALICE, append_of, new_id
from remembrancer.wiring.settings import load_settings

USER: dict[str, Any] = {"user_id": "alice"}


def settings_of(postgres: PostgresSettings, dimension: int = 32, **changes: Any) -> Any:
    log = {name: getattr(postgres, name) for name in ("dsn", "schema", "partitions")}
    config = {
        "audit_log": {"provider": "postgres", **log, **changes},
        "embedder": {"dimension": dimension},
    }
    return load_settings(config, environment={})


@pytest.fixture
def memory(postgres: PostgresSettings) -> Iterator[Memory]:
    with Memory(settings=settings_of(postgres)) as opened:
        yield opened


def log_alone(memory: Memory) -> PostgresAuditLog:
    """The log of a memory, without read models."""
    return PostgresAuditLog(memory._inner._container.audit_log()._sessions)


def texts(memory: Memory) -> list[str]:
    return [item.fact.text for item in memory.search("tea", **USER)]


def test_writers_with_the_old_embedder_are_rejected_after_a_rebuild(
    postgres: PostgresSettings, memory: Memory
) -> None:
    memory.add("I like tea", **USER)
    rebuilt: list[tuple[str, int, int]] = []
    with Memory(
        settings=settings_of(postgres, 64), on_rebuild=lambda *step: rebuilt.append(step)
    ) as other:
        total = other.stats().last_position
        other.rebuild("read_models")
        assert rebuilt == [("rebuilding read models", total, total)]
        assert texts(other) == ["I like tea"]
        assert other.verify().ok
        # The memory that is open with the old embedder changes nothing
        with pytest.raises(
            InvalidRequest, match=r"index was made with .*/64, this memory has .*/32"
        ):
            memory.add("I like coffee", **USER)
        assert other.stats().last_position == total
        assert set(other.stats().positions.values()) == {total}


@pytest.mark.parametrize("table", ["fact", "message", "graph_mention"])
def test_dropped_table_is_reported_and_rebuilt_on_request(
    postgres: PostgresSettings, memory: Memory, table: str
) -> None:
    memory.add("I like tea. Ann lives in Oslo.", **USER)
    before = memory.get_all(**USER)
    memory.close()
    with psycopg.connect(postgres.dsn, autocommit=True) as connection:
        connection.execute(f'DROP TABLE "{postgres.schema}".{table}'.encode())
    with Memory(settings=settings_of(postgres)) as again:
        with pytest.raises(IntegrityError, match="rebuild read_models"):
            again.add("I like rain", **USER)
        again.rebuild("read_models")
        assert again.get_all(**USER).facts == before.facts
        assert again.verify().ok


def test_events_written_without_read_models_block_writes_until_caught_up(
    postgres: PostgresSettings, memory: Memory
) -> None:
    memory.add("I like tea", **USER)
    before = memory.stats().last_position
    relation = RelationAsserted(
        relation_id=new_id(),
        scope=Scope(user_id="alice"),
        subject="Ann",
        predicate="sister",
        object="Eve",
    )
    late = append_of([relation], ledger=ALICE, at=datetime.now(UTC))
    run_inline(log_alone(memory).append(late))
    stats = memory.stats()
    assert (stats.last_position, set(stats.positions.values())) == (before + 1, {before})
    with pytest.raises(AdapterUnavailable, match="open the database again"):
        memory.add("I like coffee", **USER)
    with Memory(settings=settings_of(postgres)) as again:
        stats = again.stats()
        assert set(stats.positions.values()) == {stats.last_position}
        again.add("I like coffee", **USER)
        assert again.verify().ok


def test_write_raises_while_another_process_rebuilds(
    postgres: PostgresSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    rebuilding, finish = threading.Event(), threading.Event()

    def held_up(*_: object) -> None:
        rebuilding.set()
        assert finish.wait(60)

    def rebuild() -> list[str]:
        with Memory(settings=settings_of(postgres, 64), on_rebuild=held_up) as other:
            other.rebuild("read_models")
            return texts(other)

    # The write waits for the rebuild that long; a read on a busy machine takes less.
    hasty = settings_of(postgres, statement_timeout=3)
    with Memory(settings=hasty) as memory, ThreadPoolExecutor(1) as threads:
        memory.add("I like tea", **USER)
        # Given a running rebuild
        done = threads.submit(rebuild)
        try:
            assert rebuilding.wait(60)
            # Then readers see the old rows, and a write raises
            assert texts(memory) == ["I like tea"]
            with pytest.raises(AdapterUnavailable, match="is rebuilding the read models"):
                memory.add("I like coffee", **USER)
        finally:
            finish.set()
        assert done.result() == ["I like tea"]


def test_concurrent_starts_behind_the_log_apply_each_event_once(
    postgres: PostgresSettings, memory: Memory
) -> None:
    memory.add("I like tea", **USER)
    total = memory.stats().last_position
    memory.close()
    with psycopg.connect(postgres.dsn, autocommit=True) as connection:
        connection.execute(f'SET search_path = "{postgres.schema}"'.encode())
        connection.execute("DELETE FROM projection")
        connection.execute(b"DROP TABLE fact, message, evidence, pipeline, usage")
        found = connection.execute(
            "SELECT tablename FROM pg_tables WHERE schemaname = %s "
            "AND (tablename LIKE 'index%%' OR tablename LIKE 'graph%%')",
            (postgres.schema,),
        ).fetchall()
        for (table,) in found:
            connection.execute(f"DROP TABLE {table}".encode())
    start = threading.Barrier(4)
    applied: list[int] = []

    def open_again(_: int) -> list[str]:
        start.wait()
        with Memory(
            settings=settings_of(postgres), on_rebuild=lambda _, done, __: applied.append(done)
        ) as opened:
            assert opened.verify().ok
            return texts(opened)

    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(open_again, range(4))) == [["I like tea"]] * 4
    assert applied == [total]


def test_interrupted_rebuild_leaves_the_old_read_models(
    postgres: PostgresSettings, memory: Memory
) -> None:
    memory.add("I like tea", **USER)

    def fail(*_: object) -> None:
        raise KeyboardInterrupt

    with (
        Memory(settings=settings_of(postgres, 64), on_rebuild=fail) as other,
        pytest.raises(KeyboardInterrupt),
    ):
        other.rebuild("read_models")
    assert texts(memory) == ["I like tea"]
    memory.add("I like coffee", **USER)
    assert memory.verify().ok


# The host's pool


def test_memory_uses_the_host_pool_and_leaves_it_open(
    postgres: PostgresSettings,
) -> None:
    with psycopg_pool.ConnectionPool(postgres.dsn, min_size=1, max_size=2, open=True) as pool:
        with Memory(settings=settings_of(postgres), overrides={"postgres_pool": pool}) as memory:
            memory.add("I like tea", **USER)
            assert texts(memory) == ["I like tea"]
        with pool.connection() as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)


def test_async_memory_uses_the_host_pool_and_leaves_it_open(
    postgres: PostgresSettings,
) -> None:
    async def main() -> list[str]:
        async with psycopg_pool.AsyncConnectionPool(
            postgres.dsn, min_size=1, max_size=2, open=False
        ) as pool:
            async with await AsyncMemory.open(
                settings=settings_of(postgres), overrides={"postgres_pool": pool}
            ) as memory:
                await asyncio.gather(*(memory.add(f"I like tea {n}", **USER) for n in range(4)))
                found = await memory.get_all(**USER)
            async with pool.connection() as connection:
                assert not connection.autocommit
        return sorted(fact.text for fact in found.facts)

    assert asyncio.run(main()) == [f"I like tea {n}" for n in range(4)]


def test_async_memory_opens_a_pool_per_event_loop(
    postgres: PostgresSettings,
) -> None:
    with asyncio.Runner() as first, asyncio.Runner() as second:
        memory = first.run(AsyncMemory.open(settings=settings_of(postgres)))
        first.run(memory.add("I like tea", **USER))
        second.run(memory.add("I like coffee", **USER))
        assert len(first.run(memory.get_all(**USER)).facts) == 2
        second.run(memory.close())


def test_add_cancelled_during_a_statement_can_be_retried(
    postgres: PostgresSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    inside = asyncio.Event()

    async def main() -> bool:
        async with await AsyncMemory.open(settings=settings_of(postgres)) as memory:
            apply = PostgresReadModels.apply

            async def slow(self: Any, connection: Any, *arguments: Any) -> None:
                await apply(self, connection, *arguments)
                inside.set()
                await connection.execute("SELECT pg_sleep(60)")

            monkeypatch.setattr(PostgresReadModels, "apply", slow)
            task = asyncio.create_task(memory.add("I like tea", idempotency_key="k", **USER))
            await inside.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            monkeypatch.setattr(PostgresReadModels, "apply", apply)
            receipt = await memory.add("I like tea", idempotency_key="k", **USER)
            assert len(receipt.verdicts) == 1
            return (await memory.verify()).ok

    assert asyncio.run(main())
