"""``ProjectionState`` on PostgreSQL: checkpoints, leases and dead letters of external projections.

A change that depends on all rows of a projection takes the projection's advisory lock, so that
concurrent processes wait for each other. Times are the server's.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import TypeVar

from remembrancer.adapters.stores.postgres.advisory_locks import advisory_key
from remembrancer.adapters.stores.postgres.failures import Collision
from remembrancer.adapters.stores.postgres.nul import NUL_ESCAPED
from remembrancer.adapters.stores.postgres.run_script import run_script
from remembrancer.adapters.stores.postgres.sessions import Sessions
from remembrancer.adapters.stores.shared.projection_scripts import Now, ProjectionScripts
from remembrancer.adapters.stores.shared.scripts import Script
from remembrancer.domain.ports.projection_state import (
    DeadLetter,
    Feed,
    Lease,
    PartitionId,
    PartitionState,
)
from remembrancer.domain.recorded import Position
from remembrancer.domain.scope import LedgerId

T = TypeVar("T")

TRIES = 5
"""Attempts of a change that collides with another transaction."""

_SERVER_TIME = Now("extract(epoch FROM clock_timestamp())")


def create_projection_state(schema: str, _partitions: int) -> list[str]:
    """DDL of the projection state's tables, as of their first version."""
    return [
        f"""
        CREATE TABLE {schema}.feed (
            projection text COLLATE "C", partition integer,
            fingerprint text NOT NULL,
            position bigint NOT NULL,
            token bigint NOT NULL,
            owner text,
            expires double precision NOT NULL,
            must_clear boolean NOT NULL,
            problem text,
            PRIMARY KEY (projection, partition)
        )
        """,
        f"""
        CREATE TABLE {schema}.dead_letter (
            projection text COLLATE "C", position bigint,
            partition integer NOT NULL,
            version bigint NOT NULL,
            event_id text NOT NULL,
            ledger text COLLATE "C" NOT NULL,
            type_name text NOT NULL,
            cause text NOT NULL,
            tries integer NOT NULL,
            since bigint NOT NULL,
            PRIMARY KEY (projection, position)
        )
        """,
        f"CREATE INDEX ON {schema}.dead_letter (projection, ledger, position)",
        f"""
        CREATE TABLE {schema}.worker (
            owner text COLLATE "C" PRIMARY KEY, expires double precision NOT NULL
        )
        """,
    ]


class PostgresProjectionState:
    """``ProjectionState`` on sessions whose schema has the tables of
    ``create_projection_state``.
    """

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions
        self._scripts = ProjectionScripts(lambda: _SERVER_TIME, NUL_ESCAPED)
        self.never_suspends = sessions.never_suspends

    async def _read(self, script: Script[T]) -> T:
        async with self._sessions.glance() as connection:
            return await run_script(connection, script)

    async def _change(self, script: Callable[[], Script[T]], *, locked: str | None = None) -> T:
        """Run a script in a transaction that holds the lock of the projection ``locked``."""
        for left in range(TRIES - 1, -1, -1):
            try:
                async with self._sessions.transaction() as connection:
                    if locked is not None:
                        key = advisory_key(self._sessions.schema, f"projection {locked}")
                        await connection.execute("SELECT pg_advisory_xact_lock(%s)", (key,))
                    return await run_script(connection, script())
            except Collision:
                if not left:
                    raise
        raise AssertionError("the last try returns or raises")

    async def enrol(self, feed: Feed) -> None:
        """See ``ProjectionState.enrol``."""
        if len(await self.partition_states(feed.projection)) != feed.partitions:
            await self._change(lambda: self._scripts.enrol(feed), locked=feed.projection)

    async def partition_states(self, projection: str) -> Sequence[PartitionState]:
        """See ``ProjectionState.partition_states``."""
        return await self._read(self._scripts.partition_states(projection))

    async def reach(self, feed: Feed, ledger: LedgerId) -> Position:
        """See ``ProjectionState.reach``."""
        return await self._read(self._scripts.reach(feed, ledger))

    async def acquire(
        self, feed: Feed, partition: int, *, owner: str, seconds: float
    ) -> Lease | None:
        """See ``ProjectionState.acquire``."""
        return await self._change(
            lambda: self._scripts.acquire(feed, partition, owner=owner, seconds=seconds),
            locked=feed.projection,
        )

    async def renew(self, owner: str, held: Collection[PartitionId], seconds: float) -> int:
        """See ``ProjectionState.renew``."""
        return await self._change(lambda: self._scripts.renew(owner, held, seconds))

    async def advance(
        self,
        lease: Lease,
        position: Position,
        *,
        dead: Sequence[DeadLetter] = (),
        revived: Sequence[Position] = (),
    ) -> bool:
        """See ``ProjectionState.advance``."""
        return await self._change(
            lambda: self._scripts.advance(lease, position, dead=dead, revived=revived)
        )

    async def cleared(self, lease: Lease) -> bool:
        """See ``ProjectionState.cleared``."""
        return await self._change(lambda: self._scripts.cleared(lease), locked=lease.projection)

    async def release(self, lease: Lease, problem: str | None = None) -> None:
        """See ``ProjectionState.release``."""
        await self._change(lambda: self._scripts.release(lease, problem))

    async def restart(self, feed: Feed) -> None:
        """See ``ProjectionState.restart``."""
        await self._change(lambda: self._scripts.restart(feed), locked=feed.projection)

    async def dead_letters(
        self,
        projection: str,
        *,
        partition: int | None = None,
        after: Position | None = None,
        limit: int = 1000,
    ) -> Sequence[DeadLetter]:
        """See ``ProjectionState.dead_letters``."""
        return await self._read(
            self._scripts.dead_letters(projection, partition=partition, after=after, limit=limit)
        )
