"""Translate SQLite exceptions to typed errors that say what failed and what to do."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from remembrancer.domain.errors import (
    AdapterUnavailable,
    IntegrityError,
    InvalidRequest,
    RemembrancerError,
)

_REMEDIES = {
    sqlite3.SQLITE_BUSY: "another process kept the database locked; try again, or raise the "
    "busy_timeout setting",
    sqlite3.SQLITE_LOCKED: "another connection kept the database locked; try again",
    sqlite3.SQLITE_FULL: "the disk or the database is full; free space and try again",
    sqlite3.SQLITE_READONLY: "the database is read-only; make the file and its folder writable, "
    "or open another one",
    sqlite3.SQLITE_IOERR: "the disk reported an error; the same call may be tried again",
    sqlite3.SQLITE_CANTOPEN: "the file can't be opened; check that its folder exists and is "
    "writable",
    sqlite3.SQLITE_NOMEM: "out of memory; free memory and try again",
    sqlite3.SQLITE_INTERRUPT: "the call was interrupted; try again",
}


_UNLIKE_OURS = {
    sqlite3.SQLITE_ERROR,
    sqlite3.SQLITE_CONSTRAINT,
    sqlite3.SQLITE_FORMAT,
    sqlite3.SQLITE_MISMATCH,
    sqlite3.SQLITE_RANGE,
    sqlite3.SQLITE_TOOBIG,
}
"""A table, column or value that is missing, is too many, or is of another type. ``SQLITE_ERROR`` is
every statement that can't succeed.
"""

_DENIED = {sqlite3.SQLITE_AUTH, sqlite3.SQLITE_PERM}

_UNDECODED = re.compile(r"Could not decode to UTF-8 column '(.*?)' with text")


def translated(error: sqlite3.Error, path: str) -> RemembrancerError:
    """The typed error for a SQLite error on the database at ``path``."""
    code = _primary_code(error)
    if code == sqlite3.SQLITE_NOTADB:
        return InvalidRequest("path", f"{path} is not a SQLite database; name another file")
    if code == sqlite3.SQLITE_CORRUPT:
        # SQLite says the same if the disk reports an error while it reads.
        return IntegrityError(
            f"{path} is damaged or can't be read ({error}); restore a backup if it happens again"
        )
    if is_missing(error):
        return IntegrityError(
            f"{path} has lost a table or a column ({error}); if it belongs to a read model, run "
            "remembrancer rebuild read_models, otherwise restore a backup"
        )
    if (undecoded := _UNDECODED.match(str(error))) is not None:
        # SQLite's own text goes on with the value.
        return IntegrityError(
            f"{path}: a value of the column {undecoded[1]} is not UTF-8; restore a backup"
        )
    if code in _UNLIKE_OURS:
        return IntegrityError(
            f"{path}: its tables or values are not those that remembrancer wrote ({error}); "
            "restore a backup"
        )
    if code in _DENIED:
        return InvalidRequest("path", f"{path}: access is denied ({error}); change its permissions")
    remedy = _REMEDIES.get(code)
    return AdapterUnavailable("sqlite", f"{remedy} ({path}: {error})" if remedy else f"{error}")


def unopenable(path: str, error: OSError) -> AdapterUnavailable:
    """The typed error for a file that can't be opened."""
    remedy = _REMEDIES[sqlite3.SQLITE_CANTOPEN]
    return AdapterUnavailable("sqlite", f"{remedy} ({path}: {error.strerror})")


def is_busy(error: sqlite3.Error) -> bool:
    """Whether another connection has the database locked."""
    return _primary_code(error) == sqlite3.SQLITE_BUSY


def is_read_only(error: sqlite3.Error) -> bool:
    """Whether the connection can't write."""
    return _primary_code(error) == sqlite3.SQLITE_READONLY


def is_missing(error: sqlite3.Error) -> bool:
    """Whether a table or a column does not exist."""
    return str(error).startswith(("no such table", "no such column"))


def is_undecoded(error: Exception | None) -> bool:
    """Whether a text could not be decoded."""
    return isinstance(error, sqlite3.Error) and _UNDECODED.match(str(error)) is not None


def _primary_code(error: sqlite3.Error) -> int:
    # The low byte is the primary result code; the other bytes make the extended code.
    code: int = getattr(error, "sqlite_errorcode", 0)
    return code & 0xFF


@contextmanager
def translating(path: str) -> Iterator[None]:
    """Raise SQLite errors of the block as typed errors."""
    try:
        yield
    except sqlite3.Error as error:
        raise translated(error, path) from error
