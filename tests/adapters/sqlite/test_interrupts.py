"""Interrupts at each place of the SQLite store where a signal handler may raise."""

from __future__ import annotations

import gc
import signal
import sqlite3
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from itertools import count
from pathlib import Path
from zlib import crc32

import pytest

from remembrancer import Memory
from remembrancer.adapters.stores.sqlite.audit_log import create_log
from remembrancer.adapters.stores.sqlite.connections import one_view
from remembrancer.adapters.stores.sqlite.database import Database, SqliteSettings
from remembrancer.application.inline import run_inline
from remembrancer.testing.depth import failing_steps, stride
from tests.helpers.injection import Injection
from tests.helpers.waiting import PATIENCE, until

STORE = (
    "stores/sqlite/database.py",
    "stores/sqlite/writer.py",
    "stores/sqlite/connections.py",
    "stores/sqlite/failures.py",
    "contextlib.py",
)
WHOLE = (
    *STORE,
    "stores/sqlite/audit_log.py",
    "stores/sqlite/read_models.py",
    "sqlite/vector_index/index.py",
    "sqlite/vector_index/snapshots.py",
    "application/inline.py",
    "remember/optimistic_append.py",
    "remember/ordered_remember.py",
    "remember/remember.py",
    "runtime/queue_workers.py",
    "runtime/sync_bridge.py",
    "remembrancer/memory.py",
)
PLACES = ["file", ":memory:"]
Operation = Callable[[Memory, int], object]


class Alarm(Exception):
    """What a handler of SIGALRM raises in many programs."""


@pytest.fixture
def others() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1) as pool:
        yield pool


@pytest.fixture(params=PLACES)
def path(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return str(tmp_path / "a.db") if request.param == "file" else ":memory:"


def require_unlocked(path: str) -> None:
    """Another process could write."""
    if path != ":memory:":
        with closing(sqlite3.connect(path, timeout=0, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            other.execute("ROLLBACK")


# The store


def create_notes(connection: sqlite3.Connection) -> None:
    connection.execute("CREATE TABLE note (text TEXT PRIMARY KEY)")


@pytest.fixture
def database(path: str) -> Iterator[Database]:
    with closing(Database(SqliteSettings(path=path), [create_log, create_notes])) as opened:
        yield opened


def noting(database: Database, text: str) -> str:
    database.write(lambda connection: connection.execute("INSERT INTO note VALUES (?)", (text,)))
    return text


_NUMBERS = count()


def fresh() -> str:
    """A text that was not written before: a step may be tried twice."""
    return f"note {next(_NUMBERS)}"


def notes(database: Database) -> set[str]:
    with database.reader() as connection:
        return {text for (text,) in connection.execute("SELECT text FROM note")}


def interrupted(injection: Injection, work: Callable[[], object]) -> BaseException | None:
    """The error that came out of ``work``, with its traceback, as debuggers keep it."""

    async def use_case() -> None:
        work()

    try:
        with injection():
            run_inline(use_case())
    except BaseException as error:  # noqa: BLE001 - the test judges it
        return error
    return None


@pytest.mark.parametrize("error", [KeyboardInterrupt, Alarm])
def test_interrupted_write_is_committed_or_not_but_never_later(
    database: Database, path: str, others: ThreadPoolExecutor, error: type[BaseException]
) -> None:
    written: set[str] = set()

    def fail(step: int) -> bool:
        injection, text = Injection(STORE, step, error), fresh()
        kept = interrupted(injection, lambda: noting(database, text))
        # Then only the interrupt comes out, and another thread and another process can write
        assert kept is None or type(kept) is error, injection.where
        require_unlocked(path)
        assert gc.isenabled(), injection.where
        later = others.submit(noting, database, fresh()).result(PATIENCE)
        found = others.submit(notes, database).result(PATIENCE)
        # and nothing appeared late or was lost
        assert written <= found <= written | {text, later}, injection.where
        assert later in found
        assert kept is not None or text in found
        written.update(found)
        return injection.where is not None

    assert list(failing_steps(fail, usual=1, name=f"write {error}"))


def test_interrupted_read_leaves_nothing_locked(
    database: Database, path: str, others: ThreadPoolExecutor
) -> None:
    def read() -> None:
        with database.reader() as connection, one_view(connection):
            connection.execute("SELECT text FROM note").fetchone()

    def fail(step: int) -> bool:
        injection = Injection(STORE, step)
        kept = interrupted(injection, read)
        require_unlocked(path)
        text = others.submit(noting, database, fresh()).result(PATIENCE)
        assert text in others.submit(notes, database).result(PATIENCE), injection.where
        assert noting(database, fresh()) in notes(database), injection.where
        return kept is not None

    assert list(failing_steps(fail, usual=1, name="read"))


def test_failing_transaction_that_is_interrupted_is_rolled_back(
    database: Database, path: str, others: ThreadPoolExecutor
) -> None:
    def half_done() -> None:
        with database.transaction() as connection:
            connection.execute("INSERT INTO note VALUES ('half')")
            raise LookupError

    def fail(step: int) -> bool:
        injection = Injection(STORE, step)
        kept = interrupted(injection, half_done)
        require_unlocked(path)
        text = others.submit(noting, database, fresh()).result(PATIENCE)
        assert text in notes(database), injection.where
        assert "half" not in notes(database), injection.where
        return not isinstance(kept, LookupError)

    assert list(failing_steps(fail, usual=1, name="transaction"))


def test_interrupted_group_gives_every_waiting_thread_its_outcome(
    database: Database, path: str
) -> None:
    # Given writes of other threads that wait for the same commit as the interrupted one
    def fail(step: int) -> bool:
        injection, own = Injection(STORE, step), fresh()
        texts = [fresh() for _ in range(3)]
        with ThreadPoolExecutor(len(texts)) as pool:
            outcomes: list[Future[str]] = []

            with database._writer.turn:
                outcomes.extend(pool.submit(noting, database, text) for text in texts)
                until(lambda: len(database._writer._queue) == len(texts))
                kept = interrupted(injection, lambda: noting(database, own))
            # Then each of them has written its own once
            assert [outcome.result(PATIENCE) for outcome in outcomes] == texts, injection.where
        require_unlocked(path)
        found = notes(database)
        assert set(texts) <= found
        assert kept is not None or own in found
        assert database._writer._queue == []
        return injection.where is not None

    assert list(failing_steps(fail, usual=3, name="group"))


@pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="needs signals of POSIX")
def test_interrupted_caller_takes_its_write_out_of_the_queue(
    database: Database, others: ThreadPoolExecutor
) -> None:
    # Given a thread that has the writer until it is told to go on, and a caller that waits for it
    told, main = threading.Event(), threading.main_thread().ident
    assert main is not None

    def alarm(_number: int, _frame: object) -> None:
        raise Alarm

    def hold() -> None:
        with database.transaction():
            until(lambda: len(database._writer._queue) == 1)
            # When a signal handler raises in the caller
            signal.pthread_kill(main, signal.SIGUSR1)
            told.wait(PATIENCE)

    before = signal.signal(signal.SIGUSR1, alarm)
    try:
        held = others.submit(hold)
        with pytest.raises(Alarm):
            noting(database, "too late")
    finally:
        signal.signal(signal.SIGUSR1, before)
        told.set()
    held.result(PATIENCE)
    # Then it leaves at once, and its write never comes
    noting(database, "later")
    assert notes(database) == {"later"}


# The whole memory


OPERATIONS: dict[str, Operation] = {
    "add": lambda memory, step: memory.add(f"I live in Town{step}.", user_id="ann"),
    "add verbatim": lambda memory, step: memory.add(f"raw {step}", user_id="ann", infer=False),
    "search": lambda memory, step: memory.search("Where do I live?", user_id="ann"),
    "later": lambda memory, step: memory.add(f"I like tea{step}.", user_id="ann", wait=False).wait(
        PATIENCE
    ),
}


@pytest.mark.filterwarnings("ignore:coroutine .* was never awaited:RuntimeWarning")
@pytest.mark.parametrize("operation", OPERATIONS.values(), ids=OPERATIONS.keys())
def test_interrupted_memory_stays_usable(
    path: str, others: ThreadPoolExecutor, operation: Operation, request: pytest.FixtureRequest
) -> None:
    with Memory(path) as memory:
        memory.add("I live in Rome.", user_id="ann")

        def use(step: int) -> None:
            memory.add(f"later {step}", user_id="bob", infer=False)
            assert memory.search(f"later {step}", user_id="bob")[0].text == f"later {step}"

        counted = Injection(WHOLE)
        with counted():
            operation(memory, 0)
        first, each = crc32(request.node.name.encode()) % stride(25), stride(25)
        for step in range(1 + first, counted.count + 1, each):
            kept = None
            try:
                with Injection(WHOLE, step)():
                    operation(memory, step)
            except KeyboardInterrupt as error:
                # As a debugger keeps it
                kept = error
            require_unlocked(path)
            others.submit(use, step).result(PATIENCE)
            memory.add("I live in Rome.", user_id="ann")
            del kept
        assert memory.verify().ok
