"""``ProjectionState`` on PostgreSQL: checkpoints, leases and dead letters of external projections.

One row per partition, guarded by a fencing token. A change that depends on all rows of a projection
takes the projection's advisory lock, so that concurrent processes wait for each other. Times are
the server's.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import TypeVar

from attrs import evolve

from remembrancer.adapters.stores.postgres.advisory_locks import advisory_key
from remembrancer.adapters.stores.postgres.failures import Collision
from remembrancer.adapters.stores.postgres.nul import restored, storable
from remembrancer.adapters.stores.postgres.sessions import Connection, Row, Sessions
from remembrancer.adapters.stores.shared.dead_letter_rows import LETTER, letter_of, row_of
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

_NOW = "extract(epoch FROM clock_timestamp())"
_ACQUIRE = f"""
UPDATE feed SET token = token + 1, owner = %s, expires = {_NOW} + %s
WHERE projection = %s AND partition = %s AND fingerprint = %s AND expires <= {_NOW}
  AND (SELECT count(*) FROM feed AS each WHERE each.projection = feed.projection) = %s
  AND (NOT must_clear OR (partition = 0 AND NOT EXISTS (
         SELECT FROM feed AS each
         WHERE each.projection = feed.projection AND each.expires > {_NOW})))
RETURNING token, position, must_clear
"""
_HELD = "projection = %s AND partition = %s AND token = %s AND owner IS NOT NULL"
_PARTITION_STATES = f"""
SELECT projection, partition, fingerprint, position, CASE WHEN expires > {_NOW} THEN owner END,
       (SELECT count(*) FROM dead_letter AS dead
        WHERE dead.projection = feed.projection AND dead.partition = feed.partition),
       must_clear, problem
FROM feed WHERE projection = %s ORDER BY partition
"""


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
        self.never_suspends = sessions.never_suspends

    async def _change(self, change: Callable[[Connection], Awaitable[T]]) -> T:
        for left in range(TRIES - 1, -1, -1):
            try:
                async with self._sessions.transaction() as connection:
                    return await change(connection)
            except Collision:
                if not left:
                    raise
        raise AssertionError("the last try returns or raises")

    async def _lock(self, connection: Connection, projection: str) -> None:
        key = advisory_key(self._sessions.schema, f"projection {projection}")
        await connection.execute("SELECT pg_advisory_xact_lock(%s)", (key,))

    async def enrol(self, feed: Feed) -> None:
        """See ``ProjectionState.enrol``."""
        if len(await self.partition_states(feed.projection)) == feed.partitions:
            return

        async def enrol(connection: Connection) -> None:
            await self._lock(connection, feed.projection)
            cursor = await connection.execute(
                "SELECT count(*), min(position), max(token), bool_or(must_clear), min(fingerprint) "
                "FROM feed WHERE projection = %s",
                (feed.projection,),
            )
            row = await cursor.fetchone() or (0, None, None, None, None)
            count, position, token, must_clear, fingerprint = row
            if count == feed.partitions:
                return
            await _replace_rows(
                connection,
                feed,
                (
                    fingerprint or feed.fingerprint,
                    position or 0,
                    (token or 0) + 1,
                    0.0,
                    bool(must_clear),
                ),
            )
            cursor = await connection.execute(
                "SELECT position, ledger FROM dead_letter WHERE projection = %s",
                (feed.projection,),
            )
            moved = [
                (feed.partition_of(LedgerId(ledger)), feed.projection, at)
                for at, ledger in await cursor.fetchall()
            ]
            await connection.executemany(
                "UPDATE dead_letter SET partition = %s WHERE projection = %s AND position = %s",
                moved,
            )

        await self._change(enrol)

    async def partition_states(self, projection: str) -> Sequence[PartitionState]:
        """See ``ProjectionState.partition_states``."""
        async with self._sessions.glance() as connection:
            cursor = await connection.execute(_PARTITION_STATES, (projection,))
            rows = await cursor.fetchall()
        return [
            PartitionState(
                projection=name,
                partition=partition,
                fingerprint=fingerprint,
                position=Position(position),
                owner=owner,
                dead=dead,
                must_clear=must_clear,
                problem=None if problem is None else restored(problem),
            )
            for name, partition, fingerprint, position, owner, dead, must_clear, problem in rows
        ]

    async def reach(self, feed: Feed, ledger: LedgerId) -> Position:
        """See ``ProjectionState.reach``."""
        async with self._sessions.glance() as connection:
            cursor = await connection.execute(
                "SELECT partition, position, fingerprint, must_clear, "
                "(SELECT min(dead.position) FROM dead_letter AS dead "
                " WHERE dead.projection = feed.projection AND dead.ledger = %s) "
                "FROM feed WHERE projection = %s",
                (ledger, feed.projection),
            )
            rows = await cursor.fetchall()
        # With another number of partitions, a ledger's events may be in any of them.
        other = len(rows) != feed.partitions
        positions = [
            0
            if fingerprint != feed.fingerprint or must_clear
            else min(position, position if dead is None else dead - 1)
            for partition, position, fingerprint, must_clear, dead in rows
            if other or partition == feed.partition_of(ledger)
        ]
        return Position(min(positions, default=0))

    async def acquire(
        self, feed: Feed, partition: int, *, owner: str, seconds: float
    ) -> Lease | None:
        """See ``ProjectionState.acquire``."""

        async def acquire(connection: Connection) -> Row | None:
            await self._lock(connection, feed.projection)
            cursor = await connection.execute(
                _ACQUIRE,
                (
                    *(owner, seconds),
                    *(feed.projection, partition, feed.fingerprint, feed.partitions),
                ),
            )
            return await cursor.fetchone()

        row = await self._change(acquire)
        if row is None:
            return None
        token, position, must_clear = row
        return Lease(
            projection=feed.projection,
            partition=partition,
            token=token,
            position=Position(position),
            must_clear=must_clear,
        )

    async def renew(self, owner: str, held: Collection[PartitionId], seconds: float) -> int:
        """See ``ProjectionState.renew``."""

        async def renew(connection: Connection) -> int:
            await connection.execute(
                f"DELETE FROM worker WHERE expires <= {_NOW} OR owner = %s", (owner,)
            )
            if seconds > 0:
                await connection.execute(
                    f"INSERT INTO worker VALUES (%s, {_NOW} + %s)", (owner, seconds)
                )
                await connection.executemany(
                    f"UPDATE feed SET expires = {_NOW} + %s "
                    "WHERE owner = %s AND projection = %s AND partition = %s",
                    [(seconds, owner, *track) for track in sorted(held)],
                )
            else:
                await connection.execute(
                    "UPDATE feed SET expires = 0, owner = NULL WHERE owner = %s", (owner,)
                )
            cursor = await connection.execute("SELECT count(*) FROM worker")
            row = await cursor.fetchone()
            return int(row[0]) if row else 0

        return await self._change(renew)

    async def advance(
        self,
        lease: Lease,
        position: Position,
        *,
        dead: Sequence[DeadLetter] = (),
        revived: Sequence[Position] = (),
    ) -> bool:
        """See ``ProjectionState.advance``."""

        async def advance(connection: Connection) -> bool:
            cursor = await connection.execute(
                "UPDATE feed SET position = %s, problem = NULL "
                f"WHERE {_HELD} AND position <= %s AND NOT must_clear",
                (position, *_held(lease), position),
            )
            if cursor.rowcount != 1:
                return False
            replaced = [*revived, *(letter.position for letter in dead)]
            if replaced:
                await connection.execute(
                    "DELETE FROM dead_letter WHERE projection = %s AND position = ANY(%s)",
                    (lease.projection, replaced),
                )
            if dead:
                marks = ", ".join(["%s"] * len(LETTER.split(", ")))
                await connection.executemany(
                    f"INSERT INTO dead_letter ({LETTER}) VALUES ({marks})",
                    [row_of(evolve(each, cause=storable(each.cause))) for each in dead],
                )
            return True

        return await self._change(advance)

    async def cleared(self, lease: Lease) -> bool:
        """See ``ProjectionState.cleared``."""

        async def cleared(connection: Connection) -> bool:
            await self._lock(connection, lease.projection)
            cursor = await connection.execute(
                "UPDATE feed SET must_clear = false WHERE projection = %s "
                f"AND EXISTS (SELECT FROM feed WHERE {_HELD})",
                (lease.projection, *_held(lease)),
            )
            return cursor.rowcount > 0

        return await self._change(cleared)

    async def release(self, lease: Lease, problem: str | None = None) -> None:
        """See ``ProjectionState.release``."""

        async def release(connection: Connection) -> None:
            await connection.execute(
                "UPDATE feed SET expires = 0, owner = NULL, problem = coalesce(%s, problem) "
                f"WHERE {_HELD}",
                (None if problem is None else storable(problem), *_held(lease)),
            )

        await self._change(release)

    async def restart(self, feed: Feed) -> None:
        """See ``ProjectionState.restart``."""

        async def restart(connection: Connection) -> None:
            await self._lock(connection, feed.projection)
            cursor = await connection.execute(
                "SELECT max(token), max(expires) FROM feed WHERE projection = %s",
                (feed.projection,),
            )
            token, expires = await cursor.fetchone() or (None, None)
            # A worker may still write to the engine: keep the latest lease expiry.
            values = (feed.fingerprint, 0, (token or 0) + 1, expires or 0.0, True)
            await _replace_rows(connection, feed, values)
            await connection.execute(
                "DELETE FROM dead_letter WHERE projection = %s", (feed.projection,)
            )

        await self._change(restart)

    async def dead_letters(
        self,
        projection: str,
        *,
        partition: int | None = None,
        after: Position | None = None,
        limit: int = 1000,
    ) -> Sequence[DeadLetter]:
        """See ``ProjectionState.dead_letters``."""
        async with self._sessions.glance() as connection:
            cursor = await connection.execute(
                f"SELECT {LETTER} FROM dead_letter WHERE projection = %s AND position > %s "
                "AND partition = coalesce(%s, partition) ORDER BY position LIMIT %s",
                (projection, after or 0, partition, limit),
            )
            letters = map(letter_of, await cursor.fetchall())
            return [evolve(each, cause=restored(each.cause)) for each in letters]


async def _replace_rows(
    connection: Connection, feed: Feed, values: tuple[str, int, int, float, bool]
) -> None:
    """Replace the rows of a projection: one per partition, all with the same values."""
    await connection.execute("DELETE FROM feed WHERE projection = %s", (feed.projection,))
    await connection.executemany(
        "INSERT INTO feed "
        "(projection, partition, fingerprint, position, token, expires, must_clear) "
        "VALUES (%s, %s, %s, %s, %s, %s, %s)",
        [(feed.projection, partition, *values) for partition in range(feed.partitions)],
    )


def _held(lease: Lease) -> tuple[str, int, int]:
    return lease.projection, lease.partition, lease.token
