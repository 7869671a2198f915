"""The port to the state of external projections: checkpoints, leases and dead letters.

The state is kept in the log's own database. The engines are in ``external_engine``;
``application.projections`` drives them.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from hashlib import blake2b
from typing import Any, Protocol, TypeAlias

from attrs import frozen

from remembrancer.domain.events import EventId
from remembrancer.domain.jsonable import to_jsonable
from remembrancer.domain.recorded import Position
from remembrancer.domain.scope import LedgerId

PartitionId: TypeAlias = tuple[str, int]
"""A partition: the name of its projection, and its number."""


@frozen(kw_only=True)
class Feed:
    """Configuration of a projection: its name, the ``fingerprint`` of the settings that its rows
    depend on, and the number of partitions that the ledgers are spread over.
    """

    projection: str
    fingerprint: str
    partitions: int = 1

    def partition_of(self, ledger: LedgerId) -> int:
        """The partition of a ledger, stable across processes and releases."""
        digest = blake2b(ledger.encode(), digest_size=8).digest()
        return int.from_bytes(digest, "big") % self.partitions


@frozen(kw_only=True)
class Lease:
    """The exclusive right to update one partition until another lease is granted.

    ``position`` is the checkpoint when the lease was granted. ``token`` grows with every lease
    granted, so that an old one is recognised (fencing token). ``must_clear``: the engine has to be
    cleared before the first delivery.
    """

    projection: str
    partition: int
    token: int
    position: Position
    must_clear: bool = False


@frozen(kw_only=True)
class DeadLetter:
    """An event that an engine refuses: its envelope, the cause, the number of tries and the time of
    the first refusal. ``version`` is the event's version in its ledger.
    """

    projection: str
    partition: int
    position: Position
    version: int
    event_id: EventId
    ledger: LedgerId
    type_name: str
    cause: str
    tries: int
    since: datetime

    def to_dict(self) -> dict[str, Any]:
        """All fields as JSON types."""
        result: dict[str, Any] = to_jsonable(self)
        return result


@frozen(kw_only=True)
class PartitionState:
    """The state of one partition.

    ``owner`` is the holder of its lease, if any; ``dead`` the number of dead letters; ``problem``
    the reason of the last early release of its lease, ``None`` again after the next delivery.
    """

    projection: str
    partition: int
    fingerprint: str
    position: Position
    owner: str | None
    dead: int
    must_clear: bool
    problem: str | None


LONGEST_LEASE = 86_400.0
"""Seconds that a lease may last. One that ends later is none: a clock that was wrong, or damage,
wrote it, and workers would wait for its end for years."""


class ProjectionState(Protocol):
    """Checkpoints, leases and dead letters of external projections.

    Contract:
        * The first ``enrol`` of a projection creates its entry at position 0. A changed number of
          partitions starts every new one at the lowest checkpoint of the old ones and ends all
          leases. A changed fingerprint changes nothing: that takes ``restart``.
        * At most one lease per partition is valid at any time. It ends by ``release``, by timeout,
          or by ``restart``; once another lease is granted, nothing can be recorded under the old
          one. A lease that would end later than ``LONGEST_LEASE`` from now is not valid.
        * Under a lease positions never decrease.
        * Each call is one transaction, durable when it returns.
        * Time is the store's own if it has a clock, so that clocks of hosts may differ.

    Raises:
        AdapterUnavailable: the store did not answer; the same call can be retried.
    """

    async def enrol(self, feed: Feed) -> None:
        """Create or update the entry of a projection; see above."""
        ...

    async def partition_states(self, projection: str) -> Sequence[PartitionState]:
        """The state of each partition of a projection, by number; empty before ``enrol``."""
        ...

    async def reach(self, feed: Feed, ledger: LedgerId) -> Position:
        """The position up to which a projection holds all events of a ledger: the checkpoint of its
        partition, or the position before the ledger's first dead letter. 0 if the stored
        fingerprint differs, or the engine is to be cleared.
        """
        ...

    async def acquire(
        self, feed: Feed, partition: int, *, owner: str, seconds: float
    ) -> Lease | None:
        """Acquire a lease that times out after ``seconds`` (>= 0) unless it is renewed.

        ``None`` if another lease is valid, even of the same owner, or if the entry does not match
        ``feed``. While the engine is to be cleared, only partition 0 can be acquired, and only
        after all leases of the projection have ended.
        """
        ...

    async def renew(self, owner: str, held: Collection[PartitionId], seconds: float) -> int:
        """Heartbeat of a worker: extend its leases of ``held`` by ``seconds``, except those that
        another worker has been granted since. A lease that it was granted but that is not in
        ``held`` (the answer was lost) times out. Returns the number of workers with a current
        heartbeat, this one included; ``seconds`` of 0 removes the worker at once and ends all of
        its leases.
        """
        ...

    async def advance(
        self,
        lease: Lease,
        position: Position,
        *,
        dead: Sequence[DeadLetter] = (),
        revived: Sequence[Position] = (),
    ) -> bool:
        """Move the checkpoint to ``position`` (not less than before): the engine holds all events
        up to there, except for dead letters. ``dead`` are added or replaced, the ones at
        ``revived`` removed.

        Returns:
            ``False``, and nothing is recorded, if the lease is no longer valid.
        """
        ...

    async def cleared(self, lease: Lease) -> bool:
        """Record that the engine was cleared; ``False`` if the lease is no longer valid."""
        ...

    async def release(self, lease: Lease, problem: str | None = None) -> None:
        """Release a lease if it is still valid; ``problem``: the reason of an early release."""
        ...

    async def restart(self, feed: Feed) -> None:
        """Start again from position 0 under the settings of ``feed``: all dead letters are removed,
        all leases end, and the engine is to be cleared first.
        """
        ...

    async def dead_letters(
        self,
        projection: str,
        *,
        partition: int | None = None,
        after: Position | None = None,
        limit: int = 1000,
    ) -> Sequence[DeadLetter]:
        """Dead letters by position, of one partition or of all."""
        ...
