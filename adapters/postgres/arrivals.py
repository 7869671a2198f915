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

from memledger.adapters.postgres.numbering import channel_of, listening_key
from memledger.adapters.postgres.silence import SuspendingConnection
from memledger.domain.recorded import Position

BETWEEN = 1.0
"""Seconds between two looks while no notification comes."""

SHORTEST = 0.05
LONGEST = 0.5
"""Seconds before connecting again."""

GRACE = 1.0
"""Seconds that a server which does not answer may keep a waiter beyond what it asked for, and
after which its connection is given up for another one.
"""

Connect = Callable[[], Awaitable[SuspendingConnection]]


class PostgresArrivals:
    """``Arrivals`` by ``LISTEN``, on one connection for each of those who wait at a time.

    Args:
        connect: a new connection, in autocommit, that returns tuples.
        schema: the log's, quoted.
    """

    def __init__(self, connect: Connect, schema: str) -> None:
        self._connect = connect
        self._schema = schema
        self._idle: list[SuspendingConnection] = []
        self._closed = False

    async def wait(self, after: Position, seconds: float) -> None:
        """See ``Arrivals.wait``. A server that can't be reached is tried until the time is over;
        what is wrong with it the log itself tells.
        """
        deadline = asyncio.get_running_loop().time() + seconds
        pause = SHORTEST
        try:
            async with asyncio.timeout(seconds + GRACE):
                while not self._closed:
                    try:
                        await self._listen(after, deadline)
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

    async def _listen(self, after: Position, deadline: float) -> None:
        connection = self._idle.pop() if self._idle else await self._listening()
        try:
            while not await self._arrived(connection, after):
                left = deadline - asyncio.get_running_loop().time()
                if left <= 0:
                    break
                async for _ in connection.notifies(timeout=min(left, BETWEEN), stop_after=1):
                    pass
        except BaseException:
            connection.pgconn.finish()
            raise
        self._idle.append(connection)
        if self._closed:
            self.close()

    async def _listening(self) -> SuspendingConnection:
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

    async def _arrived(self, connection: SuspendingConnection, after: Position) -> bool:
        """Whether there is more, or something that has no position yet."""
        schema = self._schema
        query = (
            f"SELECT coalesce((SELECT max(last_position) FROM {schema}.place), 0) > %s::bigint "
            f"OR {schema}.waiting()"
        )
        row = await (await connection.execute(query.encode(), (after,))).fetchone()
        return bool(row and row[0])

    def close(self) -> None:
        """Let go of the connections. Closing twice does nothing."""
        self._closed = True
        while self._idle:
            connection = self._idle.pop()
            connection.pgconn.finish()
