"""``Sessions`` over psycopg, written once for blocking and for asynchronous connections.

``sync_sessions`` and ``async_sessions`` lend the connections.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from asyncio import CancelledError
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from types import TracebackType
from typing import Protocol

import psycopg
from attrs import field, frozen

from remembrancer.adapters.damage import decoding
from remembrancer.adapters.forks import Ownership
from remembrancer.adapters.stores.postgres.advisory_locks import TRY_LOCK, UNLOCK
from remembrancer.adapters.stores.postgres.failures import translating
from remembrancer.adapters.stores.postgres.read_timeout import ReadTimeout
from remembrancer.adapters.stores.postgres.sessions import Connection, Cursor, Reader, Row
from remembrancer.adapters.stores.postgres.transaction_scripts import TransactionScripts, setting
from remembrancer.domain.errors import RemembrancerError

PLACE = "the tables in PostgreSQL"

STALE = 32
"""Retries on another connection of the pool after a dead one, before the server counts as down."""


class DriverCursor(Protocol):
    """The part of ``psycopg.AsyncCursor`` that is used here."""

    @property
    def rowcount(self) -> int: ...

    @property
    def description(self) -> Sequence[object] | None: ...

    async def executemany(self, query: bytes, params_seq: Iterable[Sequence[object]]) -> None: ...

    async def fetchone(self) -> Row | None: ...

    async def fetchall(self) -> list[Row]: ...

    def nextset(self) -> bool | None: ...


class DriverConnection(Protocol):
    """The part of ``psycopg.AsyncConnection`` that is used here."""

    @property
    def closed(self) -> bool: ...

    @property
    def autocommit(self) -> bool: ...

    async def set_autocommit(self, value: bool) -> None: ...

    async def execute(
        self,
        query: bytes,
        params: Sequence[object] | None = None,
        *,
        prepare: bool | None = None,
    ) -> DriverCursor: ...

    def cursor(self) -> DriverCursor: ...

    def pipeline(self) -> AbstractAsyncContextManager[object]: ...

    async def close(self) -> None: ...


@frozen
class _Cursor:
    cursor: DriverCursor

    @property
    def rowcount(self) -> int:
        return self.cursor.rowcount

    async def fetchone(self) -> Row | None:
        return await self.cursor.fetchone()

    async def fetchall(self) -> list[Row]:
        return [] if self.cursor.description is None else await self.cursor.fetchall()


@frozen
class _Connection:
    connection: DriverConnection
    statements: list[str] = field(factory=list)
    rows: list[Row] = field(factory=list)

    async def execute(
        self,
        query: str,
        parameters: Sequence[object] = (),
        settings: Mapping[str, str] | None = None,
    ) -> Cursor:
        if settings:
            await self.connection.execute(setting(settings).encode())
        return _Cursor(await self.connection.execute(query.encode(), parameters or None))

    async def executemany(self, query: str, rows: Iterable[Sequence[object]]) -> None:
        await self.connection.cursor().executemany(query.encode(), rows)

    def afterwards(self, statement: str) -> list[Row]:
        self.statements.append(statement)
        return self.rows


@frozen
class _Glance:
    """A class, because ``asynccontextmanager`` takes a noticeable part of a single statement."""

    sessions: PooledSessions

    async def __aenter__(self) -> Reader:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if error is not None:
            with translating(), decoding(PLACE):
                raise error

    async def execute(
        self,
        query: str,
        parameters: Sequence[object] = (),
        settings: Mapping[str, str] | None = None,
    ) -> Cursor:
        return _Cursor(await self.sessions.seen(query, parameters, settings))


class PooledSessions(ABC):
    """``Sessions`` over lent connections.

    Args:
        frame: SQL that begins and ends each transaction.
    """

    never_suspends: bool

    def __init__(self, frame: TransactionScripts) -> None:
        self._frame = frame
        self._process = Ownership("a PostgreSQL database")
        self._glancing = frame.glancing(None)
        self.schema = frame.schema

    @abstractmethod
    def lend(self, answer_timeout: float | None) -> AbstractAsyncContextManager[DriverConnection]:
        """Lend a connection outside of any transaction, with this read timeout in seconds."""

    def transaction(
        self, *, flushed: bool = True, patient: bool = False
    ) -> AbstractAsyncContextManager[Connection]:
        """See ``Sessions.transaction``."""
        return self._begun(self._frame.writing(flushed=flushed, patient=patient), patient=patient)

    def reader(self) -> AbstractAsyncContextManager[Connection]:
        """See ``Sessions.reader``."""
        return self._read()

    @asynccontextmanager
    async def _read(self) -> AsyncIterator[Connection]:
        async with self._begun(self._frame.reading()) as connection:
            # Not around writes: those embed texts, and an embedder's mistake is no damage.
            with decoding(PLACE):
                yield connection

    def glance(self) -> AbstractAsyncContextManager[Reader]:
        """See ``Sessions.glance``."""
        return _Glance(self)

    async def seen(
        self, query: str, parameters: Sequence[object], settings: Mapping[str, str] | None
    ) -> DriverCursor:
        """Run a single reading statement and return its cursor."""
        before = self._frame.glancing(settings) if settings else self._glancing
        for left in range(STALE, -1, -1):
            async with self._borrowed() as connection:
                try:
                    return await _at_once(connection, before, query, parameters)
                except psycopg.OperationalError as error:
                    if not (left and connection.closed) or isinstance(error, ReadTimeout):
                        raise
        raise AssertionError("the last try returns or raises")

    async def call(self, statement: str) -> list[Row]:
        """See ``Sessions.call``."""
        with translating():
            async with self._executed(self._frame.around(statement)) as (_, cursor):
                return await _all(cursor)

    async def alone(self, key: int, *statements: str) -> bool:
        """See ``Sessions.alone``."""
        with translating():
            async with self._borrowed(patient=True) as connection:
                taken = await connection.execute(f"{TRY_LOCK}({key})".encode())
                if await taken.fetchall() != [(True,)]:
                    return False
                try:
                    # The connection's options may set a statement_timeout.
                    for statement in ("SET statement_timeout = 0", *statements):
                        await connection.execute(statement.encode(), prepare=False)
                finally:
                    if not connection.closed:
                        await connection.execute(b"RESET statement_timeout", prepare=False)
                        await connection.execute(f"{UNLOCK}({key})".encode())
                return True

    @asynccontextmanager
    async def _begun(self, script: str, *, patient: bool = False) -> AsyncIterator[Connection]:
        with translating():
            async with self._executed(script, patient=patient) as (connection, _):
                try:
                    lent = _Connection(connection)
                    yield lent
                    end = self._frame.ending(lent.statements).encode()
                    lent.rows.extend(await _all(await connection.execute(end, prepare=False)))
                except BaseException:
                    await _roll_back(connection)
                    raise

    @asynccontextmanager
    async def _executed(
        self, script: str, *, patient: bool = False
    ) -> AsyncIterator[tuple[DriverConnection, DriverCursor]]:
        """Run a script on a borrowed connection and yield both. A dead connection is replaced and
        the script retried; a read timeout is not retried, since the wait is already used up.
        """
        for left in range(STALE, -1, -1):
            async with self._borrowed(patient=patient) as connection:
                try:
                    cursor = await connection.execute(script.encode(), prepare=False)
                except psycopg.OperationalError as error:
                    if left and connection.closed and not isinstance(error, ReadTimeout):
                        continue
                    await _roll_back(connection)
                    raise
                except BaseException:
                    await _roll_back(connection)
                    raise
                yield connection, cursor
                return

    @asynccontextmanager
    async def _borrowed(self, *, patient: bool = False) -> AsyncIterator[DriverConnection]:
        """Borrow a connection in autocommit, so that psycopg begins no transactions itself. After
        an interrupt its state is unknown: it is closed, and the server rolls back and unlocks.
        """
        self._process.require()
        async with self.lend(None if patient else self._frame.answer_timeout) as connection:
            before = connection.autocommit
            try:
                try:
                    if not before:
                        await connection.set_autocommit(True)
                    yield connection
                finally:
                    if not (before or connection.closed):
                        await connection.set_autocommit(False)
            except (psycopg.Error, RemembrancerError, CancelledError):
                raise
            except BaseException:
                await connection.close()
                raise


async def _at_once(
    connection: DriverConnection,
    before: str | None,
    query: str,
    parameters: Sequence[object],
) -> DriverCursor:
    if before is None:
        return await connection.execute(query.encode(), parameters or None)
    try:
        # In a pipeline both statements are one transaction and one round trip.
        async with connection.pipeline():
            await connection.execute(before.encode())
            return await connection.execute(query.encode(), parameters or None)
    except BaseException:
        # psycopg counts a statement as prepared as soon as it is sent in a pipeline. If the server
        # cancelled it before, all later uses fail; psycopg forgets its prepared statements on this.
        if not connection.closed:
            with suppress(psycopg.Error):
                await connection.execute(b"DEALLOCATE ALL", prepare=False)
        raise


async def _all(cursor: DriverCursor) -> list[Row]:
    """Return the rows of all statements of a script."""
    rows: list[Row] = []
    while True:
        if cursor.description is not None:
            rows += await cursor.fetchall()
        if not cursor.nextset():
            return rows


async def _roll_back(connection: DriverConnection) -> None:
    if connection.closed:
        return
    try:
        await connection.execute(b"ROLLBACK", prepare=False)
    except psycopg.Error:
        # The connection is unusable; the server rolls back when it is closed.
        with suppress(psycopg.Error):
            await connection.close()
