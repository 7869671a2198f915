"""One SQLite file: its connections, its transactions, its schema version.

It knows nothing of events or facts. Writers of one process share commits, as ``writer`` says;
writers of several processes take turns by ``BEGIN IMMEDIATE`` with a bounded wait.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from enum import StrEnum
from typing import TypeVar

from attrs import field, frozen

from remembrancer.adapters.damage import decoding
from remembrancer.adapters.forks import Ownership
from remembrancer.adapters.stores.sqlite.connections import one_view
from remembrancer.adapters.stores.sqlite.database_file import DatabaseFile, expanded
from remembrancer.adapters.stores.sqlite.failures import is_busy, translating
from remembrancer.adapters.stores.sqlite.filters import register_functions
from remembrancer.adapters.stores.sqlite.migrations import Migration, migrate, schema_version
from remembrancer.adapters.stores.sqlite.writer import Writer
from remembrancer.domain.errors import AdapterUnavailable, InvalidRequest

T = TypeVar("T")

OLDEST_SQLITE = (3, 38, 0)
"""Filters are translated with the ``->`` operator, which came with this release."""

LONGEST_WAIT = 1_000_000
"""Seconds; SQLite counts milliseconds in 32 bits."""

WAL_PAUSE = 0.005
"""Seconds between two tries to switch a new file to write-ahead logging."""


class Durability(StrEnum):
    """What survives. ``FULL``: power loss. ``NORMAL``: a crash of the process; power loss may
    take the last commits, never older ones.
    """

    FULL = "full"
    NORMAL = "normal"


@frozen(kw_only=True)
class SqliteSettings:
    """Where the database is and how careful it is.

    ``path`` is a file or ``:memory:``; a leading ``~`` is the home folder. ``busy_timeout``
    (seconds) bounds the wait for writers of other processes; ``read_only`` opens an existing file
    for reading alone.
    """

    path: str = field(default=":memory:", converter=expanded)
    durability: Durability = Durability.FULL
    busy_timeout: float = 10.0
    read_only: bool = False


class Database:
    """An open database. Safe to share between threads.

    Args:
        settings: see ``SqliteSettings``.
        migrations: steps that bring an empty file to the current schema, in order; only ever
            appended to. The file remembers how many it has had.

    Raises:
        InvalidRequest: the file belongs to another program, is no database, or was written by a
            newer release.
        AdapterUnavailable: it can't be opened, or stayed locked for the whole ``busy_timeout``.
        IntegrityError: it was cut or deleted, but its write-ahead log is there.
        WrongContext: this process inherited connections to the file from the process that it was
            forked from.
    """

    def __init__(self, settings: SqliteSettings, migrations: Sequence[Migration]) -> None:
        self.settings = settings
        self._idle: list[sqlite3.Connection] = []
        self._idle_lock = threading.Lock()
        self._closed = False
        if sqlite3.sqlite_version_info < OLDEST_SQLITE:
            raise AdapterUnavailable(
                "sqlite",
                f"this Python carries SQLite {sqlite3.sqlite_version}, remembrancer needs "
                f"{'.'.join(map(str, OLDEST_SQLITE))} or newer; use another build of Python",
            )
        check(settings)
        self._file: DatabaseFile | None = None
        if settings.path != ":memory:":
            self._file = DatabaseFile(settings.path, read_only=settings.read_only)
        self.path = settings.path if self._file is None else self._file.path
        self._process = Ownership(self.path)
        if self._file is not None:
            self._process.claim(self._file.seen[0])
        with translating(self.path), decoding(self.path):
            connection = self._connect()
            try:
                self._writer = Writer(connection, self.path, self._require_usable, self._reconnect)
                self._adopt(connection, migrations)
                if self._file is not None:
                    self._file.pin()
            except BaseException:
                self._disconnect(connection)
                raise

    def _connect(self) -> sqlite3.Connection:
        settings = self.settings
        connection = sqlite3.connect(
            ":memory:" if self._file is None else self._file.target,
            uri=self._file is not None,
            timeout=settings.busy_timeout,
            isolation_level=None,
            check_same_thread=False,
            cached_statements=256,
        )
        self._process.keep(connection)
        connection.execute("PRAGMA cache_size = -65536")
        # Mapped, a file that is cut by another program ends this process with SIGBUS.
        connection.execute("PRAGMA mmap_size = 0")
        connection.execute("PRAGMA temp_store = MEMORY")
        connection.execute(f"PRAGMA synchronous = {settings.durability.value}")
        register_functions(connection)
        return connection

    def _reconnect(self, connection: sqlite3.Connection) -> sqlite3.Connection:
        """A new connection in place of one that can't write."""
        if self.settings.read_only:
            return connection
        renewed = self._connect()
        self._disconnect(connection)
        return renewed

    def _disconnect(self, connection: sqlite3.Connection) -> None:
        connection.close()
        self._process.release(connection)

    def _adopt(self, connection: sqlite3.Connection, migrations: Sequence[Migration]) -> None:
        """Make sure that the file is ours, then bring its schema up to date."""
        known = len(migrations)
        # In one view: another process may be migrating a new file at this very moment.
        with one_view(connection):
            version = schema_version(connection, self.path, known)
        if self.settings.read_only:
            if version < known:
                raise InvalidRequest(
                    "path",
                    f"{self.path} has schema version {version}, this release needs {known}; "
                    "open it once without read_only to migrate it",
                )
            return
        if self._file is not None:
            self._switch_to_wal(connection)
        if version < known:
            migrate(self.transaction, self.path, migrations)

    def _switch_to_wal(self, connection: sqlite3.Connection) -> None:
        # SQLite does not wait for others here: of several processes that start on a new file at
        # once, all but one are told that it is locked.
        deadline = time.monotonic() + self.settings.busy_timeout
        while True:
            try:
                connection.execute("PRAGMA journal_mode = WAL")
            except sqlite3.OperationalError as error:
                if not is_busy(error) or time.monotonic() >= deadline:
                    raise
                time.sleep(WAL_PAUSE)
            else:
                return

    def transaction(self) -> AbstractContextManager[sqlite3.Connection]:
        """A write transaction: committed at the end of the block, rolled back by an error."""
        self._process.require()
        return self._writer.transaction()

    def write(self, work: Callable[[sqlite3.Connection], T], units: int = 1) -> T:
        """Run ``work`` in a transaction that may be shared with other threads' works.

        It is durable when this returns; what it raises undoes it alone. If the call is interrupted,
        ``work`` is not committed later.

        Args:
            work: gets the connection of the transaction.
            units: how much work it is, in events to append.
        """
        self._process.require()
        return self._writer.write(work, units)

    @contextmanager
    def reader(self) -> Iterator[sqlite3.Connection]:
        """A connection for reading, lent to one thread at a time.

        Raises:
            IntegrityError: what the block read can't be decoded.
        """
        self._process.require()
        # Not around writes: those embed texts, and an embedder's mistake is no damage.
        with translating(self.path), decoding(self.path):
            if self._file is None:
                with self._writer.turn:
                    self._require_open()
                    yield self._writer.connection
                return
            connection = self._borrowed(self._file)
            seen = self._file.seen
            try:
                yield connection
                self._file.require_unwritten(seen)
            except BaseException:
                # A cursor that the error's traceback keeps alive would hold back the view of
                # whoever borrowed the connection next.
                self._disconnect(connection)
                # A page that was written meanwhile may look damaged.
                self._file.require_unwritten(seen)
                raise
            with self._idle_lock:
                if self._closed or seen is not self._file.seen:
                    self._disconnect(connection)
                else:
                    self._idle.append(connection)

    def _borrowed(self, file: DatabaseFile) -> sqlite3.Connection:
        with self._idle_lock:
            self._require_open()
            if file.renewed():
                self._close_idle()
            if self._idle:
                return self._idle.pop()
        connection = self._connect()
        try:
            connection.execute("PRAGMA query_only = ON")
            file.check()
        except BaseException:
            self._disconnect(connection)
            raise
        return connection

    def _require_usable(self) -> None:
        self._require_open()
        if self._file is not None:
            self._file.check()

    def _require_open(self) -> None:
        if self._closed:
            raise AdapterUnavailable("sqlite", f"{self.path} has been closed; open it again")

    def close(self) -> None:
        """Close all connections. Does nothing the second time, and in a forked process."""
        if self._process.inherited:
            return
        with self._writer.turn, self._idle_lock:
            self._closed = True
            self._close_idle()
            self._disconnect(self._writer.connection)

    def _close_idle(self) -> None:
        while self._idle:
            self._disconnect(self._idle.pop())


def check(settings: SqliteSettings) -> None:
    """Refuse what can't work.

    Raises:
        InvalidRequest: the setting, and what is allowed.
    """
    if settings.path != ":memory:":
        try:
            name = os.fsencode(settings.path)
        except UnicodeEncodeError as error:
            raise InvalidRequest("path", "has a lone surrogate; remove it") from error
        if not name or b"\0" in name:
            raise InvalidRequest("path", "name a file, or :memory:")
    if not 0 <= settings.busy_timeout <= LONGEST_WAIT:
        raise InvalidRequest(
            "busy_timeout", f"expected 0 to {LONGEST_WAIT} seconds, got {settings.busy_timeout}"
        )
