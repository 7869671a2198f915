"""State of external projections (checkpoints, leases, dead letters) in the log's SQLite file.

One row per partition. Every change is one conditional statement or one transaction, so that only
one of two competing processes succeeds.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING

from remembrancer.adapters.stores.shared.dead_letter_rows import LETTER, letter_of, row_of
from remembrancer.adapters.stores.sqlite.database import Database
from remembrancer.domain.ports.projection_state import (
    DeadLetter,
    Feed,
    Lease,
    PartitionId,
    PartitionState,
)
from remembrancer.domain.recorded import Position
from remembrancer.domain.scope import LedgerId

if TYPE_CHECKING:
    import sqlite_utils

_ACQUIRE = """
UPDATE feed SET token = token + 1, owner = :owner, expires = :expires
WHERE projection = :projection AND partition = :partition AND fingerprint = :fingerprint
  AND expires <= :now
  AND (SELECT count(*) FROM feed WHERE projection = :projection) = :partitions
  AND (NOT must_clear OR (partition = 0 AND NOT EXISTS (
         SELECT 1 FROM feed WHERE projection = :projection AND expires > :now)))
RETURNING token, position, must_clear
"""
_HELD = "projection = ? AND partition = ? AND token = ? AND owner IS NOT NULL"
_PARTITION_STATES = """
SELECT projection, partition, fingerprint, position, CASE WHEN expires > ? THEN owner END,
       (SELECT count(*) FROM dead_letter
        WHERE dead_letter.projection = feed.projection AND dead_letter.partition = feed.partition),
       must_clear, problem
FROM feed WHERE projection = ? ORDER BY partition
"""


def create_projection_state(schema: sqlite_utils.Database) -> None:
    """Create the tables of the projection state (schema version 3)."""
    schema.table("feed").create(
        {
            "projection": str,
            "partition": int,
            "fingerprint": str,
            "position": int,
            "token": int,
            "owner": str,
            "expires": float,
            "must_clear": int,
            "problem": str,
        },
        pk=("projection", "partition"),
        not_null={"fingerprint", "position", "token", "expires", "must_clear"},
    )
    schema.table("dead_letter").create(
        {
            "projection": str,
            "position": int,
            "partition": int,
            "version": int,
            "event_id": str,
            "ledger": str,
            "type_name": str,
            "cause": str,
            "tries": int,
            "since": int,
        },
        pk=("projection", "position"),
        not_null={
            "partition",
            "version",
            "event_id",
            "ledger",
            "type_name",
            "cause",
            "tries",
            "since",
        },
    )
    schema.table("dead_letter").create_index(["projection", "ledger", "position"])
    schema.table("worker").create(
        {"owner": str, "expires": float}, pk="owner", not_null={"expires"}
    )


class SqliteProjectionState:
    """``ProjectionState`` on a ``Database`` whose migrations include ``create_projection_state``.

    Args:
        database: the open database.
        now: returns seconds since 1970. All processes on one file share the machine's clock.
    """

    def __init__(self, database: Database, now: Callable[[], float] = time.time) -> None:
        self._database = database
        self._now = now

    def enrol(self, feed: Feed) -> None:
        """See ``ProjectionState.enrol``."""
        if len(self.partition_states(feed.projection)) == feed.partitions:
            return

        def enrol(connection: sqlite3.Connection) -> None:
            rows = connection.execute(
                "SELECT count(*), min(position), max(token), max(must_clear), min(fingerprint) "
                "FROM feed WHERE projection = ?",
                (feed.projection,),
            )
            count, position, token, must_clear, fingerprint = rows.fetchone()
            if count == feed.partitions:
                return
            _replace_partitions(
                connection,
                feed,
                (
                    fingerprint or feed.fingerprint,
                    position or 0,
                    (token or 0) + 1,
                    0.0,
                    must_clear or 0,
                ),
            )
            letters = connection.execute(
                "SELECT position, ledger FROM dead_letter WHERE projection = ?", (feed.projection,)
            ).fetchall()
            connection.executemany(
                "UPDATE dead_letter SET partition = ? WHERE projection = ? AND position = ?",
                [
                    (feed.partition_of(LedgerId(ledger)), feed.projection, at)
                    for at, ledger in letters
                ],
            )

        self._database.write(enrol)

    def partition_states(self, projection: str) -> Sequence[PartitionState]:
        """See ``ProjectionState.partition_states``."""
        with self._database.reader() as connection:
            rows = connection.execute(_PARTITION_STATES, (self._now(), projection)).fetchall()
        return [
            PartitionState(
                projection=name,
                partition=partition,
                fingerprint=fingerprint,
                position=Position(position),
                owner=owner,
                dead=dead,
                must_clear=bool(must_clear),
                problem=problem,
            )
            for name, partition, fingerprint, position, owner, dead, must_clear, problem in rows
        ]

    def reach(self, feed: Feed, ledger: LedgerId) -> Position:
        """See ``ProjectionState.reach``."""
        with self._database.reader() as connection:
            rows = connection.execute(
                "SELECT partition, position, fingerprint, must_clear, "
                "(SELECT min(position) FROM dead_letter "
                " WHERE dead_letter.projection = feed.projection AND ledger = ?) "
                "FROM feed WHERE projection = ?",
                (ledger, feed.projection),
            ).fetchall()
        # With another number of partitions, any of them may have the ledger's events.
        other = len(rows) != feed.partitions
        positions = [
            0
            if fingerprint != feed.fingerprint or must_clear
            else min(position, position if dead is None else dead - 1)
            for partition, position, fingerprint, must_clear, dead in rows
            if other or partition == feed.partition_of(ledger)
        ]
        return Position(min(positions, default=0))

    def acquire(self, feed: Feed, partition: int, *, owner: str, seconds: float) -> Lease | None:
        """See ``ProjectionState.acquire``."""
        now = self._now()
        row = self._database.write(
            lambda connection: connection.execute(
                _ACQUIRE,
                {
                    "projection": feed.projection,
                    "partition": partition,
                    "partitions": feed.partitions,
                    "fingerprint": feed.fingerprint,
                    "owner": owner,
                    "expires": now + seconds,
                    "now": now,
                },
            ).fetchone()
        )
        if row is None:
            return None
        token, position, must_clear = row
        return Lease(
            projection=feed.projection,
            partition=partition,
            token=token,
            position=Position(position),
            must_clear=bool(must_clear),
        )

    def renew(self, owner: str, held: Collection[PartitionId], seconds: float) -> int:
        """See ``ProjectionState.renew``."""
        now = self._now()

        def renew(connection: sqlite3.Connection) -> int:
            connection.execute("DELETE FROM worker WHERE expires <= ? OR owner = ?", (now, owner))
            if seconds > 0:
                connection.execute("INSERT INTO worker VALUES (?, ?)", (owner, now + seconds))
                connection.executemany(
                    "UPDATE feed SET expires = ? "
                    "WHERE owner = ? AND projection = ? AND partition = ?",
                    [(now + seconds, owner, *partition) for partition in held],
                )
            else:
                connection.execute(
                    "UPDATE feed SET expires = 0, owner = NULL WHERE owner = ?", (owner,)
                )
            alive: int = connection.execute("SELECT count(*) FROM worker").fetchone()[0]
            return alive

        return self._database.write(renew)

    def advance(
        self,
        lease: Lease,
        position: Position,
        *,
        dead: Sequence[DeadLetter] = (),
        revived: Sequence[Position] = (),
    ) -> bool:
        """See ``ProjectionState.advance``."""

        def advance(connection: sqlite3.Connection) -> bool:
            moved = connection.execute(
                "UPDATE feed SET position = ?, problem = NULL "
                f"WHERE {_HELD} AND position <= ? AND NOT must_clear",
                (position, *_held(lease), position),
            )
            if moved.rowcount != 1:
                return False
            connection.executemany(
                "DELETE FROM dead_letter WHERE projection = ? AND position = ?",
                [(lease.projection, at) for at in revived],
            )
            connection.executemany(
                f"INSERT OR REPLACE INTO dead_letter ({LETTER}) "
                "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                map(row_of, dead),
            )
            return True

        return self._database.write(advance)

    def cleared(self, lease: Lease) -> bool:
        """See ``ProjectionState.cleared``."""

        def cleared(connection: sqlite3.Connection) -> bool:
            held = connection.execute(f"SELECT 1 FROM feed WHERE {_HELD}", _held(lease)).fetchone()
            if held is None:
                return False
            connection.execute(
                "UPDATE feed SET must_clear = 0 WHERE projection = ?", (lease.projection,)
            )
            return True

        return self._database.write(cleared)

    def release(self, lease: Lease, problem: str | None = None) -> None:
        """See ``ProjectionState.release``."""
        self._database.write(
            lambda connection: connection.execute(
                "UPDATE feed SET expires = 0, owner = NULL, problem = coalesce(?, problem) "
                f"WHERE {_HELD}",
                (problem, *_held(lease)),
            )
        )

    def restart(self, feed: Feed) -> None:
        """See ``ProjectionState.restart``."""

        def restart(connection: sqlite3.Connection) -> None:
            token, expires = connection.execute(
                "SELECT max(token), max(expires) FROM feed WHERE projection = ?",
                (feed.projection,),
            ).fetchone()
            # A worker with an old lease may still write: its lease must expire first.
            _replace_partitions(
                connection, feed, (feed.fingerprint, 0, (token or 0) + 1, expires or 0.0, 1)
            )
            connection.execute("DELETE FROM dead_letter WHERE projection = ?", (feed.projection,))

        self._database.write(restart)

    def dead_letters(
        self,
        projection: str,
        *,
        partition: int | None = None,
        after: Position | None = None,
        limit: int = 1000,
    ) -> Sequence[DeadLetter]:
        """See ``ProjectionState.dead_letters``."""
        with self._database.reader() as connection:
            rows = connection.execute(
                f"SELECT {LETTER} FROM dead_letter WHERE projection = ? AND position > ? "
                "AND partition = coalesce(?, partition) ORDER BY position LIMIT ?",
                (projection, after or 0, partition, limit),
            ).fetchall()
        return [letter_of(row) for row in rows]


def _replace_partitions(
    connection: sqlite3.Connection, feed: Feed, values: tuple[str, int, int, float, int]
) -> None:
    """Replace the rows of a projection: one per partition, all with the same values."""
    connection.execute("DELETE FROM feed WHERE projection = ?", (feed.projection,))
    connection.executemany(
        "INSERT INTO feed "
        "(projection, partition, fingerprint, position, token, expires, must_clear) "
        "VALUES (?, ?, ?, ?, ?, ?, ?)",
        [(feed.projection, partition, *values) for partition in range(feed.partitions)],
    )


def _held(lease: Lease) -> tuple[str, int, int]:
    return lease.projection, lease.partition, lease.token
