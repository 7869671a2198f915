"""``AppendSignal`` on PostgreSQL by ``LISTEN``/``NOTIFY``, with polling as a fallback.

A notification is only a hint; the last position decides, so a missed one costs one polling
interval. The position assignment sends it, not the append, since ``NOTIFY`` serialises commits; and
only while a listener exists, which a shared advisory lock of the listener shows.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import psycopg
from psycopg import sql

from remembrancer.adapters.stores.postgres.position_assignment import channel_of, listening_key
from remembrancer.adapters.stores.postgres.read_timeout import AsyncConnection
from remembrancer.domain.recorded import Position

BETWEEN = 1.0
"""Seconds between two polls while no notification comes."""

SHORTEST = 0.05
LONGEST = 0.5
"""Shortest and longest pause in seconds before a reconnect; it doubles each time."""

GRACE = 1.0
"""Seconds. Read timeout of the listening connection, and the longest time that ``wait`` may exceed
its own timeout if the server does not answer.
"""

Connect = Callable[[], Awaitable[AsyncConnection]]


class PostgresAppendSignal:
    """``AppendSignal`` by ``LISTEN``, on one connection for all waiters of an event loop.

    Args:
        connect: opens a new connection, in autocommit mode, that returns tuples.
        schema: schema of the log, quoted.
    """

    def __init__(self, connect: Connect, schema: str) -> None:
        self._connect = connect
        self._schema = schema
        self._listeners: dict[asyncio.AbstractEventLoop, _Listener] = {}
        self._closed = False

    async def wait(self, after: Position, seconds: float) -> None:
        """See ``AppendSignal.wait``. Reconnects until the timeout if the server can't be reached;
        the next read of the log reports the error.
        """
        deadline = asyncio.get_running_loop().time() + seconds
        pause = SHORTEST
        try:
            async with asyncio.timeout(seconds + GRACE):
                while not self._closed:
                    try:
                        await self._listener().wait(after, deadline)
                    except psycopg.Error:
                        left = deadline - asyncio.get_running_loop().time()
                        if left <= 0:
                            return
                        await asyncio.sleep(min(pause, left))
                        pause = min(2 * pause, LONGEST)
                    else:
                        return
        except TimeoutError:
            return
        finally:
            if self._closed:
                self.close()

    def _listener(self) -> _Listener:
        loop = asyncio.get_running_loop()
        for other in [other for other in self._listeners if other.is_closed()]:
            self._listeners.pop(other).stop()
        return self._listeners.setdefault(loop, _Listener(self._connect, self._schema))

    def close(self) -> None:
        """Close the connections. Closing twice does nothing."""
        self._closed = True
        for listener in list(self._listeners.values()):
            listener.stop()


class _Listener:
    """The connection of one event loop. One waiter reads it and wakes the others; when it leaves,
    another waiter takes over.
    """

    def __init__(self, connect: Connect, schema: str) -> None:
        self._connect = connect
        self._schema = schema
        self._connection: AsyncConnection | None = None
        self._reading = False
        self._others: set[asyncio.Future[None]] = set()
        self._last = 0

    async def wait(self, after: Position, deadline: float) -> None:
        """Return when there is an event after ``after``, or at the deadline (loop time)."""
        loop = asyncio.get_running_loop()
        found = False
        while not found and (left := deadline - loop.time()) > 0:
            if not self._reading:
                found = await self._read(after, left)
                continue
            found = self._last > after
            if not found:
                self._others.add(woken := loop.create_future())
                await asyncio.wait([woken], timeout=left)
                self._others.discard(woken)
                found = self._last > after

    async def _read(self, after: Position, left: float) -> bool:
        """Poll once; if there is no event after ``after``, wait for a notification.

        Wakes the other waiters after the poll and at the end, also on an error.

        Returns:
            Whether the poll found an event after ``after``.
        """
        self._reading = True
        try:
            if self._connection is None:
                self._connection = await self._listening()
            self._last = await self._polled(self._connection)
            self._wake()
            if self._last <= after:
                notices = self._connection.notifies(timeout=min(left, BETWEEN), stop_after=1)
                async for _ in notices:
                    pass
        except BaseException:
            if self._connection is not None:
                self._connection.pgconn.finish()
                self._connection = None
            raise
        finally:
            self._reading = False
            self._wake()
        return self._last > after

    def _wake(self) -> None:
        for woken in self._others:
            if not woken.done():
                woken.set_result(None)

    async def _listening(self) -> AsyncConnection:
        connection = await self._connect()
        try:
            connection.answer_timeout = GRACE
            channel = sql.Identifier(channel_of(self._schema))
            await connection.execute(sql.SQL("LISTEN {}").format(channel))
            # Waits for an open position assignment that found no listener; the poll follows it.
            await connection.execute(
                "SELECT pg_advisory_lock_shared(%s::bigint)", (listening_key(self._schema),)
            )
        except BaseException:
            connection.pgconn.finish()
            raise
        return connection

    async def _polled(self, connection: AsyncConnection) -> int:
        """Return the last position, plus one if a committed event has no position yet."""
        schema = self._schema
        query = (
            f"SELECT coalesce((SELECT max(last_position) FROM {schema}.place), 0) "
            f"+ {schema}.waiting()::int"
        )
        row = await (await connection.execute(query.encode())).fetchone()
        return int(row[0]) if row else 0

    def stop(self) -> None:
        """Close the connection, unless a waiter reads it: that one closes it afterwards."""
        if self._connection is not None and not self._reading:
            self._connection.pgconn.finish()
            self._connection = None
