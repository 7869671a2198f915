"""Interrupts at each place of PostgreSQL's sessions where a signal handler may raise."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterator
from contextlib import closing
from typing import Any

import psycopg
import pytest

from remembrancer.adapters.stores.postgres.database import Database
from remembrancer.adapters.stores.postgres.schema_versions import SCHEMA_VERSIONS
from remembrancer.adapters.stores.postgres.sessions import Sessions
from remembrancer.adapters.stores.postgres.settings import PostgresSettings
from remembrancer.application.inline import run_inline
from remembrancer.testing.depth import failing_steps
from tests.helpers.injection import Injection
from tests.helpers.waiting import until

SESSIONS = (
    "stores/postgres/pooled_sessions.py",
    "stores/postgres/sync_sessions.py",
    "stores/postgres/async_sessions.py",
    "stores/postgres/transaction_scripts.py",
    "stores/postgres/failures.py",
    "application/inline.py",
)
KEY = 4711
"""Of an advisory lock."""


async def in_transaction(sessions: Sessions) -> None:
    async with sessions.transaction() as connection:
        await connection.execute("SELECT pg_advisory_xact_lock(%s)", (KEY,))


async def in_reader(sessions: Sessions) -> None:
    async with sessions.reader() as connection:
        await (await connection.execute("SELECT 1")).fetchone()


async def in_glance(sessions: Sessions) -> None:
    async with sessions.glance() as reader:
        await (await reader.execute("SELECT 1")).fetchone()


async def in_call(sessions: Sessions) -> None:
    await sessions.call(f"SELECT pg_advisory_xact_lock({KEY})")


async def in_alone(sessions: Sessions) -> None:
    assert await sessions.alone(KEY, "SELECT 1")


WORKS = [in_transaction, in_reader, in_glance, in_call, in_alone]


@pytest.fixture
def database(postgres: PostgresSettings) -> Iterator[Database]:
    with closing(Database(postgres, SCHEMA_VERSIONS)) as opened:
        yield opened


@pytest.fixture
def neighbour(postgres: PostgresSettings) -> Iterator[psycopg.Connection]:
    with psycopg.connect(postgres.dsn, autocommit=True) as connection:
        yield connection


@pytest.mark.filterwarnings("ignore:coroutine .* was never awaited:RuntimeWarning")
@pytest.mark.parametrize("work", WORKS)
def test_interrupted_call_leaves_no_lock_and_no_transaction(
    database: Database,
    neighbour: psycopg.Connection,
    work: Callable[[Sessions], Coroutine[Any, Any, None]],
) -> None:
    def locked() -> bool:
        held = neighbour.execute("SELECT count(*) FROM pg_locks WHERE objid = %s", (KEY,))
        return held.fetchone() != (0,)

    def fail(step: int) -> bool:
        injection, kept = Injection(SESSIONS, step), None
        try:
            with injection():
                run_inline(work(database.sessions))
        except KeyboardInterrupt as error:
            # As a debugger keeps it
            kept = error
        # Then the server holds nothing for it, and each kind of call works again
        until(lambda: not locked())
        for again in WORKS:
            run_inline(again(database.sessions))
        return kept is not None

    assert list(failing_steps(fail, usual=1, name=work.__name__))
    pool = database._pool
    assert pool is not None
    assert pool.get_stats()["pool_size"] <= database.settings.max_connections
