"""A key vault in its own SQLite file, which only the file's owner may read. It stays with the file
that it opened, as the log does (see ``DatabaseFile``).

It uses a rollback journal, not a write-ahead log: a destroyed key would stay in a write-ahead log
until a checkpoint truncates it. A key is destroyed by overwriting it in place. Rows are only
appended and never change their length, so SQLite moves no row and leaves no copy of a key in the
free space of a page.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from attrs import field, frozen

from remembrancer.adapters.forks import Ownership
from remembrancer.adapters.key_vault.wrapping import Wrapping
from remembrancer.adapters.stores.sqlite.database_file import DatabaseFile, expanded
from remembrancer.adapters.stores.sqlite.failures import is_read_only, translating
from remembrancer.domain.errors import AdapterUnavailable, Erased, IntegrityError, InvalidRequest
from remembrancer.domain.ports.key_vault import KEY_BYTES
from remembrancer.domain.scope import LedgerId

APPLICATION_ID = 0x524D4B56
"""``RMKV`` in ASCII, stored in the file's header."""

SCHEMA_VERSION = 1
OTHERS = 0o077
"""The permission bits of a file's mode for group and others."""

BUSY_TIMEOUT = 10.0
"""Seconds to wait for a lock of another process, which holds it for one small commit."""

_SCHEMA = (
    "CREATE TABLE master (proof BLOB NOT NULL)",
    "CREATE TABLE ledger_key (id INTEGER PRIMARY KEY, ledger TEXT NOT NULL, "
    "destroyed INTEGER NOT NULL, key BLOB NOT NULL)",
    "CREATE UNIQUE INDEX ledger_key_of ON ledger_key (ledger)",
    f"PRAGMA application_id = {APPLICATION_ID}",
    f"PRAGMA user_version = {SCHEMA_VERSION}",
)


def _name_of_file(_settings: object, _field: object, path: str) -> None:
    if not path or "\0" in path or path == ":memory:":
        raise ValueError(f"expected the name of a file, got {path!r}; name one on disk")


@frozen(kw_only=True)
class SqliteVaultSettings:
    """Settings of ``SqliteKeyVault``.

    Args:
        path: the file; a leading ``~`` is the home folder. Keep it off the log's disk and out of
            the log's backups.
        master_key: 64 hex digits (32 bytes) that encrypt the keys in the file; if empty, the keys
            are stored unencrypted.

    Raises:
        ValueError: ``path`` is not a file name.
    """

    path: str = field(validator=_name_of_file, converter=expanded)
    master_key: str = field(default="", repr=False)


class SqliteKeyVault:
    """``KeyVault`` in a SQLite file.

    Args:
        settings: see ``SqliteVaultSettings``.

    Raises:
        InvalidRequest: the master key is not 64 hex digits.
    """

    def __init__(self, settings: SqliteVaultSettings) -> None:
        # A link is followed once, here: a vault that is not there yet must not move with it.
        self._path = Path(os.path.realpath(settings.path))
        self._file: DatabaseFile | None = None
        self._wrapping = Wrapping(settings.master_key)
        self._process = Ownership(str(self._path))
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        self._closed = False

    def key(self, ledger: LedgerId) -> bytes:
        """See ``KeyVault.key``."""
        with self._opened(make=True) as connection:
            assert connection is not None
            stored = _stored(connection, ledger)
            if stored is None:
                with self._writing(connection):
                    # Another process may have created the key first.
                    stored = _stored(connection, ledger)
                    if stored is None:
                        stored = self._wrapping.wrapped(os.urandom(KEY_BYTES), ledger)
                        _insert(connection, ledger, stored)
            return self._unwrapped(stored, ledger)

    def find(self, ledger: LedgerId) -> bytes | None:
        """See ``KeyVault.find``."""
        with self._opened() as connection:
            stored = None if connection is None else _stored(connection, ledger)
            return None if stored is None else self._unwrapped(stored, ledger)

    def _unwrapped(self, stored: object, ledger: LedgerId) -> bytes:
        """The key in a row.

        Raises:
            IntegrityError: the row is damaged.
        """
        key = self._wrapping.unwrapped(stored, ledger) if isinstance(stored, bytes) else b""
        if len(key) != KEY_BYTES:
            raise IntegrityError(
                f"{self._path}, table ledger_key: the key of {ledger} does not have {KEY_BYTES} "
                "bytes; restore a backup of the vault"
            )
        return key

    def destroy(self, ledger: LedgerId) -> None:
        """See ``KeyVault.destroy``."""
        with self._opened(make=True) as connection:
            assert connection is not None
            with suppress(Erased), self._writing(connection):
                if _stored(connection, ledger) is None:
                    # A ledger without a key gets one, which is then overwritten like any other.
                    never = self._wrapping.wrapped(bytes(KEY_BYTES), ledger)
                    _insert(connection, ledger, never)
                connection.execute(
                    "UPDATE ledger_key SET destroyed = 1, key = zeroblob(length(key)) "
                    "WHERE ledger = ?",
                    (ledger,),
                )

    def held(self) -> int:
        """See ``KeyVault.held``."""
        with self._opened() as connection:
            if connection is None:
                return 0
            row = connection.execute("SELECT count(*) FROM ledger_key WHERE NOT destroyed")
            return int(row.fetchone()[0])

    def ping(self) -> str:
        """See ``KeyVault.ping``."""
        with self._opened() as connection:
            there = "" if connection is not None else ", not there yet"
            return f"SQLite {sqlite3.sqlite_version} ({self._path}{there})"

    def close(self) -> None:
        """See ``KeyVault.close``."""
        if self._process.inherited:
            return
        with self._lock:
            self._closed = True
            if self._connection is not None:
                self._disconnect(self._connection)
                self._connection = None

    @contextmanager
    def _opened(self, *, make: bool = False) -> Iterator[sqlite3.Connection | None]:
        """The connection, for one thread at a time; ``None`` if the vault does not exist yet.

        Raises:
            AdapterUnavailable: the file was deleted or replaced while it was open.
            IntegrityError: it was cut to nothing.
            InvalidRequest: other users may access it.
        """
        self._process.require()
        with self._lock, _translating(str(self._path)):
            if self._closed:
                raise AdapterUnavailable("sqlite", f"{self._path} has been closed; open it again")
            if self._connection is None:
                self._connection = self._connect(make=make)
            self._check_file()
            yield self._connection

    def _check_file(self) -> None:
        if self._file is not None:
            self._file.check()
            _require_owner_only(self._path)

    def _connect(self, *, make: bool) -> sqlite3.Connection | None:
        if not (make or self._path.exists()):
            return None
        file = DatabaseFile(str(self._path))
        _require_owner_only(self._path)
        status = self._path.stat()
        self._process.claim((status.st_dev, status.st_ino))
        connection = sqlite3.connect(
            file.target,
            uri=True,
            timeout=BUSY_TIMEOUT,
            isolation_level=None,
            check_same_thread=False,
        )
        self._process.keep(connection)
        try:
            # A key must survive a power cut if data encrypted under it does: EXTRA also syncs the
            # directory when the journal is deleted.
            connection.execute("PRAGMA synchronous = EXTRA")
            connection.execute("PRAGMA secure_delete = ON")
            connection.execute("PRAGMA temp_store = MEMORY")
            if self._adopted(connection, make=make):
                file.pin()
                self._file = file
                return connection
        except BaseException:
            self._disconnect(connection)
            raise
        self._disconnect(connection)
        return None

    def _disconnect(self, connection: sqlite3.Connection) -> None:
        connection.close()
        self._process.release(connection)

    def _adopted(self, connection: sqlite3.Connection, *, make: bool) -> bool:
        """Check or create the vault's tables; ``False`` if there are none and ``make`` is false.

        Raises:
            InvalidRequest: the file is not a vault, or has another master key.
        """
        if make and _is_new(connection, self._path):
            with self._writing(connection):
                # Another process may have created the tables first.
                if _is_new(connection, self._path):
                    for statement in _SCHEMA:
                        connection.execute(statement)
                    proof = self._wrapping.check()
                    connection.execute("INSERT INTO master VALUES (?)", (proof,))
        elif _is_new(connection, self._path):
            return False
        (proof,) = connection.execute("SELECT proof FROM master").fetchone()
        self._wrapping.require(proof, str(self._path))
        return True

    @contextmanager
    def _writing(self, connection: sqlite3.Connection) -> Iterator[None]:
        connection.execute("BEGIN IMMEDIATE")
        try:
            yield
            # Once more: a key in a deleted file must not be handed out, nor count as destroyed.
            self._check_file()
            connection.execute("COMMIT")
        except BaseException as error:
            # Some failures (a full disk, an I/O error) have SQLite roll back by itself.
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            if isinstance(error, sqlite3.Error) and is_read_only(error):
                # It may have been opened when the file could not be written, and stays like that.
                self._connection = None
                self._disconnect(connection)
            raise


def _stored(connection: sqlite3.Connection, ledger: LedgerId) -> bytes | None:
    row = connection.execute(
        "SELECT destroyed, key FROM ledger_key WHERE ledger = ?", (ledger,)
    ).fetchone()
    if row is None:
        return None
    if row[0]:
        raise Erased(f"{ledger}: its key has been destroyed")
    stored: bytes = row[1]
    return stored


def _insert(connection: sqlite3.Connection, ledger: LedgerId, stored: bytes) -> None:
    connection.execute(
        "INSERT INTO ledger_key (ledger, destroyed, key) VALUES (?, 0, ?)", (ledger, stored)
    )


def _is_new(connection: sqlite3.Connection, path: Path) -> bool:
    """Whether the file is empty.

    Raises:
        InvalidRequest: it belongs to another program or to a newer release.
    """
    # In one statement: another process may be creating the tables at this moment.
    application, version, tables = connection.execute(
        "SELECT (SELECT application_id FROM pragma_application_id), "
        "(SELECT user_version FROM pragma_user_version), (SELECT count(*) FROM sqlite_master)"
    ).fetchone()
    if not application and not tables:
        return True
    if application != APPLICATION_ID:
        raise InvalidRequest("key_vault.path", f"{path} is not a key vault; name another file")
    if version > SCHEMA_VERSION:
        raise InvalidRequest(
            "key_vault.path",
            f"{path} has schema version {version}, this release knows up to {SCHEMA_VERSION}; "
            "upgrade remembrancer",
        )
    return False


def _require_owner_only(path: Path) -> None:
    if os.name == "posix" and path.stat().st_mode & OTHERS:
        raise InvalidRequest(
            "key_vault.path", f"{path} is accessible to other users; run chmod 600 {path}"
        )


@contextmanager
def _translating(path: str) -> Iterator[None]:
    try:
        with translating(path):
            yield
    except InvalidRequest as error:
        if error.path != "path":
            raise
        raise InvalidRequest("key_vault.path", error.problem) from error
