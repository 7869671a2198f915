"""News of events on PostgreSQL: the numbering notifies whoever listens.

A notification is a hint, the position is the truth: one that is missed costs a look. It is sent by
the numbering and not by the append, since ``NOTIFY`` has all who commit with one wait for each
other, and only while somebody listens, which a shared advisory lock of the listener tells.
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
"""Seconds between two looks while no notification comes."""

SHORTEST = 0.05
LONGEST = 0.5
"""Seconds before connecting again."""

GRACE = 1.0
"""Seconds that a server which does not answer may keep a waiter beyond what it asked for, and
after which its connection is given up for another one.
"""

Connect = Callable[[], Awaitable[AsyncConnection]]


class PostgresAppendSignal:
    """``AppendSignal`` by ``LISTEN``, on one connection for all who wait in an event loop.

    Args:
        connect: a new connection, in autocommit, that returns tuples.
        schema: the log's, quoted.
    """

    def __init__(self, connect: Connect, schema: str) -> None:
        self._connect = connect
        self._schema = schema
        self._ears: dict[asyncio.AbstractEventLoop, _Ear] = {}
        self._closed = False

    async def wait(self, after: Position, seconds: float) -> None:
        """See ``AppendSignal.wait``. A server that can't be reached is tried until the time
        is over; the log itself tells what is wrong with it.
        """
        deadline = asyncio.get_running_loop().time() + seconds
        pause = SHORTEST
        try:
            async with asyncio.timeout(seconds + GRACE):
                while not self._closed:
                    try:
                        await self._ear().hear(after, deadline)
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

    def _ear(self) -> _Ear:
        loop = asyncio.get_running_loop()
        for other in [other for other in self._ears if other.is_closed()]:
            self._ears.pop(other).stop()
        return self._ears.setdefault(loop, _Ear(self._connect, self._schema))

    def close(self) -> None:
        """Let go of the connections. Closing twice does nothing."""
        self._closed = True
        for ear in list(self._ears.values()):
            ear.stop()


class _Ear:
    """The connection of a loop. One of those who wait reads it, the others wait for that one; when
    it leaves, another takes its place.
    """

    def __init__(self, connect: Connect, schema: str) -> None:
        self._connect = connect
        self._schema = schema
        self._connection: AsyncConnection | None = None
        self._reading = False
        self._others: set[asyncio.Future[None]] = set()
        self._last = 0

    async def hear(self, after: Position, deadline: float) -> None:
        """Return when there is something behind ``after``, or when the time is over."""
        loop = asyncio.get_running_loop()
        heard = False
        while not heard and (left := deadline - loop.time()) > 0:
            if not self._reading:
                heard = await self._read(after, left)
                continue
            heard = self._last > after
            if not heard:
                self._others.add(woken := loop.create_future())
                await asyncio.wait([woken], timeout=left)
                self._others.discard(woken)
                heard = self._last > after

    async def _read(self, after: Position, left: float) -> bool:
        """Look once, and wait for a notification if there is nothing; whether there is something.

        The others are told of each look, and of its end, whatever that is.
        """
        self._reading = True
        try:
            if self._connection is None:
                self._connection = await self._listening()
            self._last = await self._looked(self._connection)
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
            # Waits for a numbering that has found nobody listening; the look comes after it.
            await connection.execute(
                "SELECT pg_advisory_lock_shared(%s::bigint)", (listening_key(self._schema),)
            )
        except BaseException:
            connection.pgconn.finish()
            raise
        return connection

    async def _looked(self, connection: AsyncConnection) -> int:
        """The last position, or the one behind it if something waits to be given one."""
        schema = self._schema
        query = (
            f"SELECT coalesce((SELECT max(last_position) FROM {schema}.place), 0) "
            f"+ {schema}.waiting()::int"
        )
        row = await (await connection.execute(query.encode())).fetchone()
        return int(row[0]) if row else 0

    def stop(self) -> None:
        """Let go of the connection, unless somebody reads it, who does so afterwards."""
        if self._connection is not None and not self._reading:
            self._connection.pgconn.finish()
            self._connection = None
