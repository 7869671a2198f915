"""The port to the book that is kept on external projections, in the log's own database.

How far each engine has been brought, who is bringing it, and what it would not take. The engines
themselves are ``domain.ports.external``; who drives them is ``application.projecting``.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from hashlib import blake2b
from typing import Any, Protocol, TypeAlias

from attrs import frozen

from remembrancer.domain.jsonable import to_jsonable
from remembrancer.domain.recorded import EventId, Position
from remembrancer.domain.scope import LedgerId

Track: TypeAlias = tuple[str, int]
"""One partition: the name of its projection, and its number."""


@frozen(kw_only=True)
class Feed:
    """What an engine is fed with: the name of its projection, the settings that its rows depend
    on (``fingerprint``), and in how many partitions its ledgers are shared out.
    """

    projection: str
    fingerprint: str
    partitions: int = 1

    def partition_of(self, ledger: LedgerId) -> int:
        """Where a ledger belongs; the same in every process and every release."""
        digest = blake2b(ledger.encode(), digest_size=8).digest()
        return int.from_bytes(digest, "big") % self.partitions


@frozen(kw_only=True)
class Lease:
    """The right to feed one partition until somebody else is given it.

    ``position`` is how far the partition had come when the lease was given. ``token`` grows with
    every lease that is given, so that an old one can be told from a new one. ``must_clear`` says
    that the engine is to be emptied before anything is brought to it.
    """

    projection: str
    partition: int
    token: int
    position: Position
    must_clear: bool = False


@frozen(kw_only=True)
class DeadLetter:
    """An event that an engine won't take, for a reason of its own: which and why, how often it
    was tried and since when. ``version`` is its place in its ledger.
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
        """All fields in JSON's terms."""
        result: dict[str, Any] = to_jsonable(self)
        return result


@frozen(kw_only=True)
class PartitionState:
    """How one partition stands.

    ``owner`` is who holds its lease, if anybody does; ``problem`` is why it was last let go of
    before it was through, ``None`` since something has been taken in again.
    """

    projection: str
    partition: int
    fingerprint: str
    position: Position
    owner: str | None
    dead: int
    must_clear: bool
    problem: str | None


class ProjectionState(Protocol):
    """The book.

    Contract:
        * A projection has an entry once ``enrol`` was called for it: position 0, to be fed from
          the beginning. With another number of partitions every new one stands where the least of
          the old ones stood, and no lease of old holds any longer. With another fingerprint
          nothing changes: that takes ``restart``.
        * Of each partition at most one lease holds at any time. It ends by ``release``, by
          running out, or by ``restart``; from the moment that another one is given, nothing can be
          recorded under it any more.
        * Under a lease positions only ever grow.
        * Each call is one transaction, durable when it returns.
        * Time is the store's own where it has one, so that clocks of hosts may differ.

    Raises:
        AdapterUnavailable: the store did not answer; nothing was changed, or the same call may be
            made again.
    """

    async def enrol(self, feed: Feed) -> None:
        """Have an entry for a projection; see above."""
        ...

    async def partition_states(self, projection: str) -> Sequence[PartitionState]:
        """How the partitions of a projection stand, by number; empty before ``enrol``."""
        ...

    async def reach(self, feed: Feed, ledger: LedgerId) -> Position:
        """The position up to which a projection holds all of a ledger: that of its partition, or
        the one before the ledger's first dead letter. 0 if it was fed under another fingerprint,
        or is to be cleared.
        """
        ...

    async def acquire(
        self, feed: Feed, partition: int, *, owner: str, seconds: float
    ) -> Lease | None:
        """Take a lease that runs out in ``seconds`` (>= 0) unless it is renewed.

        ``None`` if another one holds, even of the same owner, or if the entry is not that of
        ``feed``. While the engine is to be cleared, only partition 0 is given, and not before all
        leases of the projection have ended.
        """
        ...

    async def renew(self, owner: str, held: Collection[Track], seconds: float) -> int:
        """Say that a worker lives: its leases of ``held`` that nobody else has been given run for
        another ``seconds``. One that it has been given without hearing of it runs out. Returns how
        many workers have said so and are still believed, this one among them; ``seconds`` of 0
        takes it from the list at once, and all of its leases with it.
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
        """Record that the engine holds everything up to ``position`` (not less than before), save
        for the dead letters, and that those ``revived`` are no longer dead. A letter that is
        there already is replaced.

        Returns:
            ``False``, and nothing is recorded, if the lease holds no longer.
        """
        ...

    async def cleared(self, lease: Lease) -> bool:
        """Record that the engine has been cleared; ``False`` if the lease holds no longer."""
        ...

    async def release(self, lease: Lease, problem: str | None = None) -> None:
        """Let go of a lease, if it still holds; ``problem`` says why it is too early."""
        ...

    async def restart(self, feed: Feed) -> None:
        """Begin from nothing under the settings of ``feed``: all positions 0, no dead letters, no
        lease holds, and the engine is to be cleared first.
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
