"""``Sessions`` over psycopg's asynchronous connections, for ``AsyncMemory``.

A pool is bound to the event loop that it was opened in, so each loop gets its own pool, opened at
the first use.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from typing import Any, Protocol

import psycopg

from remembrancer.adapters.stores.postgres.pooled_sessions import DriverConnection, PooledSessions
from remembrancer.adapters.stores.postgres.read_timeout import waiting_for
from remembrancer.adapters.stores.postgres.transaction_scripts import TransactionScripts


class Pool(Protocol):
    """The part of ``psycopg_pool.AsyncConnectionPool`` that is used here."""

    def connection(
        self, timeout: float | None = None
    ) -> AbstractAsyncContextManager[psycopg.AsyncConnection[Any]]:
        """Lend a connection."""
        ...

    async def close(self, timeout: float = 5) -> None:
        """Close all connections."""
        ...


class AsyncSessions(PooledSessions):
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
        super().__init__(frame)
        self._open_pool = open_pool
        self._lent = lent
        self._pools: dict[asyncio.AbstractEventLoop, asyncio.Future[Pool]] = {}
        self._closed = False

    @asynccontextmanager
    async def lend(self, answer_timeout: float | None) -> AsyncIterator[DriverConnection]:
        """See ``PooledSessions.lend``."""
        pool = await self._pool()
        async with pool.connection() as connection:
            with waiting_for(connection, answer_timeout):
                yield connection

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


async def _close(opening: asyncio.Future[Pool]) -> None:
    with suppress(psycopg.Error):
        await (await opening).close()
