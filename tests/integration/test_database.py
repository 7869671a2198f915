"""The file under the memory: whose it is, who else uses it, and what happens when it fails."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, suppress
from functools import partial
from pathlib import Path
from typing import Any, TypedDict

import pytest

from remembrancer import Memory
from remembrancer.adapters.stores.sqlite.audit_log import SqliteAuditLog, create_log
from remembrancer.adapters.stores.sqlite.database import (
    APPLICATION_ID,
    Database,
    Durability,
    SqliteSettings,
)
from remembrancer.adapters.stores.sqlite.migrations import MIGRATIONS
from remembrancer.domain.errors import (
    AdapterUnavailable,
    Conflict,
    IntegrityError,
    InvalidRequest,
)
from remembrancer.domain.recorded import Position, Recorded
from remembrancer.testing.audit_log import ALICE, append_of, fact_added
from remembrancer.wiring.settings import load_settings


class Owner(TypedDict):
    """Whose memory it is."""

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


# Whose file it is


@pytest.mark.parametrize(
    "content",
    [b"not a database at all, but long enough to be one" * 100, b"hi", b"SQLite format 4\0" * 99],
    ids=["text", "two bytes", "another format"],
)
def test_a_file_that_is_no_database_is_refused_and_left_alone(file: Path, content: bytes) -> None:
    file.write_bytes(content)
    with pytest.raises(InvalidRequest) as refused:
        Memory(file)
    assert str(refused.value) == (f"path: {file} is not a SQLite database; name another file")
    assert file.read_bytes() == content


@pytest.mark.parametrize(
    "statement", ["CREATE TABLE notes (text)", "PRAGMA application_id = 252006674"]
)
def test_the_database_of_another_program_is_refused_and_left_alone(
    file: Path, statement: str
) -> None:
    with closing(sqlite3.connect(file)) as other:
        other.execute(statement)
    before = file.read_bytes()
    with pytest.raises(InvalidRequest) as refused:
        Memory(file)
    assert str(refused.value) == (
        f"path: {file} is the database of another program; name another file"
    )
    assert file.read_bytes() == before


def test_the_file_of_a_newer_release_is_refused_and_left_alone(file: Path) -> None:
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


def test_an_empty_file_and_an_empty_database_become_ours(tmp_path: Path) -> None:
    (tmp_path / "empty.db").touch()
    sqlite3.connect(tmp_path / "bare.db").close()
    for name in ("empty.db", "bare.db"):
        with memory(tmp_path / name) as held:
            held.add("I like tea", **MINE)
        with closing(sqlite3.connect(tmp_path / name)) as other:
            assert other.execute("PRAGMA application_id").fetchone() == (APPLICATION_ID,)


@pytest.mark.parametrize("name", ["ünïcode 日本.db", "100% #1?mode=ro&x.db", 'it\'s "q".db'])
def test_a_file_may_have_any_name(tmp_path: Path, name: str) -> None:
    opened(tmp_path / name).close()
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_file_name_may_be_no_utf_8(tmp_path: Path) -> None:
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
def test_settings_that_no_database_can_have_are_refused(
    settings: dict[str, Any], problem: str
) -> None:
    with pytest.raises(InvalidRequest) as refused:
        Database(SqliteSettings(**settings), [create_log])
    assert str(refused.value) == problem


@pytest.mark.parametrize("name", ["no/such/folder/memory.db", "."])
def test_a_place_where_no_file_can_be_is_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(AdapterUnavailable, match="check that its folder exists and is writable"):
        Memory(tmp_path / name)


@pytest.mark.parametrize(("durability", "level"), [(Durability.FULL, 2), (Durability.NORMAL, 1)])
def test_a_commit_is_as_durable_as_was_asked_for(
    file: Path, durability: Durability, level: int
) -> None:
    with closing(opened(file, durability=durability)) as held, held.transaction() as connection:
        assert connection.execute("PRAGMA synchronous").fetchone() == (level,)
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)


# Schema versions


def test_a_file_is_brought_forward_step_by_step_and_once(file: Path) -> None:
    # Given a file of the first release
    opened(file).close()
    steps: list[int] = []

    def second(schema: Any) -> None:
        steps.append(2)
        schema["second"].create({"id": int}, pk="id")

    def third(schema: Any) -> None:
        steps.append(3)
        schema["third"].create({"id": int}, pk="id")

    # When later releases open it, one of them twice
    Database(SqliteSettings(path=str(file)), [create_log, second]).close()
    for _ in range(2):
        Database(SqliteSettings(path=str(file)), [create_log, second, third]).close()
    # Then it has had each step once
    assert steps == [2, 3]
    with pytest.raises(InvalidRequest, match="schema version 3, this release knows up to 2"):
        Database(SqliteSettings(path=str(file)), [create_log, second])


def test_a_step_that_fails_leaves_the_file_as_it_was(file: Path) -> None:
    def fails(schema: Any) -> None:
        # What sqlite-utils does by itself must not commit our transaction under our hands
        schema["half"].create({"id": int, "text": str}, pk="id")
        schema["half"].create_index(["text"])
        schema["half"].insert({"id": 1, "text": "x"})
        raise RuntimeError("no space left in the schema")

    with pytest.raises(RuntimeError):
        Database(SqliteSettings(path=str(file)), [create_log, fails])
    with closing(sqlite3.connect(file)) as other:
        assert other.execute("SELECT name FROM sqlite_master").fetchall() == []
        assert other.execute("PRAGMA user_version").fetchone() == (0,)
    opened(file).close()


# Reading alone


def test_a_file_that_is_opened_for_reading_alone_can_be_read(file: Path) -> None:
    with memory(file) as writer:
        writer.add("I like tea", **MINE)
    with memory(file, read_only=True) as reader:
        assert texts(reader) == ["I like tea"]
        assert [found.fact.text for found in reader.search("tea", **MINE)] == ["I like tea"]
        assert reader.verify().ok


def test_a_reader_sees_what_a_writer_adds_meanwhile(file: Path) -> None:
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
def test_writing_to_it_is_a_typed_error_and_changes_nothing(
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


def test_what_is_not_there_can_not_be_read(file: Path) -> None:
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
    """A memory with one fact, on a database that can't grow by more than a few pages."""
    with (
        closing(Database(SqliteSettings(path=str(file)), MIGRATIONS)) as database,
        Memory(overrides={"database": database}) as held,
    ):
        held.add("I like tea", **MINE)
        with database.transaction() as connection:
            (pages,) = connection.execute("PRAGMA page_count").fetchone()
        limit_pages(database, pages + 2)
        yield database, held


def fill(held: Memory, infer: bool) -> list[str]:
    """Add long memories until there is no space; returns those that were acknowledged."""
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
def test_a_full_database_refuses_with_a_remedy_and_loses_nothing(
    small: tuple[Database, Memory], infer: bool
) -> None:
    database, held = small
    # Given a database that took what fitted and refused the rest
    added = fill(held, infer)
    # Then what was acknowledged is there and holds together
    assert texts(held) == sorted(["I like tea", *added])
    assert held.verify().ok
    # and when there is space again, adding goes on
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


@pytest.mark.skipif(not hasattr(signal, "SIGXFSZ"), reason="needs a limit on the size of files")
def test_a_disk_that_takes_no_more_loses_nothing(file: Path) -> None:
    # Given a process whose files the kernel keeps from growing
    done = subprocess.run(
        [sys.executable, "-c", RUN_FULL, str(file)], capture_output=True, text=True, check=False
    )
    # Then it is told so, keeps what was acknowledged, and goes on when there is space again
    refused, meanwhile, afterwards = done.stdout.splitlines() or [done.stderr] * 3
    assert refused.startswith("sqlite: the disk ")
    assert "try again" in refused or "may be tried again" in refused
    assert (meanwhile, afterwards) == ("True True", "True True")


# Locked by others


@pytest.fixture
def other(file: Path) -> Iterator[sqlite3.Connection]:
    """Another program's connection to the same file."""
    with closing(sqlite3.connect(file, isolation_level=None)) as connection:
        yield connection


def test_a_database_that_stays_locked_is_a_typed_error_that_can_be_tried_again(
    file: Path, other: sqlite3.Connection
) -> None:
    # Given a writer that holds the lock for longer than we wait
    with memory(file, busy_timeout=0.01) as held:
        held.add("I like tea", **MINE)
        other.execute("BEGIN IMMEDIATE")
        # When something is added
        with pytest.raises(AdapterUnavailable) as locked:
            held.add("I like coffee", **MINE)
        # Then the error names the remedy, and reading goes on
        assert locked.value.adapter == "sqlite"
        assert "try again, or raise the busy_timeout setting" in str(locked.value)
        assert texts(held) == ["I like tea"]
        # and after the other one is done the same call goes through
        other.execute("ROLLBACK")
        held.add("I like coffee", **MINE)
        assert texts(held) == ["I like coffee", "I like tea"]
        assert held.verify().ok


def test_opening_a_locked_new_file_is_a_typed_error(file: Path, other: sqlite3.Connection) -> None:
    other.execute("BEGIN EXCLUSIVE")
    with pytest.raises(AdapterUnavailable, match="kept the database locked"):
        memory(file, busy_timeout=0.01)
    other.execute("ROLLBACK")
    memory(file).close()


def test_opening_a_current_file_needs_no_lock(file: Path, other: sqlite3.Connection) -> None:
    with memory(file) as held:
        held.add("I like tea", **MINE)
    other.execute("BEGIN IMMEDIATE")
    with memory(file, busy_timeout=0.01) as held:
        assert texts(held) == ["I like tea"]


Hook = Callable[[sqlite3.Connection, str], None]


@pytest.fixture
def rigged(monkeypatch: pytest.MonkeyPatch) -> Callable[[Hook, Hook], None]:
    """Has connections call a hook before and after each statement, from now on."""
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


def test_a_new_file_that_another_process_is_making_at_this_moment_is_waited_for(
    file: Path, other: sqlite3.Connection, rigged: Callable[[Hook, Hook], None]
) -> None:
    # Given another process in the middle of its first transaction, where SQLite does not wait for
    # it when the journal is switched, but says at once that the database is locked
    tries: list[str] = []

    def before(_connection: sqlite3.Connection, sql: str) -> None:
        if "journal_mode" in sql:
            tries.append(sql)
            other.execute("BEGIN IMMEDIATE" if len(tries) == 1 else "ROLLBACK")

    rigged(before, nothing)
    # When we open it, and the other one is done by the second try
    opened(file).close()
    # Then we have waited
    assert len(tries) == 2


def test_a_file_that_becomes_ours_while_we_look_at_it_is_not_taken_for_anothers(
    file: Path, rigged: Callable[[Hook, Hook], None]
) -> None:
    # Given another process that makes the tables just after we have seen whose file it is, and
    # before we have seen whether it has any
    made: list[str] = []

    def before(_connection: sqlite3.Connection, sql: str) -> None:
        if "sqlite_master" in sql and not made:
            made.append(sql)
            with suppress(AdapterUnavailable):
                opened(file, busy_timeout=0.0).close()

    rigged(before, nothing)
    # When we go on
    opened(file).close()
    # Then the file is ours
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


def test_several_processes_may_start_on_a_new_file_at_once(tmp_path: Path) -> None:
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
            # When all of them open the same new one and write to it
            for process in processes:
                assert process.stdin is not None
                process.stdin.write(f"{file}\n")
                process.stdin.flush()
            assert [said_by(process) for process in processes] == ["done"] * len(processes)
            # Then each has done its part
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


# Sharing commits


class Writers:
    """Threads whose writes wait until all of them are queued."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.commits: list[str] = []

    def run(self, *works: Callable[[], Any]) -> list[Any]:
        """What each of the works returned or raised, in order."""
        outcomes: list[Any] = [None] * len(works)

        def go(place: int) -> None:
            try:
                outcomes[place] = works[place]()
            except BaseException as error:  # noqa: BLE001 - handed to the test
                outcomes[place] = error

        threads = [threading.Thread(target=go, args=(place,)) for place in range(len(works))]
        with self._database.transaction() as connection:
            # As long as this transaction is open, nobody else can have the writer.
            for queued, thread in enumerate(threads, start=1):
                thread.start()
                while len(self._database._queue) < queued:
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
    """An append of one event, and the position that it got."""
    return lambda: log.append(append_of([fact_added(text)], **named)).recorded[0].position


def test_many_threads_share_a_commit(database: Database, writers: Writers) -> None:
    log = SqliteAuditLog(database)
    positions = writers.run(*(adding(log) for _ in range(50)))
    assert sorted(positions) == list(range(1, 51))
    assert len(writers.commits) <= 2


def test_works_are_done_in_the_order_in_which_they_came(
    database: Database, writers: Writers
) -> None:
    log = SqliteAuditLog(database)
    assert writers.run(*(adding(log) for _ in range(10))) == list(range(1, 11))


def test_a_work_that_fails_does_not_undo_the_others(database: Database, writers: Writers) -> None:
    log = SqliteAuditLog(database)

    def half_done(connection: sqlite3.Connection) -> None:
        connection.execute(
            "INSERT INTO ledger (name, version, hash, recorded_at) "
            "VALUES ('user:ghost', 1, x'00', 0)"
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
    # A failure of the engine is typed for those who shared a commit too
    assert isinstance(broken, AdapterUnavailable)
    assert len(writers.commits) <= 2
    assert list(log.ledgers()) == [ALICE]


def test_a_disk_that_is_full_for_one_is_full_for_all_who_share_the_commit(
    database: Database, writers: Writers
) -> None:
    log = SqliteAuditLog(database)
    adding(log)()
    with database.transaction() as connection:
        (pages,) = connection.execute("PRAGMA page_count").fetchone()
    limit_pages(database, pages)
    # When one of several works needs more space than there is
    outcomes = writers.run(adding(log, "x" * 50_000), adding(log, "y" * 50_000))
    # Then each is told, and nothing is written by halves
    assert all("full; free space and try again" in str(outcome) for outcome in outcomes)
    assert log.last_position() == 1
    limit_pages(database, 1_000_000)
    assert adding(log, "x" * 50_000)() == 2


def test_an_interrupt_of_the_thread_that_commits_is_told_to_those_who_wait(
    database: Database, writers: Writers
) -> None:
    # Given a work that is interrupted as if somebody pressed Ctrl-C, in the middle of a group
    log = SqliteAuditLog(database)

    def interrupted(_connection: sqlite3.Connection) -> None:
        raise KeyboardInterrupt

    outcomes = writers.run(adding(log), lambda: database.write(interrupted), adding(log))
    # Then one thread gets the interrupt, the others a typed error, and nothing was written
    kinds = sorted(type(outcome).__name__ for outcome in outcomes)
    assert kinds in (
        ["AdapterUnavailable", "AdapterUnavailable", "KeyboardInterrupt"],
        # the thread that committed came first, and was not the one with the bad work
        ["AdapterUnavailable", "KeyboardInterrupt", "int"],
    )
    assert adding(log)() == sum(isinstance(outcome, int) for outcome in outcomes) + 1


def test_a_commit_that_fails_after_it_was_made_is_done_once_when_tried_again(
    file: Path, rigged: Callable[[Hook, Hook], None]
) -> None:
    # Given a disk that reports an error after the commit has reached it, once
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
        # Then it turns out to have been done
        assert again.replayed
        assert [item.position for item in again.recorded] == [1, 2]
        assert log.last_position() == 2


def test_a_message_whose_commit_failed_after_it_was_made_is_kept_once_under_its_key(
    file: Path, rigged: Callable[[Hook, Hook], None]
) -> None:
    # Given the same disk, under a whole memory
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
        # Then it is finished where it stopped
        assert [verdict.decision.value for verdict in receipt.verdicts] == ["add"]
        assert texts(held) == ["I like tea"]
        assert held.stats().messages == 1
        assert held.verify().ok


def test_upkeep_that_fails_after_the_commit_does_not_undo_what_was_acknowledged(
    database: Database,
) -> None:
    # Given read models whose upkeep finds the database locked
    class Busy:
        def apply(self, connection: sqlite3.Connection, chain: Sequence[Recorded]) -> None:
            pass

        def committed(self, chain: Sequence[Recorded]) -> None:
            raise AdapterUnavailable("sqlite", "locked")

    log = SqliteAuditLog(database, listener=Busy())
    # When something is appended, then it is acknowledged: a caller who is told otherwise repeats it
    assert adding(log)() == 1


# Transactions and readers


def test_an_error_inside_a_transaction_undoes_it(database: Database) -> None:
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


def test_a_reader_can_not_write(database: Database) -> None:
    with pytest.raises(AdapterUnavailable, match="read-only"), database.reader() as connection:
        connection.execute("DELETE FROM event")


def test_a_read_that_failed_does_not_hold_back_the_view_of_the_next_one(database: Database) -> None:
    log = SqliteAuditLog(database)
    adding(log)()
    adding(log)()

    def half_way() -> None:
        with database.reader() as connection:
            rows = connection.execute("SELECT position FROM event")
            rows.fetchone()
            raise LookupError

    # Given a read that fails half way, whose error somebody keeps
    with pytest.raises(LookupError) as kept:
        half_way()
    # When something is written
    adding(log)()
    # Then the next read sees it
    assert len(log.read(Position(0))) == 3
    assert kept.value is not None


def test_a_damaged_event_is_named_by_its_position(database: Database) -> None:
    log = SqliteAuditLog(database)
    for _ in range(3):
        adding(log)()
    with database.transaction() as connection:
        connection.execute("UPDATE event SET payload = '{' WHERE position = 2")
    with pytest.raises(IntegrityError, match=r"position 2: the stored fact\.added can't"):
        log.read(Position(0))


def test_a_damaged_file_is_told_from_a_busy_one(file: Path) -> None:
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
    # Then reading says so, and verifying names the ledger
    with memory(file) as held:
        with pytest.raises(IntegrityError, match=r"is damaged .*; restore a backup"):
            held.add("I like tea", **MINE, idempotency_key="k")
        assert "user:alice: " in held.verify().problems[0]


# Closing


def test_a_closed_database_says_so(file: Path) -> None:
    database = opened(file)
    log = SqliteAuditLog(database)
    database.close()
    database.close()
    for use in (lambda: log.last_position(), adding(log)):
        with pytest.raises(AdapterUnavailable, match="has been closed; open it again"):
            use()


@pytest.mark.parametrize("path", ["file", ":memory:"])
def test_closing_under_running_threads_ends_each_call_in_one_way_or_the_other(
    tmp_path: Path, path: str
) -> None:
    # Given threads that read and write without a pause
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


def test_after_closing_no_file_but_the_database_is_left(file: Path) -> None:
    with memory(file) as held:
        held.add("I like tea", **MINE)
        held.search("tea", **MINE)
    assert [path.name for path in file.parent.iterdir()] == [file.name]


# Read models that are behind or damaged


def test_read_models_that_are_behind_catch_up_when_the_memory_is_opened(file: Path) -> None:
    # Given a file in which something was appended by a program that knows only the log
    with memory(file) as held:
        held.add("I like tea", **MINE)
    with closing(Database(SqliteSettings(path=str(file)), MIGRATIONS)) as database:
        log = SqliteAuditLog(database)
        log.append(append_of([fact_added("Alice lives in Zürich") for _ in range(3)]))
    # When the memory is opened
    progress: list[tuple[str, int, int]] = []
    with Memory(file, on_rebuild=lambda *step: progress.append(step)) as held:
        # Then it has caught up, and has told so
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
def test_damaged_read_models_are_noticed_and_made_again(file: Path, damage: str) -> None:
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
    progress: list[tuple[str, int, int]] = []
    with Memory(file, on_rebuild=lambda *step: progress.append(step)) as held:
        # Then they are made again from the log, and it says that it does so
        assert seen(held, fact_id) == before
        assert held.verify().ok
        last = held.stats().last_position
        assert progress[-1] == ("rebuilding read models", last, last)
        # and writing goes on
        held.add("I like coffee", **MINE)
        assert held.verify().ok
    # and the next time there is nothing to do
    again: list[object] = []
    Memory(file, on_rebuild=lambda *step: again.append(step)).close()
    assert again == []


def seen(held: Memory, fact_id: str) -> dict[str, Any]:
    """What callers get to see of a memory."""
    return {
        "facts": held.get_all(**MINE).to_dict(),
        "history": [fact.to_dict() for fact in held.history(fact_id)],
        "found": [
            (result.fact.text, result.score) for result in held.search("where do I live?", **MINE)
        ],
        "counts": held.stats().to_dict(),
    }


def test_facts_that_were_altered_from_outside_are_found_by_verifying(file: Path) -> None:
    with memory(file) as held:
        held.add("I like tea", **MINE)
    with closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("UPDATE fact SET body = replace(body, 'tea', 'gin')")
    with memory(file) as held:
        result = held.verify()
    assert not result.ok
    assert "the facts table disagrees with the log" in result.problems[0]


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
def test_a_log_that_was_tampered_with_is_found_by_verifying(file: Path, tampering: str) -> None:
    with memory(file) as held:
        held.add("I like tea", **MINE)
        held.add("I like coffee", **MINE)
    with closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute(tampering)
    with memory(file) as held:
        result = held.verify()
    assert not result.ok
    assert all(problem for problem in result.problems)


def test_what_is_appended_while_verifying_is_no_problem(file: Path) -> None:
    # Given a memory with several ledgers
    with memory(file) as held:
        for user in ("a", "m", "z"):
            held.add("I like tea", user_id=user)

        # When somebody adds to ledgers that were verified, and to others that were not yet
        def add_meanwhile(_checked: int, _total: int) -> None:
            held.add("I like coffee", user_id="a")
            held.add("I like coffee", user_id="z")
            held.add("I like coffee", user_id="zz")

        # Then nothing is wrong
        assert held.verify(add_meanwhile).problems == ()
        assert held.verify().ok
