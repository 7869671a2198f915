"""PostgreSQL's failures in the caller's terms: what happened, and what to do now."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import psycopg_pool
from psycopg import errors

from remembrancer.adapters.stores.postgres.read_timeout import ReadTimeout
from remembrancer.domain.errors import (
    AdapterUnavailable,
    IntegrityError,
    InvalidRequest,
    RemembrancerError,
)

ADAPTER = "postgres"


class Collision(AdapterUnavailable):
    """The transaction lost against another one and was undone: doing it again may succeed."""


class TableMissing(AdapterUnavailable):
    """A table or column is not there."""


_COLLISIONS = (
    errors.SerializationFailure,
    errors.DeadlockDetected,
    errors.UniqueViolation,
)
_REMEDIES: tuple[tuple[type[psycopg.Error] | tuple[type[psycopg.Error], ...], str], ...] = (
    (
        errors.QueryCanceled,
        "the statement took longer than statement_timeout, or was cancelled; try again",
    ),
    (errors.LockNotAvailable, "another session kept a lock for too long; try again"),
    ((errors.DiskFull, errors.OutOfMemory), "the server is out of space; free some and try again"),
    (errors.TooManyConnections, "the server has no connection left; lower max_connections"),
    (
        (errors.AdminShutdown, errors.CrashShutdown, errors.CannotConnectNow),
        "the server is being stopped or started; try again",
    ),
    (
        errors.IdleInTransactionSessionTimeout,
        "the server heard nothing for too long and gave the connection up; try again",
    ),
    (
        ReadTimeout,
        "the connection is up and silent; check what stands between here and the server. What was "
        "asked for may have been done: try again, a write with the idempotency_key that it had",
    ),
    (errors.ConnectionTimeout, "the server can't be reached, or does not answer; try again"),
    (errors.ReadOnlySqlTransaction, "the server is a read-only replica; name the primary"),
)
_REFUSALS = (
    errors.InvalidPassword,
    errors.InvalidAuthorizationSpecification,
    errors.InvalidCatalogName,
    errors.InsufficientPrivilege,
)


def translated(error: psycopg.Error) -> RemembrancerError:
    """The typed error for a failure of the driver or the server."""
    said = " ".join(str(error).split()) or type(error).__name__
    if isinstance(error, _COLLISIONS):
        return Collision(ADAPTER, f"lost against another writer; try again ({said})")
    if isinstance(error, errors.UndefinedTable | errors.UndefinedColumn):
        return TableMissing(ADAPTER, f"{said}; open the database again to have it rebuilt")
    if isinstance(error, errors.DataCorrupted | errors.IndexCorrupted):
        return IntegrityError(f"the database is damaged ({said}); restore a backup")
    if isinstance(error, _REFUSALS):
        return InvalidRequest("audit_log.dsn", f"the server refuses it: {said}")
    if isinstance(error, errors.UntranslatableCharacter | errors.CharacterNotInRepertoire):
        return InvalidRequest("text", f"PostgreSQL can't hold it: {said}")
    if isinstance(error, psycopg.DataError):
        return InvalidRequest("text", f"PostgreSQL can't hold it: {said}")
    if isinstance(error, psycopg_pool.PoolTimeout):
        return AdapterUnavailable(
            ADAPTER,
            "no connection came free within connect_timeout; check that the server is up, or "
            f"raise max_connections ({said})",
        )
    if isinstance(error, psycopg_pool.PoolClosed):
        return AdapterUnavailable(ADAPTER, "the memory has been closed; open it again")
    remedy = next((remedy for kinds, remedy in _REMEDIES if isinstance(error, kinds)), None)
    return AdapterUnavailable(ADAPTER, f"{remedy} ({said})" if remedy else said)


@contextmanager
def translating() -> Iterator[None]:
    """Re-raise what psycopg raises as a typed error."""
    try:
        yield
    except psycopg.Error as error:
        raise translated(error) from error
