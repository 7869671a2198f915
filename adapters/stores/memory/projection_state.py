"""State of external projections (checkpoints, leases, dead letters) in memory."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Sequence

from attrs import define, evolve

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


@define
class _Row:
    fingerprint: str
    position: Position
    token: int
    expires: float
    must_clear: bool
    owner: str | None = None
    problem: str | None = None


class InMemoryProjectionState:
    """``ProjectionState`` in dictionaries.

    Args:
        now: returns seconds from any start; must be monotonic.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._lock = threading.RLock()
        self._rows: dict[str, list[_Row]] = {}
        self._dead: dict[str, dict[Position, DeadLetter]] = {}
        self._workers: dict[str, float] = {}

    def enrol(self, feed: Feed) -> None:
        """See ``ProjectionState.enrol``."""
        with self._lock:
            rows = self._rows.get(feed.projection, [])
            if len(rows) == feed.partitions:
                return
            self._rows[feed.projection] = [
                _Row(
                    fingerprint=rows[0].fingerprint if rows else feed.fingerprint,
                    position=min((row.position for row in rows), default=Position(0)),
                    token=max((row.token for row in rows), default=0) + 1,
                    expires=0.0,
                    must_clear=any(row.must_clear for row in rows),
                )
                for _ in range(feed.partitions)
            ]
            self._dead[feed.projection] = {
                at: evolve(letter, partition=feed.partition_of(letter.ledger))
                for at, letter in self._dead.get(feed.projection, {}).items()
            }

    def partition_states(self, projection: str) -> Sequence[PartitionState]:
        """See ``ProjectionState.partition_states``."""
        with self._lock:
            return [
                PartitionState(
                    projection=projection,
                    partition=partition,
                    fingerprint=row.fingerprint,
                    position=row.position,
                    owner=row.owner if _lasts(row.expires, self._now()) else None,
                    dead=len(self.dead_letters(projection, partition=partition)),
                    must_clear=row.must_clear,
                    problem=row.problem,
                )
                for partition, row in enumerate(self._rows.get(projection, []))
            ]

    def reach(self, feed: Feed, ledger: LedgerId) -> Position:
        """See ``ProjectionState.reach``."""
        with self._lock:
            rows = self._rows.get(feed.projection, [])
            if not rows or any(
                row.must_clear or row.fingerprint != feed.fingerprint for row in rows
            ):
                return Position(0)
            same = len(rows) == feed.partitions
            reached = (
                rows[feed.partition_of(ledger)].position
                if same
                else min(row.position for row in rows)
            )
            letters = self._dead[feed.projection].values()
            dead = [letter.position - 1 for letter in letters if letter.ledger == ledger]
            return Position(min(reached, *dead)) if dead else reached

    def acquire(self, feed: Feed, partition: int, *, owner: str, seconds: float) -> Lease | None:
        """See ``ProjectionState.acquire``."""
        with self._lock:
            now, rows = self._now(), self._rows.get(feed.projection, [])
            if len(rows) != feed.partitions or rows[partition].fingerprint != feed.fingerprint:
                return None
            row = rows[partition]
            if _lasts(row.expires, now):
                return None
            if row.must_clear and (partition or any(_lasts(each.expires, now) for each in rows)):
                return None
            row.token, row.owner, row.expires = row.token + 1, owner, now + seconds
            return Lease(
                projection=feed.projection,
                partition=partition,
                token=row.token,
                position=row.position,
                must_clear=row.must_clear,
            )

    def renew(self, owner: str, held: Collection[PartitionId], seconds: float) -> int:
        """See ``ProjectionState.renew``."""
        with self._lock:
            now = self._now()
            self._workers[owner] = now + seconds
            self._workers = {who: until for who, until in self._workers.items() if until > now}
            for partition_key, row in (
                ((projection, partition), row)
                for projection, rows in self._rows.items()
                for partition, row in enumerate(rows)
                if row.owner == owner
            ):
                if seconds <= 0:
                    row.owner, row.expires = None, 0.0
                elif partition_key in held:
                    row.expires = now + seconds
            return len(self._workers)

    def advance(
        self,
        lease: Lease,
        position: Position,
        *,
        dead: Sequence[DeadLetter] = (),
        revived: Sequence[Position] = (),
    ) -> bool:
        """See ``ProjectionState.advance``."""
        with self._lock:
            row = self._held(lease)
            if row is None or row.must_clear or position < row.position:
                return False
            row.position, row.problem = position, None
            letters = self._dead[lease.projection]
            for at in revived:
                letters.pop(at, None)
            letters.update((letter.position, letter) for letter in dead)
            return True

    def cleared(self, lease: Lease) -> bool:
        """See ``ProjectionState.cleared``."""
        with self._lock:
            if self._held(lease) is None:
                return False
            for row in self._rows[lease.projection]:
                row.must_clear = False
            return True

    def release(self, lease: Lease, problem: str | None = None) -> None:
        """See ``ProjectionState.release``."""
        with self._lock:
            row = self._held(lease)
            if row is not None:
                row.owner, row.expires, row.problem = None, 0.0, problem or row.problem

    def _held(self, lease: Lease) -> _Row | None:
        rows = self._rows.get(lease.projection, [])
        if lease.partition >= len(rows):
            return None
        row = rows[lease.partition]
        return row if row.token == lease.token and row.owner is not None else None

    def restart(self, feed: Feed) -> None:
        """See ``ProjectionState.restart``."""
        with self._lock:
            rows = self._rows.get(feed.projection, [])
            token = max((row.token for row in rows), default=0) + 1
            # A worker with an old lease may still write: its lease must expire first.
            expires = max((row.expires for row in rows), default=0.0)
            self._rows[feed.projection] = [
                _Row(
                    fingerprint=feed.fingerprint,
                    position=Position(0),
                    token=token,
                    expires=expires,
                    must_clear=True,
                )
                for _ in range(feed.partitions)
            ]
            self._dead[feed.projection] = {}

    def dead_letters(
        self,
        projection: str,
        *,
        partition: int | None = None,
        after: Position | None = None,
        limit: int = 1000,
    ) -> Sequence[DeadLetter]:
        """See ``ProjectionState.dead_letters``."""
        with self._lock:
            letters = sorted(self._dead.get(projection, {}).items())
        return [
            letter
            for at, letter in letters
            if at > (after or 0) and partition in (None, letter.partition)
        ][:limit]


def _lasts(expires: float, now: float) -> bool:
    """Whether a lease that ends at ``expires`` is valid."""
    return now < expires <= now + LONGEST_LEASE
