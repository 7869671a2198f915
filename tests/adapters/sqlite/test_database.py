"""The SQLite database file: ownership, concurrency, failures and damage."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, TypedDict

import pytest

from remembrancer import Memory
from remembrancer.adapters.stores.sqlite.audit_log import SqliteAuditLog, create_log
from remembrancer.adapters.stores.sqlite.database import Database, Durability, SqliteSettings
from remembrancer.adapters.stores.sqlite.migrations import APPLICATION_ID
from remembrancer.adapters.stores.sqlite.schema_sql import create
from remembrancer.adapters.stores.sqlite.schema_versions import SCHEMA_VERSIONS
from remembrancer.domain.errors import (
    AdapterUnavailable,
    Conflict,
    IntegrityError,
    InvalidRequest,
)
from remembrancer.domain.recorded import Append, Position, Recorded
from remembrancer.testing.audit_log import ALICE, append_of, fact_added
from remembrancer.wiring.settings import load_settings
from tests.helpers.fallback import opened_for_reading_alone


class Owner(TypedDict):
    """The scope of the memory."""

    user_id: str


MINE: Owner = {"user_id": "alice"}


def opened(path: Path, **settings: Any) -> Database:
    return Database(SqliteSettings(path=str(path), **settings), [create_log])


def memory(path: Path, **settings: Any) -> Memory:
    return Memory(settings=load_settings({"audit_log": {"path": str(path), **settings}}))


def texts(of: Memory) -> list[str]:
    return sorted(fact.text for fact in of.get_all(**MINE).facts)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "memory.db"


@pytest.fixture
def database(file: Path) -> Iterator[Database]:
    with closing(opened(file)) as held:
        yield held


# Ownership of the file


@pytest.mark.parametrize(
    "content",
    [b"not a database at all, but long enough to be one" * 100, b"hi", b"SQLite format 4\0" * 99],
    ids=["text", "two bytes", "another format"],
)
def test_file_that_is_not_a_database_is_refused_and_not_changed(file: Path, content: bytes) -> None:
    file.write_bytes(content)
    with pytest.raises(InvalidRequest) as refused:
        Memory(file)
    assert str(refused.value) == (f"path: {file} is not a SQLite database; name another file")
    assert file.read_bytes() == content


@pytest.mark.parametrize(
    "statement", ["CREATE TABLE notes (text)", "PRAGMA application_id = 252006674"]
)
def test_database_of_another_program_is_refused_and_not_changed(file: Path, statement: str) -> None:
    with closing(sqlite3.connect(file)) as other:
        other.execute(statement)
    before = file.read_bytes()
    with pytest.raises(InvalidRequest) as refused:
        Memory(file)
    assert str(refused.value) == (
        f"path: {file} is the database of another program; name another file"
    )
    assert file.read_bytes() == before


def test_file_of_a_newer_release_is_refused_and_not_changed(file: Path) -> None:
    Memory(file).close()
    with closing(sqlite3.connect(file)) as other:
        (version,) = other.execute("PRAGMA user_version").fetchone()
        other.execute("PRAGMA user_version = 99")
    before = file.read_bytes()
    with pytest.raises(InvalidRequest) as refused:
        Memory(file)
    assert str(refused.value) == (
        f"path: {file} has schema version 99, this release knows up to {version}; "
        "upgrade remembrancer"
    )
    assert file.read_bytes() == before


def test_empty_file_and_empty_database_are_adopted(tmp_path: Path) -> None:
    (tmp_path / "empty.db").touch()
    sqlite3.connect(tmp_path / "bare.db").close()
    for name in ("empty.db", "bare.db"):
        with memory(tmp_path / name) as held:
            held.add("I like tea", **MINE)
        with closing(sqlite3.connect(tmp_path / name)) as other:
            assert other.execute("PRAGMA application_id").fetchone() == (APPLICATION_ID,)


@pytest.mark.parametrize("name", ["ünïcode 日本.db", "100% #1?mode=ro&x.db", 'it\'s "q".db'])
def test_file_may_have_any_name(tmp_path: Path, name: str) -> None:
    opened(tmp_path / name).close()
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_file_name_may_be_invalid_utf_8(tmp_path: Path) -> None:
    name = os.fsencode(tmp_path) + b"/caf\xe9.db"
    try:
        Path(os.fsdecode(name)).touch()
    except OSError:
        pytest.skip("this file system has names in UTF-8 only")
    opened(Path(os.fsdecode(name))).close()
    assert Path(os.fsdecode(name)).stat().st_size > 0


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"path": ""}, "path: name a file, or :memory:"),
        ({"path": "a\0b.db"}, "path: name a file, or :memory:"),
        ({"path": "a\ud800b.db"}, "path: has a lone surrogate; remove it"),
        ({"busy_timeout": -1.0}, "busy_timeout: expected 0 to 1000000 seconds, got -1.0"),
        ({"busy_timeout": float("nan")}, "busy_timeout: expected 0 to 1000000 seconds, got nan"),
        ({"busy_timeout": float("inf")}, "busy_timeout: expected 0 to 1000000 seconds, got inf"),
    ],
)
def test_invalid_settings_are_refused(settings: dict[str, Any], problem: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        Database(SqliteSettings(**settings), [create_log])
    assert str(refused.value) == problem


@pytest.mark.parametrize("name", ["no/such/folder/memory.db", "."])
def test_impossible_file_path_is_reported(tmp_path: Path, name: str) -> None:
    with pytest.raises(AdapterUnavailable, match="check that its folder exists and is writable"):
        Memory(tmp_path / name)


@pytest.mark.parametrize(("durability", "level"), [(Durability.FULL, 2), (Durability.NORMAL, 1)])
def test_durability_setting_selects_the_synchronous_level(
    file: Path, durability: Durability, level: int
) -> None:
    with closing(opened(file, durability=durability)) as held, held.transaction() as connection:
        assert connection.execute("PRAGMA synchronous").fetchone() == (level,)
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)


# Schema versions


def test_file_gets_each_migration_once_and_in_order(file: Path) -> None:
    # Given a file of the first release
    opened(file).close()
    steps: list[int] = []

    def second(connection: sqlite3.Connection) -> None:
        steps.append(2)
        connection.execute("CREATE TABLE second (id INTEGER PRIMARY KEY)")

    def third(connection: sqlite3.Connection) -> None:
        steps.append(3)
        connection.execute("CREATE TABLE third (id INTEGER PRIMARY KEY)")

    # When later releases open it, one of them twice
    Database(SqliteSettings(path=str(file)), [create_log, second]).close()
    for _ in range(2):
        Database(SqliteSettings(path=str(file)), [create_log, second, third]).close()
    # Then each step ran once
    assert steps == [2, 3]
    with pytest.raises(InvalidRequest, match="schema version 3, this release knows up to 2"):
        Database(SqliteSettings(path=str(file)), [create_log, second])


def test_failed_migration_does_not_change_the_file(file: Path) -> None:
    def fails(connection: sqlite3.Connection) -> None:
        # Implicit commits of sqlite-utils must not commit our transaction
        create(connection, half)
        connection.execute("INSERT INTO half VALUES (1, 'x')")
        raise RuntimeError("no space left in the schema")

    def half(schema: Any) -> None:
        schema["half"].create({"id": int, "text": str}, pk="id")
        schema["half"].create_index(["text"])

    with pytest.raises(RuntimeError):
        Database(SqliteSettings(path=str(file)), [create_log, fails])
    with closing(sqlite3.connect(file)) as other:
        assert other.execute("SELECT name FROM sqlite_master").fetchall() == []
        assert other.execute("PRAGMA user_version").fetchone() == (0,)
    opened(file).close()


# Read-only


def test_read_only_memory_can_be_read(file: Path) -> None:
    with memory(file) as writer:
        writer.add("I like tea", **MINE)
    with memory(file, read_only=True) as reader:
        assert texts(reader) == ["I like tea"]
        assert [found.fact.text for found in reader.search("tea", **MINE)] == ["I like tea"]
        assert reader.verify().ok


def test_read_only_memory_sees_concurrent_writes(file: Path) -> None:
    with memory(file) as writer, memory(file, read_only=True) as reader:
        writer.add("I like tea", **MINE)
        assert texts(reader) == ["I like tea"]


@pytest.mark.parametrize(
    "write",
    [
        lambda held, fact_id: held.add("I like coffee", **MINE),
        lambda held, fact_id: held.add("I like coffee", **MINE, infer=False),
        lambda held, fact_id: held.update(fact_id, "I like coffee"),
        lambda held, fact_id: held.delete(fact_id),
        lambda held, fact_id: held.delete_all(**MINE),
    ],
    ids=["add", "add verbatim", "update", "delete", "delete_all"],
)
def test_writing_to_a_read_only_memory_is_refused_and_changes_nothing(
    file: Path, write: Callable[[Memory, str], object]
) -> None:
    with memory(file) as writer:
        fact_id = writer.add("I like tea", **MINE).verdicts[0].fact_id
    assert fact_id is not None
    before = file.read_bytes()
    with memory(file, read_only=True) as reader:
        with pytest.raises(AdapterUnavailable, match="the database is read-only; make the file"):
            write(reader, fact_id)
        assert texts(reader) == ["I like tea"]
    assert file.read_bytes() == before


@pytest.mark.parametrize("infer", [True, False])
def test_writing_goes_on_after_the_file_could_not_be_opened_for_writing(
    file: Path, monkeypatch: pytest.MonkeyPatch, infer: bool
) -> None:
    with memory(file) as held:
        held.add("I like tea", **MINE)
    # Given a memory that was opened while its file was read-only
    with opened_for_reading_alone(monkeypatch):
        held = memory(file)
    with held:
        with pytest.raises(AdapterUnavailable, match="the database is read-only") as refused:
            held.add("I like coffee", infer=infer, **MINE)
        assert refused.value.retryable
        # When the same call is tried again, then it succeeds
        held.add("I like coffee", infer=infer, **MINE)
        held.rebuild("read_models")
        assert texts(held) == ["I like coffee", "I like tea"]


def test_missing_or_empty_file_can_not_be_opened_read_only(file: Path) -> None:
    with pytest.raises(AdapterUnavailable, match="the file can't be opened"):
        memory(file, read_only=True)
    assert not file.exists()
    file.touch()
    with pytest.raises(InvalidRequest, match="open it once without read_only to migrate it"):
        memory(file, read_only=True)


# No space left


def limit_pages(database: Database, pages: int) -> None:
    with database.transaction() as connection:
        connection.execute(f"PRAGMA max_page_count = {pages}")


@pytest.fixture
def small(file: Path) -> Iterator[tuple[Database, Memory]]:
    """A memory with one fact, on a database that can grow only by a few pages."""
    with Memory(file) as held:
        database: Database = held._inner._container.audit_log()._database
        held.add("I like tea", **MINE)
        with database.transaction() as connection:
            (pages,) = connection.execute("PRAGMA page_count").fetchone()
        limit_pages(database, pages + 2)
        yield database, held


def fill(held: Memory, infer: bool) -> list[str]:
    """Add long texts until the database is full; returns the acknowledged ones."""
    added: list[str] = []
    while True:
        text = f"I like tea number {len(added)} {'very ' * 800}much"
        try:
            held.add(text, **MINE, infer=infer)
        except AdapterUnavailable as full:
            assert "full; free space and try again" in full.problem  # noqa: PT017
            assert full.retryable  # noqa: PT017
            return added
        added.append(text)


@pytest.mark.parametrize("infer", [True, False])
def test_full_database_refuses_writes_and_loses_nothing(
    small: tuple[Database, Memory], infer: bool
) -> None:
    database, held = small
    # Given a database that is full after some writes
    added = fill(held, infer)
    # Then the acknowledged writes are there and verify
    assert texts(held) == sorted(["I like tea", *added])
    assert held.verify().ok
    # and writing continues when there is space again
    limit_pages(database, 1_000_000)
    held.add("I like coffee", **MINE)
    assert texts(held) == sorted(["I like coffee", "I like tea", *added])
    assert held.verify().ok


RUN_FULL = """
import resource, signal, sys
from remembrancer import AdapterUnavailable, Memory
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
with Memory(sys.argv[1]) as held:
    held.add("I like tea", user_id="alice")
    hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, hard))
    added = 0
    try:
        while added < 1000:
            held.add("I like " + f"tea{added} " * 500, user_id="alice", infer=False)
            added += 1
    except AdapterUnavailable as error:
        print(error)
    print(len(held.get_all(user_id="alice", limit=1000).facts) == added + 1, held.verify().ok)
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    held.add("I like coffee", user_id="alice")
    print(len(held.get_all(user_id="alice", limit=1000).facts) == added + 2, held.verify().ok)
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(signal, "SIGXFSZ"), reason="needs a limit on file sizes")
def test_full_disk_refuses_writes_and_loses_nothing(file: Path) -> None:
    # Given a process with a limit on the size of its files
    done = subprocess.run(
        [sys.executable, "-c", RUN_FULL, str(file)], capture_output=True, text=True, check=False
    )
    # Then writes fail with an error, acknowledged writes are kept, and writing continues later
    refused, meanwhile, afterwards = done.stdout.splitlines() or [done.stderr] * 3
    assert refused.startswith("sqlite: the disk ")
    assert "try again" in refused or "may be tried again" in refused
    assert (meanwhile, afterwards) == ("True True", "True True")


# Locked by another process


@pytest.fixture
def other(file: Path) -> Iterator[sqlite3.Connection]:
    """Another program's connection to the same file."""
    with closing(sqlite3.connect(file, isolation_level=None)) as connection:
        yield connection


def test_locked_database_raises_a_retryable_error(file: Path, other: sqlite3.Connection) -> None:
    # Given another writer that holds the lock for longer than busy_timeout
    with memory(file, busy_timeout=0.01) as held:
        held.add("I like tea", **MINE)
        other.execute("BEGIN IMMEDIATE")
        # When something is added
        with pytest.raises(AdapterUnavailable) as locked:
            held.add("I like coffee", **MINE)
        # Then the error says what to do, and reading still works
        assert locked.value.adapter == "sqlite"
        assert "try again, or raise the busy_timeout setting" in str(locked.value)
        assert texts(held) == ["I like tea"]
        # and the same call succeeds after the lock is released
        other.execute("ROLLBACK")
        held.add("I like coffee", **MINE)
        assert texts(held) == ["I like coffee", "I like tea"]
        assert held.verify().ok


def test_opening_a_locked_new_file_raises_a_retryable_error(
    file: Path, other: sqlite3.Connection
) -> None:
    other.execute("BEGIN EXCLUSIVE")
    with pytest.raises(AdapterUnavailable, match="kept the database locked"):
        memory(file, busy_timeout=0.01)
    other.execute("ROLLBACK")
    memory(file).close()


def test_opening_an_up_to_date_file_needs_no_lock(file: Path, other: sqlite3.Connection) -> None:
    with memory(file) as held:
        held.add("I like tea", **MINE)
    other.execute("BEGIN IMMEDIATE")
    with memory(file, busy_timeout=0.01) as held:
        assert texts(held) == ["I like tea"]


Hook = Callable[[sqlite3.Connection, str], None]


@pytest.fixture
def rigged(monkeypatch: pytest.MonkeyPatch) -> Callable[[Hook, Hook], None]:
    """Makes new connections call hooks before and after each statement."""
    connect = sqlite3.connect

    def rig(before: Hook, after: Hook) -> None:
        class Rigged(sqlite3.Connection):
            def execute(self, sql: str, *parameters: Any) -> sqlite3.Cursor:
                before(self, sql)
                cursor = super().execute(sql, *parameters)
                after(self, sql)
                return cursor

        monkeypatch.setattr(sqlite3, "connect", partial(connect, factory=Rigged))

    return rig


def nothing(_connection: sqlite3.Connection, _sql: str) -> None:
    """A hook that does nothing."""


def test_opening_waits_for_another_process_that_creates_the_file(
    file: Path, other: sqlite3.Connection, rigged: Callable[[Hook, Hook], None]
) -> None:
    # Given another process in its first transaction: when the journal mode is switched, SQLite
    # does not wait for it, but reports a locked database at once
    tries: list[str] = []

    def before(_connection: sqlite3.Connection, sql: str) -> None:
        if "journal_mode" in sql:
            tries.append(sql)
            other.execute("BEGIN IMMEDIATE" if len(tries) == 1 else "ROLLBACK")

    rigged(before, nothing)
    # When we open the file, and the other process is done by the second try
    opened(file).close()
    # Then opening has waited
    assert len(tries) == 2


def test_file_created_by_another_process_during_the_check_is_accepted(
    file: Path, rigged: Callable[[Hook, Hook], None]
) -> None:
    # Given another process that creates the tables after we have read the application id, and
    # before we count the tables
    made: list[str] = []

    def before(_connection: sqlite3.Connection, sql: str) -> None:
        if "sqlite_master" in sql and not made:
            made.append(sql)
            with suppress(AdapterUnavailable):
                opened(file, busy_timeout=0.0).close()

    rigged(before, nothing)
    # When we open the file, then it is accepted
    opened(file).close()
    assert made


OPEN_AND_ADD = """
import sys
from remembrancer import Memory
print("ready", flush=True)
for line in sys.stdin:
    with Memory(line.strip()) as held:
        held.add(f"I like number {sys.argv[1]}", user_id="alice", infer=False)
    print("done", flush=True)
"""


@pytest.mark.slow
def test_several_processes_may_open_a_new_file_at_once(tmp_path: Path) -> None:
    # Given processes that are ready to open a file
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", OPEN_AND_ADD, str(number)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for number in range(4)
    ]
    try:
        for process in processes:
            assert said_by(process) == "ready"
        for round_number in range(10):
            file = tmp_path / f"{round_number}.db"
            # When all of them open the same new file and write to it
            for process in processes:
                assert process.stdin is not None
                process.stdin.write(f"{file}\n")
                process.stdin.flush()
            assert [said_by(process) for process in processes] == ["done"] * len(processes)
            # Then all writes are there
            with memory(file) as held:
                assert len(texts(held)) == len(processes)
                assert held.verify().ok
    finally:
        for process in processes:
            process.communicate()


def said_by(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    line = process.stdout.readline().strip()
    if not line:
        raise AssertionError(process.communicate()[1])
    return line


# Group commit


class Writers:
    """Runs writes in threads, all queued before the first one starts."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.commits: list[str] = []

    def run(self, *works: Callable[[], Any]) -> list[Any]:
        """The result or exception of each write, in order."""
        outcomes: list[Any] = [None] * len(works)

        def go(place: int) -> None:
            try:
                outcomes[place] = works[place]()
            except BaseException as error:  # noqa: BLE001 - handed to the test
                outcomes[place] = error

        threads = [threading.Thread(target=go, args=(place,)) for place in range(len(works))]
        with self._database.transaction() as connection:
            # While this transaction is open, no thread gets the writing connection.
            for queued, thread in enumerate(threads, start=1):
                thread.start()
                while len(self._database._writer._queue) < queued:
                    assert thread.is_alive(), outcomes
        connection.set_trace_callback(self.commits.append)
        for thread in threads:
            thread.join()
        connection.set_trace_callback(None)
        self.commits = [statement for statement in self.commits if statement == "COMMIT"]
        return outcomes


@pytest.fixture
def writers(database: Database) -> Writers:
    return Writers(database)


def adding(log: SqliteAuditLog, text: str = "tea", **named: Any) -> Callable[[], int]:
    """A function that appends one event and returns its position."""
    return lambda: log.append(append_of([fact_added(text)], **named)).recorded[0].position


def test_many_threads_share_a_commit(database: Database, writers: Writers) -> None:
    log = SqliteAuditLog(database)
    positions = writers.run(*(adding(log) for _ in range(50)))
    assert sorted(positions) == list(range(1, 51))
    assert len(writers.commits) <= 2


def test_queued_writes_run_in_order(database: Database, writers: Writers) -> None:
    log = SqliteAuditLog(database)
    assert writers.run(*(adding(log) for _ in range(10))) == list(range(1, 11))


def test_failed_write_does_not_roll_back_others_in_the_group(
    database: Database, writers: Writers
) -> None:
    log = SqliteAuditLog(database)

    def half_done(connection: sqlite3.Connection) -> None:
        connection.execute(
            "INSERT INTO ledger (name, version, hash, recorded_at, handle, requests) "
            "VALUES ('user:ghost', 1, x'00', 0, x'00', x'00')"
        )
        raise LookupError("changed my mind")

    first, stale, failed, broken, last = writers.run(
        adding(log),
        adding(log, expected_version=0),
        lambda: database.write(half_done),
        lambda: database.write(lambda connection: connection.execute("SELECT * FROM nowhere")),
        adding(log),
    )
    assert (first, last) == (1, 2)
    assert isinstance(stale, Conflict)
    assert isinstance(failed, LookupError)
    # SQLite errors are typed in a shared commit too
    assert isinstance(broken, IntegrityError)
    assert len(writers.commits) <= 2
    assert list(log.ledgers()) == [ALICE]


def test_full_disk_fails_all_writes_that_share_the_commit(
    database: Database, writers: Writers
) -> None:
    log = SqliteAuditLog(database)
    adding(log)()
    with database.transaction() as connection:
        (pages,) = connection.execute("PRAGMA page_count").fetchone()
    limit_pages(database, pages)
    # When one of several writes needs more space than there is
    outcomes = writers.run(adding(log, "x" * 50_000), adding(log, "y" * 50_000))
    # Then each of them fails, and nothing is written
    assert all("full; free space and try again" in str(outcome) for outcome in outcomes)
    assert log.last_position() == 1
    limit_pages(database, 1_000_000)
    assert adding(log, "x" * 50_000)() == 2


def test_interrupt_of_the_committing_thread_does_not_fail_the_waiting_writes(
    database: Database, writers: Writers
) -> None:
    # Given a write in the middle of a group that interrupts whoever runs it, once
    log = SqliteAuditLog(database)
    left = [KeyboardInterrupt()]

    def interrupted(connection: sqlite3.Connection) -> int:
        if left:
            raise left.pop()
        return 0

    outcomes = writers.run(adding(log), lambda: database.write(interrupted), adding(log))
    # Then one thread gets the interrupt, and nothing of it is written; the others write theirs
    kinds = [type(outcome).__name__ for outcome in outcomes]
    assert sorted(kinds) == ["KeyboardInterrupt", "int", "int"]
    written = [kind for place, kind in enumerate(kinds) if place != 1].count("int")
    assert log.last_position() == written
    assert adding(log)() == written + 1


def test_write_inside_a_transaction_of_the_same_thread_is_refused(database: Database) -> None:
    log = SqliteAuditLog(database)
    # Given a transaction, as when an embedder writes to the memory that it serves
    with database.transaction() as connection:
        connection.execute("PRAGMA user_version = 7")
        # When the same thread writes, then it is refused
        for write in (adding(log), lambda: database.transaction().__enter__()):
            with pytest.raises(AdapterUnavailable, match="inside another transaction"):
                write()
    # and the transaction is committed
    with database.reader() as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (7,)
    assert adding(log)() == 1


def test_retry_after_a_failed_but_durable_commit_appends_once(
    file: Path, rigged: Callable[[Hook, Hook], None]
) -> None:
    # Given a disk that reports an error once, after the commit is durable
    armed: list[bool] = []

    def after(_connection: sqlite3.Connection, sql: str) -> None:
        if sql == "COMMIT" and armed:
            armed.clear()
            error = sqlite3.OperationalError("disk I/O error")
            error.sqlite_errorcode = sqlite3.SQLITE_IOERR
            raise error

    rigged(nothing, after)
    with closing(opened(file)) as held:
        log = SqliteAuditLog(held)
        append = append_of([fact_added(), fact_added()])
        armed.append(True)
        with pytest.raises(AdapterUnavailable, match="the same call may be tried again"):
            log.append(append)
        # When the same append is tried again
        again = log.append(append)
        # Then it is replayed
        assert again.replayed
        assert [item.position for item in again.recorded] == [1, 2]
        assert log.last_position() == 2


def test_add_retried_after_a_failed_but_durable_commit_stores_the_message_once(
    file: Path, rigged: Callable[[Hook, Hook], None]
) -> None:
    # Given the same disk, with a full memory
    armed: list[bool] = []

    def after(_connection: sqlite3.Connection, sql: str) -> None:
        if sql == "COMMIT" and armed:
            armed.clear()
            error = sqlite3.OperationalError("disk I/O error")
            error.sqlite_errorcode = sqlite3.SQLITE_IOERR
            raise error

    rigged(nothing, after)
    with memory(file) as held:
        armed.append(True)
        with pytest.raises(AdapterUnavailable):
            held.add("I like tea", **MINE, idempotency_key="k")
        # When the request is sent again
        receipt = held.add("I like tea", **MINE, idempotency_key="k")
        # Then it continues where it stopped
        assert [verdict.decision.value for verdict in receipt.verdicts] == ["add"]
        assert texts(held) == ["I like tea"]
        assert held.stats().messages == 1
        assert held.verify().ok


def test_failed_maintenance_after_the_commit_does_not_fail_the_append(
    database: Database,
) -> None:
    # Given read models whose maintenance finds the database locked
    class Busy:
        def prepare(self, append: Append) -> None:
            pass

        def apply(
            self, connection: sqlite3.Connection, chain: Sequence[Recorded], prepared: None
        ) -> None:
            pass

        def committed(self, chain: Sequence[Recorded]) -> None:
            raise AdapterUnavailable("sqlite", "locked")

    log = SqliteAuditLog(database, listener=Busy())
    # When something is appended, then it is acknowledged: on an error the caller would repeat it
    assert adding(log)() == 1


# Transactions and readers


def test_error_inside_a_transaction_rolls_it_back(database: Database) -> None:
    log = SqliteAuditLog(database)
    adding(log)()

    def half_done() -> None:
        with database.transaction() as connection:
            connection.execute("DELETE FROM event")
            raise LookupError

    with pytest.raises(LookupError):
        half_done()
    assert log.last_position() == 1
    assert len(log.read(Position(0))) == 1


def test_reader_can_not_write(database: Database) -> None:
    with pytest.raises(AdapterUnavailable, match="read-only"), database.reader() as connection:
        connection.execute("DELETE FROM event")


def test_failed_read_does_not_give_the_next_read_a_stale_view(database: Database) -> None:
    log = SqliteAuditLog(database)
    adding(log)()
    adding(log)()

    def half_way() -> None:
        with database.reader() as connection:
            rows = connection.execute("SELECT position FROM event")
            rows.fetchone()
            raise RuntimeError

    # Given a read that fails half way, whose exception is kept
    with pytest.raises(RuntimeError) as kept:
        half_way()
    # When an event is written
    adding(log)()
    # Then the next read sees it
    assert len(log.read(Position(0))) == 3
    assert kept.value is not None


def test_damaged_event_is_reported_with_its_position(database: Database) -> None:
    log = SqliteAuditLog(database)
    for _ in range(3):
        adding(log)()
    with database.transaction() as connection:
        connection.execute("UPDATE event SET payload = '{' WHERE position = 2")
    with pytest.raises(IntegrityError, match=r"position 2: fact\.added: what is stored"):
        log.read(Position(0))


def test_damaged_file_raises_integrity_error(file: Path) -> None:
    with memory(file) as held:
        for number in range(20):
            held.add(f"I like number {number}", **MINE, infer=False)
    with closing(sqlite3.connect(file)) as other:
        (root, size) = other.execute(
            "SELECT rootpage, (SELECT page_size FROM pragma_page_size) FROM sqlite_master "
            "WHERE name = 'event'"
        ).fetchone()
    with file.open("r+b") as content:
        content.seek((root - 1) * size)
        content.write(b"\xff" * size)
    # Then writing raises an error, and verify names the ledger
    with memory(file) as held:
        with pytest.raises(IntegrityError, match=r"is damaged .*; restore a backup"):
            held.add("I like tea", **MINE, idempotency_key="k")
        assert "user:alice" in [fault.ledger for fault in held.verify().faults]


# Closing


def test_closed_database_raises_adapter_unavailable(file: Path) -> None:
    database = opened(file)
    log = SqliteAuditLog(database)
    database.close()
    database.close()
    for use in (lambda: log.last_position(), adding(log)):
        with pytest.raises(AdapterUnavailable, match="has been closed; open it again"):
            use()


@pytest.mark.parametrize("path", ["file", ":memory:"])
def test_closing_ends_running_calls_with_a_typed_error(tmp_path: Path, path: str) -> None:
    # Given threads that read and write continuously
    where = str(tmp_path / "busy.db") if path == "file" else path
    database = Database(SqliteSettings(path=where), [create_log])
    log = SqliteAuditLog(database)
    busy = threading.Semaphore(0)
    wrong: list[BaseException] = []

    def use(call: Callable[[], object]) -> None:
        try:
            while True:
                call()
                busy.release()
        except AdapterUnavailable as closed:
            assert "has been closed" in str(closed)  # noqa: PT017
        except BaseException as error:  # noqa: BLE001 - handed to the test
            wrong.append(error)

    calls: Sequence[Callable[[], object]] = (adding(log), lambda: log.read(Position(0)))
    threads = [threading.Thread(target=use, args=(call,)) for call in calls * 3]
    for thread in threads:
        thread.start()
    for _ in range(30):
        busy.acquire()
    # When the database is closed
    database.close()
    # Then each of them ends with a typed error
    for thread in threads:
        thread.join()
    assert wrong == []


def test_closing_leaves_only_the_database_file(file: Path) -> None:
    with memory(file) as held:
        held.add("I like tea", **MINE)
        held.search("tea", **MINE)
    assert [path.name for path in file.parent.iterdir()] == [file.name]


# Read models that are behind or damaged


def test_read_models_behind_the_log_catch_up_on_open(file: Path) -> None:
    # Given a file with events appended to the log alone
    with memory(file) as held:
        held.add("I like tea", **MINE)
    with closing(Database(SqliteSettings(path=str(file)), SCHEMA_VERSIONS)) as database:
        log = SqliteAuditLog(database)
        facts = [fact_added("Alice lives in Zürich") for _ in range(3)]
        log.append(append_of(facts, at=datetime.now(UTC)))
    # When the memory is opened
    progress: list[tuple[str, int, int]] = []
    with Memory(file, on_rebuild=lambda *step: progress.append(step)) as held:
        # Then it has caught up, and has reported the progress
        assert texts(held) == ["Alice lives in Zürich"] * 3 + ["I like tea"]
        assert held.search("Zürich", **MINE)[0].fact.text == "Alice lives in Zürich"
        assert held.verify().ok
        assert set(held.stats().positions.values()) == {held.stats().last_position}
    assert [done for _, done, _ in progress][-1] == progress[-1][2]


DAMAGES = {
    "a fact is missing": "DELETE FROM fact WHERE id = 1",
    "all facts are missing": "DELETE FROM fact",
    "the table of facts is missing": "DROP TABLE fact",
    "the table of messages is missing": "DROP TABLE message",
    "the table of evidence is missing": "DROP TABLE evidence",
    "a document is missing": "DELETE FROM index_document WHERE id = "
    "(SELECT min(id) FROM index_document)",
    "the table of documents is missing": "DROP TABLE index_document",
    "a checkpoint is missing": "DELETE FROM projection WHERE name = 'facts'",
    "all checkpoints are missing": "DELETE FROM projection",
    "the table of checkpoints is missing": "DROP TABLE projection",
    "a checkpoint is ahead of the log": "UPDATE projection SET position = position + 5",
    "the checkpoints disagree": "UPDATE projection SET position = 1 WHERE name = 'facts'",
    "the facts are of another format": "UPDATE projection SET fingerprint = '0' "
    "WHERE name = 'facts'",
    "the index is of another embedder": "UPDATE projection SET fingerprint = 'other/8' "
    "WHERE name = 'index'",
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES.keys())
def test_damaged_read_models_are_reported_on_open_and_rebuilt_on_request(
    file: Path, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    # Given a memory with a history
    with memory(file) as held:
        fact_id = held.add("I like tea", **MINE).verdicts[0].fact_id
        assert fact_id is not None
        held.update(fact_id, "I like green tea")
        held.add("I live in Berlin", **MINE)
        held.add("I live in Paris now", **MINE)
        before = seen(held, fact_id)
    # When its read models are damaged from outside, and it is opened
    with closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute(damage)
    damaged = dump(file)
    progress: list[tuple[str, int, int]] = []
    with Memory(file, on_rebuild=lambda *step: progress.append(step)) as held:
        # Then nothing is repaired, the difference is reported, and writes are refused
        assert "remembrancer rebuild read_models" in caplog.text
        with pytest.raises((IntegrityError, InvalidRequest), match="rebuild read_models"):
            held.add("I like coffee", **MINE)
        assert (progress, dump(file)) == ([], damaged)
        # And a rebuild repairs them, and reports its progress
        held.rebuild("read_models")
        assert seen(held, fact_id) == before
        assert held.verify().ok
        last = held.stats().last_position
        assert progress[-1] == ("rebuilding read models", last, last)
        # and writing continues
        held.add("I like coffee", **MINE)
        assert held.verify().ok
    # and the next open has nothing to rebuild
    again: list[object] = []
    Memory(file, on_rebuild=lambda *step: again.append(step)).close()
    assert again == []


def dump(file: Path) -> list[str]:
    """The content of a database."""
    with closing(sqlite3.connect(file)) as connection:
        return list(connection.iterdump())


def seen(held: Memory, fact_id: str) -> dict[str, Any]:
    """The state of a memory, as callers see it."""
    return {
        "facts": held.get_all(**MINE).to_dict(),
        "history": [fact.to_dict() for fact in held.history(fact_id)],
        "found": [
            (result.fact.text, result.score) for result in held.search("where do I live?", **MINE)
        ],
        "counts": held.stats().to_dict(),
    }


def test_verify_reports_facts_altered_from_outside(file: Path) -> None:
    with memory(file) as held:
        held.add("I like tea", **MINE)
    with closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("UPDATE fact SET body = replace(body, 'tea', 'gin')")
    with memory(file) as held:
        result = held.verify()
    assert not result.ok
    assert result.first is not None
    assert (result.first.table, result.first.column) == ("fact", "body")


TAMPERING = {
    "another text": "UPDATE event SET payload = CAST(replace(payload, 'tea', 'gin') AS BLOB) "
    "WHERE type = 'fact.added'",
    "a payload of another type": "UPDATE event SET payload = CAST(payload AS TEXT) "
    "WHERE position = 2",
    "a salt of another type": "UPDATE event SET salt = 'salt' WHERE position = 2",
    "another actor": "UPDATE event SET actor = 'somebody else' WHERE position = 2",
    "another time": "UPDATE event SET recorded_at = recorded_at + 1 WHERE position = 2",
    "another salt": "UPDATE event SET salt = zeroblob(16) WHERE position = 2",
    "a lost event": "DELETE FROM event WHERE position = 2",
    "a lost tail": "DELETE FROM event WHERE position = (SELECT max(position) FROM event)",
    "a head that is elsewhere": "UPDATE ledger SET version = version + 1",
    "an event that can't be read": "UPDATE event SET payload = '{' WHERE position = 2",
    "an event without a payload": "UPDATE event SET payload = NULL WHERE position = 2",
    "an event that is no UTF-8": "UPDATE event SET payload = CAST(x'7b226661ff227d' AS BLOB) "
    "WHERE position = 2",
    "an event of no known type": "UPDATE event SET type = 'fact.invented' WHERE position = 2",
}


@pytest.mark.parametrize("tampering", TAMPERING.values(), ids=TAMPERING.keys())
def test_verify_reports_a_tampered_log(file: Path, tampering: str) -> None:
    with memory(file) as held:
        held.add("I like tea", **MINE)
        held.add("I like coffee", **MINE)
    with closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute(tampering)
    with memory(file) as held:
        result = held.verify()
    assert not result.ok
    assert result.first is not None
    assert result.first.projection == "log"


def test_appends_during_verify_are_not_reported(file: Path) -> None:
    # Given a memory with several ledgers
    with memory(file) as held:
        for user in ("a", "m", "z"):
            held.add("I like tea", user_id=user)

        # When facts are added to ledgers already verified and to others
        def add_meanwhile(_checked: int, _total: int) -> None:
            held.add("I like coffee", user_id="a")
            held.add("I like coffee", user_id="z")
            held.add("I like coffee", user_id="zz")

        # Then no problem is reported
        assert held.verify(add_meanwhile).faults == ()
        assert held.verify().ok
