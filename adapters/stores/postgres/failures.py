"""Translation of psycopg's errors to typed errors that say what to do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import psycopg_pool
from psycopg import errors

from remembrancer.adapters.stores.postgres.read_timeout import ReadTimeout
from remembrancer.adapters.tls_failures import tls_mistake
from remembrancer.domain.errors import (
    AdapterUnavailable,
    IntegrityError,
    InvalidRequest,
    RemembrancerError,
    SettingsError,
)

ADAPTER = "postgres"


class Collision(AdapterUnavailable):
    """The transaction conflicted with another one and was rolled back; a retry may succeed."""


class TableMissing(IntegrityError):
    """A table or column is missing."""


_COLLISIONS = (
    errors.SerializationFailure,
    errors.DeadlockDetected,
    errors.UniqueViolation,
)
_REMEDIES: tuple[tuple[type[psycopg.Error] | tuple[type[psycopg.Error], ...], str], ...] = (
    (
        errors.QueryCanceled,
        "the statement exceeded statement_timeout, or was cancelled; try again",
    ),
    (errors.LockNotAvailable, "another session held a lock for too long; try again"),
    (
        (errors.DiskFull, errors.OutOfMemory),
        "the server is out of disk space or memory; free some and try again",
    ),
    (errors.TooManyConnections, "the server accepts no more connections; lower max_connections"),
    (
        (errors.AdminShutdown, errors.CrashShutdown, errors.CannotConnectNow),
        "the server is shutting down or starting; try again",
    ),
    (
        errors.IdleInTransactionSessionTimeout,
        "the server closed the connection, since the client sent nothing for too long; try again",
    ),
    (
        ReadTimeout,
        "the connection is open, but the server does not answer; check the network and proxies in "
        "between. The statement may have been executed: try again, a write with the same "
        "idempotency_key",
    ),
    (errors.ConnectionTimeout, "the server can't be reached or does not answer; try again"),
    (errors.ReadOnlySqlTransaction, "the server is a read-only replica; connect to the primary"),
)
_UNLIKE_OURS = (psycopg.ProgrammingError, psycopg.IntegrityError)
"""Objects that are missing or of another type, and rows that break a constraint."""

_REFUSALS = (
    errors.InvalidPassword,
    errors.InvalidAuthorizationSpecification,
    errors.InvalidCatalogName,
    errors.InsufficientPrivilege,
)
_UNCONNECTED = (
    "password authentication failed",
    "no password supplied",
    "no pg_hba.conf entry",
    'database "',
    'role "',
    "permission denied for database",
    "server does not support SSL",
    "root certificate file",
)
"""Refusals of a new connection. libpq gives no code for them, only the text of the server."""


def translated(error: psycopg.Error) -> RemembrancerError:
    """Return the typed error for an error of psycopg or the server."""
    said = " ".join(str(error).split()) or type(error).__name__
    if isinstance(error, _COLLISIONS):
        return Collision(
            ADAPTER, f"the transaction conflicted with another writer; try again ({said})"
        )
    if isinstance(error, errors.UndefinedTable | errors.UndefinedColumn):
        return TableMissing(f"{said}; open the database again to have it rebuilt")
    if isinstance(error, errors.DataCorrupted | errors.IndexCorrupted):
        return IntegrityError(f"the database is damaged ({said}); restore a backup")
    if isinstance(error, _REFUSALS) or _is_refused(error):
        return SettingsError("audit_log.dsn", f"the server denies access: {said}")
    if isinstance(error, _UNLIKE_OURS):
        return IntegrityError(
            f"the schema is not the one that remembrancer made ({said}); restore a backup"
        )
    if isinstance(error, errors.UntranslatableCharacter | errors.CharacterNotInRepertoire):
        return InvalidRequest("text", f"PostgreSQL can't store it: {said}")
    if isinstance(error, errors.NumericValueOutOfRange):
        # Requests hold no number that it can't store.
        return IntegrityError(f"a number in the database is out of range: {said}")
    if isinstance(error, psycopg.DataError):
        return InvalidRequest("text", f"PostgreSQL can't store it: {said}")
    if isinstance(error, psycopg_pool.PoolTimeout):
        return AdapterUnavailable(
            ADAPTER,
            "no connection became free within connect_timeout; check that the server is up, or "
            f"raise max_connections ({said})",
        )
    if isinstance(error, psycopg_pool.PoolClosed):
        return AdapterUnavailable(ADAPTER, "the memory has been closed; open it again")
    remedy = next((remedy for kinds, remedy in _REMEDIES if isinstance(error, kinds)), None)
    return AdapterUnavailable(ADAPTER, f"{remedy} ({said})" if remedy else said)


def _is_refused(error: psycopg.Error) -> bool:
    """Whether a new connection was refused for its login, its database or its certificates."""
    if error.sqlstate is not None or not isinstance(error, psycopg.OperationalError):
        return False
    return tls_mistake(error) is not None or any(text in str(error) for text in _UNCONNECTED)


@contextmanager
def translating() -> Iterator[None]:
    """Re-raise psycopg's errors as typed errors."""
    try:
        yield
    except psycopg.Error as error:
        raise translated(error) from error
