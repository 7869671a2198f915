"""``Sessions`` over psycopg's asynchronous connections, for ``AsyncMemory``.

A pool is bound to the event loop that it was opened in, so each loop gets its own pool, opened at
the first use.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from typing import Any, Protocol, TypeAlias

import psycopg
from attrs import field, frozen

from remembrancer.adapters.stores.postgres.advisory_locks import TRY_LOCK, UNLOCK
from remembrancer.adapters.stores.postgres.failures import translating
from remembrancer.adapters.stores.postgres.read_timeout import ReadTimeout, waiting_for
from remembrancer.adapters.stores.postgres.sessions import Connection, Cursor, Reader, Row
from remembrancer.adapters.stores.postgres.sync_sessions import STALE
from remembrancer.adapters.stores.postgres.transaction_scripts import TransactionScripts, setting

_Raw: TypeAlias = psycopg.AsyncConnection[Any]
Lent: TypeAlias = AbstractAsyncContextManager[_Raw]


class Pool(Protocol):
    """The part of ``psycopg_pool.AsyncConnectionPool`` that is used here."""

    def connection(self, timeout: float | None = None) -> Lent:
        """Lend a connection."""
        ...

    async def close(self, timeout: float = 5) -> None:
        """Close all connections."""
        ...


@frozen
class _Cursor:
    cursor: psycopg.AsyncCursor[Any]

    @property
    def rowcount(self) -> int:
        return self.cursor.rowcount

    async def fetchone(self) -> Row | None:
        row: Row | None = await self.cursor.fetchone()
        return row

    async def fetchall(self) -> list[Row]:
        return await self.cursor.fetchall()


@frozen
class _Connection:
    connection: psycopg.AsyncConnection[Any]
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
        async with self.connection.cursor() as cursor:
            await cursor.executemany(query.encode(), rows)

    def afterwards(self, statement: str) -> list[Row]:
        self.statements.append(statement)
        return self.rows


@frozen
class _Glance:
    sessions: AsyncSessions

    async def execute(
        self,
        query: str,
        parameters: Sequence[object] = (),
        settings: Mapping[str, str] | None = None,
    ) -> Cursor:
        return _Cursor(await self.sessions.seen(query, parameters, settings))


class AsyncSessions:
    """``Sessions`` over psycopg's asynchronous connections.

    Args:
        open_pool: opens a pool in the running loop.
        frame: SQL that begins and ends each transaction.
        lent: the host application's pool, which is neither opened nor closed here.
    """

    never_suspends = False

    def __init__(
        self,
        open_pool: Callable[[], Awaitable[Pool]],
        frame: TransactionScripts,
        lent: Pool | None = None,
    ) -> None:
        self._open_pool = open_pool
        self._frame = frame
        self._lent = lent
        self._pools: dict[asyncio.AbstractEventLoop, asyncio.Future[Pool]] = {}
        self._closed = False
        self.schema = frame.schema

    @asynccontextmanager
    async def transaction(
        self, *, flushed: bool = True, patient: bool = False
    ) -> AsyncIterator[Connection]:
        """See ``Sessions.transaction``."""
        script = self._frame.writing(flushed=flushed, patient=patient)
        async with self._begun(script, patient=patient) as connection:
            yield connection

    @asynccontextmanager
    async def reader(self) -> AsyncIterator[Connection]:
        """See ``Sessions.reader``."""
        async with self._begun(self._frame.reading()) as connection:
            yield connection

    @asynccontextmanager
    async def glance(self) -> AsyncIterator[Reader]:
        """See ``Sessions.glance``."""
        with translating():
            yield _Glance(self)

    async def seen(
        self, query: str, parameters: Sequence[object], settings: Mapping[str, str] | None
    ) -> psycopg.AsyncCursor[Any]:
        """See ``SyncSessions.seen``."""
        before = self._frame.glancing(settings)
        for left in range(STALE, -1, -1):
            async with self._borrowed() as connection:
                try:
                    return await _at_once(connection, before, query, parameters)
                except psycopg.OperationalError as error:
                    if not (left and connection.closed) or isinstance(error, ReadTimeout):
                        raise
        raise AssertionError("the last try returns or raises")

    @asynccontextmanager
    async def _borrowed(self, *, patient: bool = False) -> AsyncIterator[_Raw]:
        bound = None if patient else self._frame.answer_timeout
        pool = await self._pool()
        async with pool.connection() as connection:
            with waiting_for(connection, bound):
                async with _autocommitting(connection):
                    yield connection

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
    async def _executed(
        self, script: str, *, patient: bool = False
    ) -> AsyncIterator[tuple[_Raw, psycopg.AsyncCursor[Any]]]:
        """See ``SyncSessions._executed``."""
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

    async def _pool(self) -> Pool:
        if self._lent is not None:
            return self._lent
        if self._closed:
            raise psycopg.OperationalError("the memory has been closed; open it again")
        loop = asyncio.get_running_loop()
        if loop not in self._pools:
            self._pools[loop] = asyncio.ensure_future(self._open_pool())
        opening = self._pools[loop]
        try:
            # Shielded: a cancelled waiter must not cancel the opening for the others.
            return await asyncio.shield(opening)
        except psycopg.Error:
            self._pools.pop(loop, None)
            raise

    def close(self) -> None:
        """Close the pools that were opened here, each in its own loop. Must not be called from one
        of those loops. Closing twice does nothing.
        """
        self._closed = True
        while self._pools:
            loop, opening = self._pools.popitem()
            if loop.is_running():
                asyncio.run_coroutine_threadsafe(_close(opening), loop).result()


async def _at_once(
    connection: psycopg.AsyncConnection[Any],
    before: str | None,
    query: str,
    parameters: Sequence[object],
) -> psycopg.AsyncCursor[Any]:
    if before is None:
        return await connection.execute(query.encode(), parameters or None)
    async with connection.pipeline():
        await connection.execute(before.encode())
        return await connection.execute(query.encode(), parameters or None)


async def _all(cursor: psycopg.AsyncCursor[Any]) -> list[Row]:
    """Return the rows of all statements of a script."""
    rows: list[Row] = []
    while True:
        if cursor.description is not None:
            rows += await cursor.fetchall()
        if not cursor.nextset():
            return rows


async def _close(opening: asyncio.Future[Pool]) -> None:
    with suppress(psycopg.Error):
        await (await opening).close()


@asynccontextmanager
async def _autocommitting(connection: psycopg.AsyncConnection[Any]) -> AsyncIterator[None]:
    """Set autocommit within the block, so that psycopg begins no transactions itself."""
    if connection.autocommit:
        yield
        return
    await connection.set_autocommit(True)
    try:
        yield
    finally:
        if not connection.closed:
            await connection.set_autocommit(False)


async def _roll_back(connection: psycopg.AsyncConnection[Any]) -> None:
    if connection.closed:
        return
    try:
        await connection.execute("ROLLBACK", prepare=False)
    except psycopg.Error:
        # The connection is unusable; the server rolls back when it is closed.
        with suppress(psycopg.Error):
            await connection.close()
