"""Translate SQLite exceptions to typed errors that say what failed and what to do."""

from __future__ import annotations

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


def translated(error: sqlite3.Error, path: str) -> RemembrancerError:
    """The typed error for a SQLite error on the database at ``path``."""
    code = _primary_code(error)
    if code == sqlite3.SQLITE_NOTADB:
        return InvalidRequest("path", f"{path} is not a SQLite database; name another file")
    if code == sqlite3.SQLITE_CORRUPT:
        return IntegrityError(f"{path} is damaged ({error}); restore a backup")
    remedy = _REMEDIES.get(code)
    return AdapterUnavailable("sqlite", f"{remedy} ({path}: {error})" if remedy else f"{error}")


def unopenable(path: str, error: OSError) -> AdapterUnavailable:
    """The typed error for a file that can't be opened."""
    remedy = _REMEDIES[sqlite3.SQLITE_CANTOPEN]
    return AdapterUnavailable("sqlite", f"{remedy} ({path}: {error.strerror})")


def is_busy(error: sqlite3.Error) -> bool:
    """Whether another connection has the database locked."""
    return _primary_code(error) == sqlite3.SQLITE_BUSY


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
