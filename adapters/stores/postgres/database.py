"""Opening a PostgreSQL database: its sessions, and its schema brought up to date."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import psycopg
import psycopg_pool
from psycopg.rows import tuple_row

from remembrancer.adapters.forks import Ownership
from remembrancer.adapters.stores.postgres.async_sessions import AsyncSessions
from remembrancer.adapters.stores.postgres.connection_string import parsed_dsn
from remembrancer.adapters.stores.postgres.failures import ADAPTER
from remembrancer.adapters.stores.postgres.migrations import Migration, migrate
from remembrancer.adapters.stores.postgres.read_timeout import (
    AsyncConnection,
    SyncConnection,
)
from remembrancer.adapters.stores.postgres.sessions import Sessions
from remembrancer.adapters.stores.postgres.settings import PostgresSettings
from remembrancer.adapters.stores.postgres.sync_sessions import SyncSessions
from remembrancer.adapters.stores.postgres.transaction_scripts import TransactionScripts
from remembrancer.application.inline import run_inline
from remembrancer.domain.errors import InvalidRequest

FOR_EVER = 365 * 86400.0
"""Seconds; psycopg's pools know no wait without end."""


class Database:
    """An open database.

    Args:
        settings: see ``PostgresSettings``.
        migrations: steps that bring an empty schema to the current one; see ``migrate``.
        blocking: whether ``sessions`` are for callers that must not suspend.
        pool: a host's own pool, to be used in place of one made from the settings: a
            ``ConnectionPool`` for blocking callers, an ``AsyncConnectionPool`` for others. Its
            connections come back as they were lent, and it is left open.

    Attributes:
        sessions: for all adapters.
        opening: blocking ones, for what has to be done while the memory is being opened.

    Raises:
        InvalidRequest: a setting is wrong, the server refuses it, or the schema is newer.
        AdapterUnavailable: the server did not answer.
    """

    def __init__(
        self,
        settings: PostgresSettings,
        migrations: Sequence[Migration],
        *,
        blocking: bool = True,
        pool: Any = None,
    ) -> None:
        settings.check()
        self.settings = settings
        self._frame = TransactionScripts.of(
            settings.schema, settings.statement_timeout, settings.connect_timeout
        )
        self._process = Ownership("a PostgreSQL database")
        self._lent = pool
        self._pool: psycopg_pool.ConnectionPool[Any] | None = None
        self._conninfo, self._arguments = self._target(blocking)
        self.opening = SyncSessions(self._connected, self._frame)
        run_inline(migrate(self.opening, settings, migrations))
        self.sessions: Sessions = self._blocking() if blocking else self._suspending()

    def _target(self, blocking: bool) -> tuple[str, Mapping[str, Any]]:
        settings = self.settings
        if self._lent is None:
            arguments = {"autocommit": True, "connect_timeout": math.ceil(settings.connect_timeout)}
            parsed_dsn(settings.dsn, "audit_log.dsn")
            return settings.dsn, arguments
        wanted = psycopg_pool.ConnectionPool if blocking else psycopg_pool.AsyncConnectionPool
        if not isinstance(self._lent, wanted):
            face = "Memory" if blocking else "AsyncMemory"
            raise InvalidRequest(
                "overrides.postgres_pool", f"{face} needs a psycopg_pool.{wanted.__name__}"
            )
        if not isinstance(self._lent.conninfo, str) or callable(self._lent.kwargs):
            raise InvalidRequest(
                "overrides.postgres_pool", "expected a pool with a fixed conninfo and kwargs"
            )
        parsed_dsn(self._lent.conninfo, "overrides.postgres_pool")
        return self._lent.conninfo, self._lent.kwargs or {}

    @contextmanager
    def _connected(self) -> Iterator[psycopg.Connection[Any]]:
        """A connection of its own, for a pool may belong to a loop that is not running yet."""
        arguments = {**self._arguments, "autocommit": True}
        connection = SyncConnection.connect(self._conninfo, **arguments)
        try:
            yield connection
        finally:
            connection.close()

    async def connect_apart(self) -> AsyncConnection:
        """A connection outside of the pool, for one who listens; the caller closes it."""
        self._process.require()
        plain: dict[str, Any] = {
            "autocommit": True,
            "row_factory": tuple_row,
            "cursor_factory": psycopg.AsyncCursor,
        }
        return await AsyncConnection.connect(self._conninfo, **{**self._arguments, **plain})

    def _blocking(self) -> SyncSessions:
        pool = self._lent
        if pool is None:
            pool = self._pool = psycopg_pool.ConnectionPool(
                self._conninfo,
                connection_class=SyncConnection,
                open=True,
                **self._size(),
            )
            self._process.keep(pool)
        return SyncSessions(pool.connection, self._frame)

    def _suspending(self) -> AsyncSessions:
        async def open_pool() -> psycopg_pool.AsyncConnectionPool[Any]:
            pool = psycopg_pool.AsyncConnectionPool(
                self._conninfo,
                connection_class=AsyncConnection,
                open=False,
                **self._size(),
            )
            await pool.open()
            self._process.keep(pool)
            return pool

        return AsyncSessions(open_pool, self._frame, self._lent)

    def _size(self) -> dict[str, Any]:
        settings = self.settings
        return {
            "kwargs": dict(self._arguments),
            "min_size": settings.min_connections,
            "max_size": settings.max_connections,
            "timeout": settings.connect_timeout or FOR_EVER,
            # Given up after so long, and begun again by whoever next asks for a connection. Left
            # to go on, its pauses grow with the outage, and outlast it by as much.
            "reconnect_timeout": settings.connect_timeout or FOR_EVER,
            "name": f"remembrancer-{ADAPTER}",
        }

    @property
    def inherited(self) -> bool:
        """Whether this process was forked from the one that opened it."""
        return self._process.inherited

    def close(self) -> None:
        """Close what was opened here. Closing twice does nothing; nor does closing in a forked
        process.
        """
        if self._process.inherited:
            return
        if isinstance(self.sessions, AsyncSessions):
            self.sessions.close()
        if self._pool is not None:
            self._pool.close()
