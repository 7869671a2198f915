"""``Sessions`` over blocking connections, for ``Memory``: coroutines over them never suspend."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import AbstractContextManager, asynccontextmanager
from typing import Any, TypeAlias

import psycopg
from attrs import frozen

from remembrancer.adapters.stores.postgres.pooled_sessions import PooledSessions
from remembrancer.adapters.stores.postgres.read_timeout import waiting_for
from remembrancer.adapters.stores.postgres.sessions import Row
from remembrancer.adapters.stores.postgres.transaction_scripts import TransactionScripts

Lend: TypeAlias = Callable[[], AbstractContextManager[psycopg.Connection[Any]]]


@frozen
class _BlockingCursor:
    """A blocking cursor with the methods of ``psycopg.AsyncCursor``."""

    cursor: psycopg.Cursor[Any]

    @property
    def rowcount(self) -> int:
        return self.cursor.rowcount

    @property
    def description(self) -> Sequence[object] | None:
        return self.cursor.description

    async def executemany(self, query: bytes, params_seq: Iterable[Sequence[object]]) -> None:
        self.cursor.executemany(query, params_seq)

    async def fetchone(self) -> Row | None:
        row: Row | None = self.cursor.fetchone()
        return row

    async def fetchall(self) -> list[Row]:
        return self.cursor.fetchall()

    def nextset(self) -> bool | None:
        return self.cursor.nextset()


@frozen
class _BlockingConnection:
    """A blocking connection with the methods of ``psycopg.AsyncConnection``."""

    connection: psycopg.Connection[Any]

    @property
    def closed(self) -> bool:
        return self.connection.closed

    @property
    def autocommit(self) -> bool:
        return self.connection.autocommit

    async def set_autocommit(self, value: bool) -> None:
        self.connection.autocommit = value

    async def execute(
        self,
        query: bytes,
        params: Sequence[object] | None = None,
        *,
        prepare: bool | None = None,
    ) -> _BlockingCursor:
        return _BlockingCursor(self.connection.execute(query, params, prepare=prepare))

    def cursor(self) -> _BlockingCursor:
        return _BlockingCursor(self.connection.cursor())

    @asynccontextmanager
    async def pipeline(self) -> AsyncIterator[None]:
        with self.connection.pipeline():
            yield

    async def close(self) -> None:
        self.connection.close()


class SyncSessions(PooledSessions):
    """``Sessions`` over psycopg's plain connections.

    Args:
        lend: context manager that yields a connection outside of any transaction.
        frame: SQL that begins and ends each transaction.
    """

    never_suspends = True

    def __init__(self, lend: Lend, frame: TransactionScripts) -> None:
        super().__init__(frame)
        self._lend = lend

    @asynccontextmanager
    async def lend(self, answer_timeout: float | None) -> AsyncIterator[_BlockingConnection]:
        """See ``PooledSessions.lend``."""
        with self._lend() as connection, waiting_for(connection, answer_timeout):
            yield _BlockingConnection(connection)
