"""State of external projections in SQL: checkpoints, leases and dead letters.

One row of ``feed`` per partition, guarded by a fencing token. The caller runs each script in one
transaction, which for a change of all partitions excludes other writers of the projection.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from attrs import frozen

from remembrancer.adapters.stores.shared.escaping import Escaping
from remembrancer.adapters.stores.shared.scripts import Batch, Row, Script, Statement
from remembrancer.domain.epoch_micros import from_microseconds, to_microseconds
from remembrancer.domain.events import EventId
from remembrancer.domain.ports.projection_state import (
    LONGEST_LEASE,
    DeadLetter,
    Feed,
    Lease,
    PartitionId,
    PartitionState,
)
from remembrancer.domain.recorded import Position
from remembrancer.domain.scope import LedgerId

_HELD = "projection = %s AND partition = %s AND token = %s AND owner IS NOT NULL"
_LETTER = (
    "projection, partition, position, version, event_id, ledger, type_name, cause, tries, since"
)


@frozen
class Now:
    """The current time in seconds since 1970, as an SQL expression with its parameters."""

    sql: str
    parameters: tuple[float, ...] = ()

    def before(self, expires: str) -> str:
        """Whether a lease that ends at ``expires`` is valid; takes ``parameters`` twice."""
        return f"({expires} > {self.sql} AND {expires} <= {self.sql} + {LONGEST_LEASE})"


@frozen
class ProjectionScripts:
    """The scripts of one store; see ``ProjectionState``.

    Args:
        now: returns the current time. All processes must use the same clock.
        texts: for causes and problems.
    """

    now: Callable[[], Now]
    texts: Escaping

    def enrol(self, feed: Feed) -> Script[None]:
        """See ``ProjectionState.enrol``."""
        found = yield Statement(
            "SELECT count(*), min(position), max(token), count(*) FILTER (WHERE must_clear), "
            "min(fingerprint) FROM feed WHERE projection = %s",
            (feed.projection,),
        )
        ((count, position, token, must_clear, fingerprint),) = found.rows
        if count == feed.partitions:
            return
        values = (fingerprint or feed.fingerprint, position or 0, (token or 0) + 1, 0.0)
        yield from _replace_partitions(feed, (*values, bool(must_clear)))
        letters = yield Statement(
            "SELECT position, ledger FROM dead_letter WHERE projection = %s", (feed.projection,)
        )
        yield Batch(
            "UPDATE dead_letter SET partition = %s WHERE projection = %s AND position = %s",
            [
                (feed.partition_of(LedgerId(ledger)), feed.projection, at)
                for at, ledger in letters.rows
            ],
        )

    def partition_states(self, projection: str) -> Script[list[PartitionState]]:
        """See ``ProjectionState.partition_states``."""
        now = self.now()
        found = yield Statement(
            "SELECT projection, partition, fingerprint, position, "
            f"CASE WHEN {now.before('expires')} THEN owner END, "
            "(SELECT count(*) FROM dead_letter AS dead "
            "WHERE dead.projection = feed.projection AND dead.partition = feed.partition), "
            "must_clear, problem FROM feed WHERE projection = %s ORDER BY partition",
            (*now.parameters * 2, projection),
        )
        self._check(found.rows)
        return [
            PartitionState(
                projection=name,
                partition=partition,
                fingerprint=fingerprint,
                position=Position(position),
                owner=owner,
                dead=dead,
                must_clear=bool(must_clear),
                problem=None if problem is None else self.texts.restored(problem),
            )
            for name, partition, fingerprint, position, owner, dead, must_clear, problem in (
                found.rows
            )
        ]

    @staticmethod
    def _check(rows: Sequence[Row]) -> None:
        """Check the types, which SQLite does not, and that there is one row per partition: no
        lease could ever be acquired of others, and a worker would wait for ever.

        Raises:
            ValueError: they are damaged.
        """
        for place, (_, partition, fingerprint, position, *_) in enumerate(rows):
            ints = type(partition) is int and type(position) is int
            if not ints or partition != place or position < 0 or not isinstance(fingerprint, str):
                raise ValueError(f"partition {place} is {(partition, fingerprint, position)!r}")

    def reach(self, feed: Feed, ledger: LedgerId) -> Script[Position]:
        """See ``ProjectionState.reach``."""
        found = yield Statement(
            "SELECT partition, position, fingerprint, must_clear, "
            "(SELECT min(dead.position) FROM dead_letter AS dead "
            "WHERE dead.projection = feed.projection AND dead.ledger = %s) "
            "FROM feed WHERE projection = %s",
            (ledger, feed.projection),
        )
        # With another number of partitions, a ledger's events may be in any of them.
        other = len(found.rows) != feed.partitions
        positions = [
            0
            if fingerprint != feed.fingerprint or must_clear
            else min(position, position if dead is None else dead - 1)
            for partition, position, fingerprint, must_clear, dead in found.rows
            if other or partition == feed.partition_of(ledger)
        ]
        return Position(min(positions, default=0))

    def acquire(
        self, feed: Feed, partition: int, *, owner: str, seconds: float
    ) -> Script[Lease | None]:
        """See ``ProjectionState.acquire``."""
        now = self.now()
        found = yield Statement(
            f"""
            UPDATE feed SET token = token + 1, owner = %s, expires = {now.sql} + %s
            WHERE projection = %s AND partition = %s AND fingerprint = %s
              AND NOT {now.before("expires")}
              AND (SELECT count(*) FROM feed AS other WHERE other.projection = feed.projection) = %s
              AND (NOT must_clear OR (partition = 0 AND NOT EXISTS (
                     SELECT 1 FROM feed AS other
                     WHERE other.projection = feed.projection AND {now.before("other.expires")})))
            RETURNING token, position, must_clear
            """,
            (
                *(owner, *now.parameters, seconds),
                *(feed.projection, partition, feed.fingerprint, *now.parameters * 2),
                *(feed.partitions, *now.parameters * 2),
            ),
        )
        for token, position, must_clear in found.rows:
            return Lease(
                projection=feed.projection,
                partition=partition,
                token=token,
                position=Position(position),
                must_clear=bool(must_clear),
            )
        return None

    def renew(self, owner: str, held: Collection[PartitionId], seconds: float) -> Script[int]:
        """See ``ProjectionState.renew``."""
        now = self.now()
        yield Statement(
            f"DELETE FROM worker WHERE expires <= {now.sql} OR owner = %s",
            (*now.parameters, owner),
        )
        if seconds > 0:
            yield Statement(
                f"INSERT INTO worker VALUES (%s, {now.sql} + %s)",
                (owner, *now.parameters, seconds),
            )
            # In the same order everywhere, so that no two workers wait for each other's rows.
            yield Batch(
                f"UPDATE feed SET expires = {now.sql} + %s "
                "WHERE owner = %s AND projection = %s AND partition = %s",
                [(*now.parameters, seconds, owner, *partition) for partition in sorted(held)],
            )
        else:
            yield Statement("UPDATE feed SET expires = 0, owner = NULL WHERE owner = %s", (owner,))
        alive = yield Statement("SELECT count(*) FROM worker")
        return int(alive.rows[0][0])

    def advance(
        self,
        lease: Lease,
        position: Position,
        *,
        dead: Sequence[DeadLetter],
        revived: Sequence[Position],
    ) -> Script[bool]:
        """See ``ProjectionState.advance``."""
        moved = yield Statement(
            "UPDATE feed SET position = %s, problem = NULL "
            f"WHERE {_HELD} AND position <= %s AND NOT must_clear",
            (position, *_held(lease), position),
        )
        if moved.count != 1:
            return False
        replaced = [*revived, *(letter.position for letter in dead)]
        if replaced:
            yield Batch(
                "DELETE FROM dead_letter WHERE projection = %s AND position = %s",
                [(lease.projection, at) for at in replaced],
            )
        if dead:
            marks = ", ".join(["%s"] * len(_LETTER.split(", ")))
            yield Batch(
                f"INSERT INTO dead_letter ({_LETTER}) VALUES ({marks})", map(self._row_of, dead)
            )
        return True

    def cleared(self, lease: Lease) -> Script[bool]:
        """See ``ProjectionState.cleared``."""
        cleared = yield Statement(
            "UPDATE feed SET must_clear = false WHERE projection = %s "
            f"AND EXISTS (SELECT 1 FROM feed WHERE {_HELD})",
            (lease.projection, *_held(lease)),
        )
        return cleared.count > 0

    def release(self, lease: Lease, problem: str | None) -> Script[None]:
        """See ``ProjectionState.release``."""
        yield Statement(
            "UPDATE feed SET expires = 0, owner = NULL, problem = coalesce(%s, problem) "
            f"WHERE {_HELD}",
            (None if problem is None else self.texts.stored(problem), *_held(lease)),
        )

    def restart(self, feed: Feed) -> Script[None]:
        """See ``ProjectionState.restart``."""
        found = yield Statement(
            "SELECT max(token), max(expires) FROM feed WHERE projection = %s", (feed.projection,)
        )
        ((token, expires),) = found.rows
        # A worker with an old lease may still write: its lease must expire first.
        yield from _replace_partitions(
            feed, (feed.fingerprint, 0, (token or 0) + 1, expires or 0.0, True)
        )
        yield Statement("DELETE FROM dead_letter WHERE projection = %s", (feed.projection,))

    def dead_letters(
        self, projection: str, *, partition: int | None, after: Position | None, limit: int
    ) -> Script[list[DeadLetter]]:
        """See ``ProjectionState.dead_letters``."""
        found = yield Statement(
            f"SELECT {_LETTER} FROM dead_letter WHERE projection = %s AND position > %s "
            "AND partition = coalesce(%s, partition) ORDER BY position LIMIT %s",
            (projection, after or 0, partition, limit),
        )
        return list(map(self._letter_of, found.rows))

    def _row_of(self, letter: DeadLetter) -> Row:
        return (
            letter.projection,
            letter.partition,
            letter.position,
            letter.version,
            letter.event_id,
            letter.ledger,
            letter.type_name,
            self.texts.stored(letter.cause),
            letter.tries,
            to_microseconds(letter.since),
        )

    def _letter_of(self, row: Row) -> DeadLetter:
        projection, partition, position, version, event_id, ledger, name, cause, tries, since = row
        if type(position) is not int:
            # A reader of pages goes on after the position of the last one.
            raise ValueError(f"the position is {position!r}")
        return DeadLetter(
            projection=projection,
            partition=partition,
            position=Position(position),
            version=version,
            event_id=EventId(event_id),
            ledger=LedgerId(ledger),
            type_name=name,
            cause=self.texts.restored(cause),
            tries=tries,
            since=from_microseconds(since),
        )


def _replace_partitions(feed: Feed, values: tuple[str, int, int, float, bool]) -> Script[None]:
    """Replace the rows of a projection: one per partition, all with the same values."""
    yield Statement("DELETE FROM feed WHERE projection = %s", (feed.projection,))
    yield Batch(
        "INSERT INTO feed "
        "(projection, partition, fingerprint, position, token, expires, must_clear) "
        "VALUES (%s, %s, %s, %s, %s, %s, %s)",
        [(feed.projection, partition, *values) for partition in range(feed.partitions)],
    )


def _held(lease: Lease) -> tuple[str, int, int]:
    return lease.projection, lease.partition, lease.token
