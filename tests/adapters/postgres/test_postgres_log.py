"""The audit log on PostgreSQL under concurrency and faults, on a single server."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from itertools import pairwise
from typing import Any

import psycopg
import psycopg_pool
import pytest
from attrs import evolve

from remembrancer.adapters.stores.postgres.advisory_locks import advisory_key
from remembrancer.adapters.stores.postgres.audit_log import PostgresAuditLog, create_log
from remembrancer.adapters.stores.postgres.database import Database
from remembrancer.adapters.stores.postgres.settings import PostgresSettings
from remembrancer.domain.errors import AdapterUnavailable, InvalidRequest, SettingsError
from remembrancer.domain.recorded import Append, Head, Position, Recorded
from remembrancer.domain.scope import LedgerId
from remembrancer.testing.audit_log import ALICE, BOB
from remembrancer.testing.driving import Driven
from tests.engines.postgres_server import PostgresServer
from tests.helpers.appending import Holding, check_ledgers, count_of

WRITERS = 8


class Dying(PostgresAuditLog):
    """A log whose writer dies between commit and position assignment."""

    async def _written(self, append: Append, prepared: Any) -> tuple[int, range, list[Recorded]]:
        async with self._sessions.transaction(flushed=False) as connection:
            return await self._appended(connection, append, prepared)


@pytest.fixture
def database(postgres: PostgresSettings) -> Iterator[Database]:
    settings = evolve(postgres, max_connections=2 * WRITERS)
    opened = Database(settings, [create_log])
    yield opened
    opened.close()


@pytest.fixture
def log(database: Database) -> Any:
    return Driven(PostgresAuditLog(database.sessions))


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(2 * WRITERS) as pool:
        yield pool


# Positions


def test_tailing_reader_misses_no_event_of_concurrent_and_slow_writers(
    database: Database, log: Any, threads: ThreadPoolExecutor
) -> None:
    each, slow = 40, LedgerId("user:slow")
    seen: list[Recorded] = []
    returned: dict[str, int] = {}

    def write(number: int) -> int:
        # Batches of 1 to 5 events, over ledgers that writers share
        written = 0
        for turn in range(each):
            appended = log.append(count_of(1 + turn % 5, LedgerId(f"user:{(number + turn) % 5}")))
            returned.update((item.event_id, item.position) for item in appended.recorded)
            written += len(appended.recorded)
        return written

    def write_slowly(events_to_let_pass: int) -> int:
        # A transaction that inserts its rows long before it commits
        holding = Holding(slow)
        appending = threads.submit(
            Driven(PostgresAuditLog(database.sessions, listener=holding)).append, count_of(3, slow)
        )
        assert holding.open.wait(60)
        target = log.last_position() + events_to_let_pass
        assert _until(lambda: len(seen) >= target)
        holding.release.set()
        appended = appending.result()
        assert appended.recorded[0].position > target
        returned.update((item.event_id, item.position) for item in appended.recorded)
        return 3

    # Given eight writers, and a transaction that stays open while other events are committed
    writing = [threads.submit(write, number) for number in range(WRITERS)]
    writing.append(threads.submit(write_slowly, 100))
    # When a reader tails the log meanwhile
    while not (all(done.done() for done in writing) and len(seen) == log.last_position()):
        seen.extend(log.read(Position(len(seen)), 37))
        if any(done.done() and done.exception() for done in writing):
            break
    total = sum(done.result() for done in writing)
    # Then it has read every event once, in order and without gaps
    assert [item.position for item in seen] == list(range(1, total + 1))
    assert {item.event_id: item.position for item in seen} == returned
    check_ledgers(log, seen)


def _until(condition: Callable[[], bool]) -> bool:
    waiting = threading.Event()
    for _ in range(60_000):
        if condition():
            return True
        waiting.wait(0.001)
    return False


def test_late_commit_gets_a_late_position(
    database: Database, log: Any, threads: ThreadPoolExecutor
) -> None:
    holding = Holding(ALICE)
    slow = Driven(PostgresAuditLog(database.sessions, listener=holding))
    appending = threads.submit(slow.append, count_of(2, ALICE))
    assert holding.open.wait(60)
    # While the transaction is open, others neither wait for it nor leave a gap
    assert [item.position for item in log.append(count_of(2, BOB)).recorded] == [1, 2]
    assert [item.position for item in log.read(Position(0))] == [1, 2]
    holding.release.set()
    assert [item.position for item in appending.result().recorded] == [3, 4]
    assert [item.ledger for item in log.read(Position(2))] == [ALICE, ALICE]


def test_open_snapshot_of_another_session_does_not_block_appends(
    postgres: PostgresSettings, log: Any
) -> None:
    log.append(count_of(1, ALICE))
    with psycopg.connect(postgres.dsn) as idle:
        idle.execute(f'SELECT count(*) FROM "{postgres.schema}".event'.encode())
        idle.execute("SELECT pg_current_xact_id()")
        for turn in range(50):
            log.append(count_of(1, LedgerId(f"user:{turn % 3}")))
        assert [item.position for item in log.read(Position(0))] == list(range(1, 52))


def test_readers_assign_positions_to_events_of_a_dead_writer(database: Database, log: Any) -> None:
    # Given a writer that died before the position assignment
    dying = Driven(Dying(database.sessions))
    log.append(count_of(1, BOB))
    for ledger in (ALICE, BOB):
        dying.append(count_of(2, ledger))
    # Then every kind of read returns its events with positions
    assert [item.position for item in log.read_ledger(ALICE)] == [2, 3]
    dying.append(count_of(1, ALICE))
    assert log.last_position() == 6
    dying.append(count_of(1, ALICE))
    assert [item.position for item in log.read(Position(0))] == list(range(1, 8))
    dying.append(append := count_of(1, ALICE))
    assert [item.position for item in log.append(append).recorded] == [8]
    check_ledgers(log, log.read(Position(0)))


def test_numbering_lock_is_released_when_its_holder_dies(
    postgres: PostgresSettings, database: Database, log: Any, threads: ThreadPoolExecutor
) -> None:
    key = advisory_key(database.sessions.schema, "numbering")
    with closing(psycopg.connect(postgres.dsn)) as leader:
        leader.execute("SELECT pg_advisory_xact_lock(%s)", (key,))
        appending = threads.submit(log.append, count_of(1, ALICE))
        with psycopg.connect(postgres.dsn, autocommit=True) as other:
            assert _until(
                lambda: (
                    other.execute(
                        "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' "
                        "AND NOT granted AND (classid::bigint << 32) + objid::bigint = %s",
                        (key,),
                    ).fetchone()
                    == (1,)
                )
            )
            other.execute("SELECT pg_terminate_backend(%s)", (leader.info.backend_pid,))
        assert appending.result().recorded[0].position == 1


def test_positions_continue_after_a_restore_on_a_server_with_lower_transaction_ids(
    postgres: PostgresSettings, log: Any
) -> None:
    log.append(count_of(1, ALICE))
    with psycopg.connect(postgres.dsn, autocommit=True) as connection:
        connection.execute(
            f"UPDATE \"{postgres.schema}\".place SET horizon = '9000000000000'".encode()
        )
    for position in (2, 3):
        assert log.append(count_of(1, ALICE)).recorded[0].position == position


# The same event id in two ledgers


def test_event_id_of_another_ledger_is_rejected(log: Any) -> None:
    append = count_of(1, ALICE)
    log.append(append)
    with pytest.raises(InvalidRequest, match="was recorded before with other content"):
        log.append(evolve(append, ledger=BOB))
    assert list(log.ledgers()) == [ALICE]


def test_concurrent_use_of_an_event_id_in_two_ledgers_succeeds_once(
    database: Database, log: Any, threads: ThreadPoolExecutor
) -> None:
    append = count_of(1, ALICE)
    holding = Holding(ALICE)
    first = threads.submit(
        Driven(PostgresAuditLog(database.sessions, listener=holding)).append, append
    )
    assert holding.open.wait(60)
    second = threads.submit(log.append, evolve(append, ledger=BOB))
    holding.release.set()
    assert first.result().recorded[0].version == 1
    with pytest.raises(InvalidRequest, match="event_id"):
        second.result()
    assert log.last_position() == 1


# Faults


def test_connection_lost_in_an_append_raises_and_the_next_call_works(
    postgres: PostgresSettings, database: Database, log: Any
) -> None:
    def cut() -> None:
        with psycopg.connect(postgres.dsn, autocommit=True) as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE state = 'idle in transaction' AND query LIKE '%event_key%'"
            )

    holding = Holding(ALICE, cut)
    holding.release.set()
    append = count_of(2, ALICE)
    broken = Driven(PostgresAuditLog(database.sessions, listener=holding))
    with pytest.raises(AdapterUnavailable, match="postgres") as error:
        broken.append(append)
    assert isinstance(error.value.__cause__, psycopg.OperationalError)
    # Nothing was written, and a retry of the append succeeds
    assert log.head(ALICE) == Head()
    assert not log.append(append).replayed
    assert [item.position for item in log.read(Position(0))] == [1, 2]


def test_next_call_works_after_a_server_restart(postgres: PostgresSettings) -> None:
    server = PostgresServer("fsync=off")
    try:
        server.start()
        database = Database(evolve(postgres, dsn=server.dsn, connect_timeout=2), [create_log])
        log = Driven(PostgresAuditLog(database.sessions))
        with ThreadPoolExecutor(4) as threads:
            list(threads.map(log.append, [count_of(1, LedgerId(f"user:{n}")) for n in range(8)]))
        # Given a server that crashes
        server.crash()
        with pytest.raises(AdapterUnavailable, match="postgres"):
            log.append(count_of(1, ALICE))
        # When it is started again
        server.start()
        # Then no call fails on a dead connection, and no acknowledged event is lost
        assert log.append(count_of(1, ALICE)).recorded[0].position == 9
        assert [item.position for item in log.read(Position(0))] == list(range(1, 10))
        database.close()
    finally:
        server.remove()


def test_statement_is_cancelled_at_its_timeout(
    postgres: PostgresSettings, database: Database, threads: ThreadPoolExecutor
) -> None:
    holding = Holding(ALICE)
    slow = Driven(PostgresAuditLog(database.sessions, listener=holding))
    appending = threads.submit(slow.append, count_of(1, ALICE))
    assert holding.open.wait(60)
    hasty = Database(evolve(postgres, statement_timeout=0.05), [create_log])
    with pytest.raises(AdapterUnavailable, match="statement_timeout"):
        Driven(PostgresAuditLog(hasty.sessions)).append(count_of(1, ALICE))
    hasty.close()
    holding.release.set()
    assert appending.result().recorded[0].version == 1


def test_unreachable_server_is_named_without_its_password(postgres: PostgresSettings) -> None:
    nowhere = evolve(postgres, dsn="host=127.0.0.1 port=1 password=s3cret", connect_timeout=2)
    with pytest.raises(AdapterUnavailable, match=r"postgres: .*port 1 failed") as error:
        Database(nowhere, [create_log])
    assert "s3cret" not in str(error.value)
    assert "s3cret" not in repr(nowhere)


@pytest.mark.parametrize("dsn", ["nonsense", "host=127.0.0.1 sslmode=perhaps", "nokey=1"])
def test_invalid_connection_string_is_rejected(postgres: PostgresSettings, dsn: str) -> None:
    with pytest.raises((InvalidRequest, AdapterUnavailable), match=r"sslmode|audit_log\.dsn"):
        Database(evolve(postgres, dsn=dsn), [create_log])


def test_server_without_tls_is_rejected_if_tls_is_required(
    postgres: PostgresSettings,
) -> None:
    with pytest.raises(SettingsError, match="SSL"):
        Database(evolve(postgres, dsn=f"{postgres.dsn} sslmode=require"), [create_log])


# The schema


def test_concurrent_starts_create_one_schema(
    postgres: PostgresSettings, threads: ThreadPoolExecutor
) -> None:
    start = threading.Barrier(6)

    def open_and_append(number: int) -> int:
        start.wait()
        database = Database(postgres, [create_log])
        log = Driven(PostgresAuditLog(database.sessions))
        version: int = log.append(count_of(1, LedgerId(f"user:{number}"))).recorded[0].version
        database.close()
        return version

    assert list(threads.map(open_and_append, range(6))) == [1] * 6


def test_newer_schema_and_foreign_schema_are_rejected(
    postgres: PostgresSettings, database: Database
) -> None:
    with pytest.raises(InvalidRequest, match="has schema version 1, this release knows up to 0"):
        Database(postgres, [])
    with psycopg.connect(postgres.dsn, autocommit=True) as connection:
        connection.execute(f'DROP TABLE "{postgres.schema}".migration'.encode())
    with pytest.raises(InvalidRequest, match="holds the tables of another program"):
        Database(postgres, [create_log])


def test_older_schema_is_migrated(postgres: PostgresSettings, log: Any) -> None:
    log.append(count_of(1, ALICE))
    database = Database(
        postgres, [create_log, lambda schema, _: [f"CREATE TABLE {schema}.news (id int)"]]
    )
    assert Driven(PostgresAuditLog(database.sessions)).head(ALICE).version == 1
    database.close()


@pytest.mark.parametrize(
    "name", ['o"dd', "Ünïcode 😀", "a; DROP TABLE event; --", "%s", "user", "x" * 63]
)
def test_schema_name_may_have_any_characters(postgres: PostgresSettings, name: str) -> None:
    settings = evolve(postgres, schema=name)
    with psycopg.connect(postgres.dsn, autocommit=True) as connection:
        quoted = name.replace('"', '""')
        try:
            database = Database(settings, [create_log])
            log = Driven(PostgresAuditLog(database.sessions))
            log.append(count_of(2, ALICE))
            assert [item.position for item in log.read(Position(0))] == [1, 2]
            database.close()
        finally:
            connection.execute(f'DROP SCHEMA IF EXISTS "{quoted}" CASCADE'.encode())


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"schema": ""}, "schema"),
        ({"schema": "x" * 64}, "schema"),
        ({"schema": "pg_mine"}, "schema"),
        ({"partitions": 0}, "partitions"),
        ({"max_connections": 1}, "max_connections"),
        ({"min_connections": 11}, "max_connections"),
        ({"statement_timeout": -1.0}, "statement_timeout"),
        ({"connect_timeout": 1e9}, "connect_timeout"),
    ],
)
def test_invalid_setting_is_rejected_by_name(
    postgres: PostgresSettings, change: dict[str, Any], named: str
) -> None:
    with pytest.raises(InvalidRequest, match=rf"audit_log\.{named}"):
        Database(evolve(postgres, **change), [create_log])


def test_events_are_partitioned_by_ledger(postgres: PostgresSettings, log: Any) -> None:
    for number in range(40):
        log.append(count_of(1, LedgerId(f"user:{number}")))
    with psycopg.connect(postgres.dsn) as connection:
        rows = connection.execute(
            f'SELECT tableoid::regclass::text, count(DISTINCT ledger_id) FROM "{postgres.schema}"'
            ".event GROUP BY 1".encode()
        ).fetchall()
    assert len(rows) == postgres.partitions
    assert sum(count for _, count in rows) == 40


# The host's pool


def test_host_pool_is_used_and_left_unchanged(postgres: PostgresSettings) -> None:
    with psycopg_pool.ConnectionPool(postgres.dsn, min_size=1, max_size=2, open=True) as pool:
        database = Database(evolve(postgres, dsn="host=nowhere"), [create_log], pool=pool)
        log = Driven(PostgresAuditLog(database.sessions))
        log.append(count_of(1, ALICE))
        assert [item.position for item in log.read(Position(0))] == [1]
        database.close()
        with pool.connection() as connection:
            assert not connection.autocommit
            assert connection.execute("SHOW search_path").fetchone() == ('"$user", public',)


def test_sync_pool_is_rejected_for_async_memory(postgres: PostgresSettings) -> None:
    pool = psycopg_pool.ConnectionPool(postgres.dsn, min_size=0, max_size=1, open=False)
    with pytest.raises(InvalidRequest, match="AsyncMemory needs a psycopg_pool"):
        Database(postgres, [create_log], blocking=False, pool=pool)


def test_recorded_times_of_concurrent_writers_increase_within_a_ledger(
    log: Any, threads: ThreadPoolExecutor
) -> None:
    list(threads.map(log.append, [count_of(1, ALICE) for _ in range(40)]))
    times = [item.recorded_at for item in log.read_ledger(ALICE)]
    assert all(earlier < later for earlier, later in pairwise(times))
