"""``Sessions`` over blocking connections, for ``Memory``: coroutines over them never suspend."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager, suppress
from typing import Any, TypeAlias

import psycopg
from attrs import field, frozen

from remembrancer.adapters.stores.postgres.advisory_locks import TRY_LOCK, UNLOCK
from remembrancer.adapters.stores.postgres.failures import translating
from remembrancer.adapters.stores.postgres.read_timeout import ReadTimeout, waiting_for
from remembrancer.adapters.stores.postgres.sessions import Connection, Cursor, Reader, Row
from remembrancer.adapters.stores.postgres.transaction_scripts import TransactionScripts, setting

Lend: TypeAlias = Callable[[], AbstractContextManager[psycopg.Connection[Any]]]

STALE = 32
"""Retries on another connection of the pool after a dead one, before the server counts as down."""


@frozen
class _Cursor:
    cursor: psycopg.Cursor[Any]

    @property
    def rowcount(self) -> int:
        return self.cursor.rowcount

    async def fetchone(self) -> Row | None:
        row: Row | None = self.cursor.fetchone()
        return row

    async def fetchall(self) -> list[Row]:
        return self.cursor.fetchall()


@frozen
class _Connection:
    connection: psycopg.Connection[Any]
    statements: list[str] = field(factory=list)
    rows: list[Row] = field(factory=list)

    async def execute(
        self,
        query: str,
        parameters: Sequence[object] = (),
        settings: Mapping[str, str] | None = None,
    ) -> Cursor:
        if settings:
            self.connection.execute(setting(settings).encode())
        return _Cursor(self.connection.execute(query.encode(), parameters or None))

    async def executemany(self, query: str, rows: Iterable[Sequence[object]]) -> None:
        with self.connection.cursor() as cursor:
            cursor.executemany(query.encode(), rows)

    def afterwards(self, statement: str) -> list[Row]:
        self.statements.append(statement)
        return self.rows


@frozen
class _Glance:
    sessions: SyncSessions

    async def execute(
        self,
        query: str,
        parameters: Sequence[object] = (),
        settings: Mapping[str, str] | None = None,
    ) -> Cursor:
        return _Cursor(self.sessions.seen(query, parameters, settings))


class SyncSessions:
    """``Sessions`` over psycopg's plain connections.

    Args:
        lend: context manager that yields a connection outside of any transaction.
        frame: SQL that begins and ends each transaction.
    """

    never_suspends = True

    def __init__(self, lend: Lend, frame: TransactionScripts) -> None:
        self._lend = lend
        self._frame = frame
        self.schema = frame.schema

    @asynccontextmanager
    async def transaction(
        self, *, flushed: bool = True, patient: bool = False
    ) -> AsyncIterator[Connection]:
        """See ``Sessions.transaction``."""
        script = self._frame.writing(flushed=flushed, patient=patient)
        with self._begun(script, patient=patient) as connection:
            yield connection

    @asynccontextmanager
    async def reader(self) -> AsyncIterator[Connection]:
        """See ``Sessions.reader``."""
        with self._begun(self._frame.reading()) as connection:
            yield connection

    @asynccontextmanager
    async def glance(self) -> AsyncIterator[Reader]:
        """See ``Sessions.glance``."""
        with translating():
            yield _Glance(self)

    def seen(
        self, query: str, parameters: Sequence[object], settings: Mapping[str, str] | None
    ) -> psycopg.Cursor[Any]:
        """Run a single reading statement and return its cursor."""
        before = self._frame.glancing(settings)
        for left in range(STALE, -1, -1):
            with self._borrowed() as connection:
                try:
                    return _at_once(connection, before, query, parameters)
                except psycopg.OperationalError as error:
                    if not (left and connection.closed) or isinstance(error, ReadTimeout):
                        raise
        raise AssertionError("the last try returns or raises")

    @contextmanager
    def _borrowed(self, *, patient: bool = False) -> Iterator[psycopg.Connection[Any]]:
        bound = None if patient else self._frame.answer_timeout
        with (
            self._lend() as connection,
            waiting_for(connection, bound),
            _autocommitting(connection),
        ):
            yield connection

    @contextmanager
    def _begun(self, script: str, *, patient: bool = False) -> Iterator[Connection]:
        with translating(), self._executed(script, patient=patient) as (connection, _):
            try:
                lent = _Connection(connection)
                yield lent
                end = self._frame.ending(lent.statements).encode()
                lent.rows.extend(_all(connection.execute(end, prepare=False)))
            except BaseException:
                _roll_back(connection)
                raise

    async def call(self, statement: str) -> list[Row]:
        """See ``Sessions.call``."""
        with translating(), self._executed(self._frame.around(statement)) as (_, cursor):
            return _all(cursor)

    async def alone(self, key: int, *statements: str) -> bool:
        """See ``Sessions.alone``."""
        with translating(), self._borrowed(patient=True) as connection:
            if connection.execute(f"{TRY_LOCK}({key})".encode()).fetchall() != [(True,)]:
                return False
            try:
                # The connection's options may set a statement_timeout.
                for statement in ("SET statement_timeout = 0", *statements):
                    connection.execute(statement.encode(), prepare=False)
            finally:
                if not connection.closed:
                    connection.execute(b"RESET statement_timeout", prepare=False)
                    connection.execute(f"{UNLOCK}({key})".encode())
            return True

    @contextmanager
    def _executed(
        self, script: str, *, patient: bool = False
    ) -> Iterator[tuple[psycopg.Connection[Any], psycopg.Cursor[Any]]]:
        """Run a script on a borrowed connection and yield both. A dead connection is replaced and
        the script retried; a read timeout is not retried, since the wait is already used up.
        """
        for left in range(STALE, -1, -1):
            with self._borrowed(patient=patient) as connection:
                try:
                    cursor = connection.execute(script.encode(), prepare=False)
                except psycopg.OperationalError as error:
                    if left and connection.closed and not isinstance(error, ReadTimeout):
                        continue
                    _roll_back(connection)
                    raise
                except BaseException:
                    _roll_back(connection)
                    raise
                yield connection, cursor
                return


def _at_once(
    connection: psycopg.Connection[Any],
    before: str | None,
    query: str,
    parameters: Sequence[object],
) -> psycopg.Cursor[Any]:
    if before is None:
        return connection.execute(query.encode(), parameters or None)
    # In a pipeline both statements are one transaction and one round trip.
    with connection.pipeline():
        connection.execute(before.encode())
        return connection.execute(query.encode(), parameters or None)


def _all(cursor: psycopg.Cursor[Any]) -> list[Row]:
    """Return the rows of all statements of a script."""
    rows: list[Row] = []
    while True:
        if cursor.description is not None:
            rows += cursor.fetchall()
        if not cursor.nextset():
            return rows


@contextmanager
def _autocommitting(connection: psycopg.Connection[Any]) -> Iterator[None]:
    """Set autocommit within the block, so that psycopg begins no transactions itself."""
    if connection.autocommit:
        yield
        return
    connection.autocommit = True
    try:
        yield
    finally:
        if not connection.closed:
            connection.autocommit = False


def _roll_back(connection: psycopg.Connection[Any]) -> None:
    if connection.closed:
        return
    try:
        connection.execute("ROLLBACK", prepare=False)
    except psycopg.Error:
        # The connection is unusable; the server rolls back when it is closed.
        with suppress(psycopg.Error):
            connection.close()
