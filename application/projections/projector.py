"""Bringing one external engine what the log says, a partition at a time.

Delivered first, recorded afterwards: a process that dies in between has its last pages delivered
again by whoever takes the lease next, and deliveries may come twice. When to do it, and who, is
for ``following`` (after a write) and ``working`` (all the time).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from attrs import define, evolve, field, frozen

from remembrancer.application.projections.circuit_breaker import CircuitBreaker
from remembrancer.application.projections.delivery import Delivery
from remembrancer.domain.errors import AdapterUnavailable, InvalidRequest, ModelError
from remembrancer.domain.ports.audit_log import AuditLog
from remembrancer.domain.ports.clock import Clock
from remembrancer.domain.ports.projection_state import (
    DeadLetter,
    Feed,
    Lease,
    PartitionState,
    ProjectionState,
)
from remembrancer.domain.recorded import Position, Recorded
from remembrancer.domain.scope import LedgerId

TRIES = 3
"""Of an event that an engine refuses, before it is set aside."""

PAUSE = 0.05
"""Seconds before such an event is tried again; twice as long each time."""

LONGEST_CAUSE = 500
"""Characters of an error that are kept."""

KeepGoing = Callable[[], bool]


@frozen(kw_only=True)
class ProjectionSettings:
    """How external engines are driven.

    ``wait``: seconds that a write waits for them; 0 leaves them to workers. ``partitions``: how
    many workers can share one engine. ``lease``: seconds after which the work of a worker that
    died is taken over. ``batch``: events to a page.
    """

    wait: float = 2.0
    partitions: int = 1
    lease: float = 5.0
    batch: int = 500

    def __attrs_post_init__(self) -> None:
        """Refuse what can't be.

        Raises:
            ValueError: a number is out of its range.
        """
        if self.wait < 0:
            raise ValueError("wait: expected 0 seconds or more")
        if not 1 <= self.partitions <= 1024:
            raise ValueError("partitions: expected 1 to 1024")
        if not self.lease > 0:
            raise ValueError("lease: expected more than 0 seconds")
        if not 1 <= self.batch <= 100_000:
            raise ValueError("batch: expected 1 to 100000 events")


@define(kw_only=True)
class Counts:
    """What this process has done for one partition since it began."""

    batches: int = 0
    delivered: int = 0
    failures: int = 0


@define
class _RefusedEvents:
    """What an engine would not take out of one page, and the ledgers that stop there."""

    letters: list[DeadLetter] = field(factory=list)
    parked: set[LedgerId] = field(factory=set)


class Projector:
    """One engine and its entry in the book.

    Args:
        feed: what goes into the engine.
        delivery: how.
        log: what is read.
        state: the book.
        clock: time and waiting.
        settings: sizes and times.
        circuit_breaker: whether this process asks the engine at all.
    """

    def __init__(
        self,
        *,
        feed: Feed,
        delivery: Delivery,
        log: AuditLog,
        state: ProjectionState,
        clock: Clock,
        settings: ProjectionSettings,
        circuit_breaker: CircuitBreaker,
    ) -> None:
        self.feed = feed
        self.circuit_breaker = circuit_breaker
        self.counts = [Counts() for _ in range(feed.partitions)]
        self._delivery = delivery
        self._log = log
        self._state = state
        self._clock = clock
        self._settings = settings

    async def partition_states(self) -> Sequence[PartitionState]:
        """How the partitions stand; the entry is made where there is none."""
        found = await self._state.partition_states(self.feed.projection)
        if len(found) != self.feed.partitions:
            await self._state.enrol(self.feed)
            found = await self._state.partition_states(self.feed.projection)
        return found

    async def partition_state_of(self, ledger: LedgerId) -> PartitionState | None:
        """How the partition of a ledger stands, ``None`` if the engine was fed under other
        settings and takes nothing in before it is rebuilt.
        """
        partition_state = (await self.partition_states())[self.feed.partition_of(ledger)]
        return partition_state if partition_state.fingerprint == self.feed.fingerprint else None

    async def require_same(self) -> None:
        """Make sure that the engine was fed under the settings of now.

        Raises:
            InvalidRequest: it was not, and has to be rebuilt.
        """
        for partition_state in await self.partition_states():
            if partition_state.fingerprint != self.feed.fingerprint:
                raise InvalidRequest(
                    self.feed.projection,
                    f"was fed with {partition_state.fingerprint}, the settings say "
                    f"{self.feed.fingerprint}; run remembrancer rebuild {self.feed.projection}, or "
                    "change the settings back",
                )

    async def has_all_of(self, ledger: LedgerId, position: Position) -> bool:
        """Whether the engine holds a ledger's events up to ``position``."""
        return await self._state.reach(self.feed, ledger) >= position

    async def restart(self) -> None:
        """Have the engine emptied and fed from the beginning by whoever comes next."""
        await self._state.restart(self.feed)

    async def turn(self, partition: int, *, owner: str, keep_going: KeepGoing) -> Position | None:
        """Bring a partition up to the end of the log, unless somebody else is at it.

        Args:
            partition: which one.
            owner: who takes the lease.
            keep_going: asked before each page but the first.

        Returns:
            How far it has been brought, ``None`` if the lease could not be had.

        Raises:
            AdapterUnavailable: the engine, the embedder or the log did not answer; what was
                delivered before is recorded.
        """
        lease = await self._state.acquire(
            self.feed, partition, owner=owner, seconds=self._settings.lease
        )
        if lease is None:
            return None
        problem: str | None = None
        try:
            reached = await self._feed(lease, keep_going)
        except Exception as error:
            self.counts[partition].failures += 1
            self.circuit_breaker.record_failure(await self._clock.now())
            problem = _said(error)
            if isinstance(error, AdapterUnavailable):
                raise
            # Not in the terms of the port: nothing is known of the events, hence none is blamed.
            raise AdapterUnavailable(self.feed.projection, problem) from error
        else:
            self.circuit_breaker.record_success()
            return reached
        finally:
            await self._state.release(lease, problem)

    async def _feed(self, lease: Lease, keep_going: KeepGoing) -> Position:
        if lease.must_clear:
            await self._delivery.clear()
            if not await self._state.cleared(lease):
                return lease.position
        parked = await self._parked(lease.partition) if self._delivery.ordered else set()
        position = lease.position
        while True:
            page = await self._log.read(position, self._settings.batch)
            if not page:
                return position
            refused = _RefusedEvents(parked=parked)
            await self._deliver(
                [i for i in page if self.feed.partition_of(i.ledger) == lease.partition], refused
            )
            if not await self._state.advance(lease, page[-1].position, dead=refused.letters):
                return position
            position = page[-1].position
            counts = self.counts[lease.partition]
            counts.batches += 1
            counts.delivered += len(page)
            if len(page) < self._settings.batch or not keep_going():
                return position

    async def _parked(self, partition: int) -> set[LedgerId]:
        return {letter.ledger for letter in await self._dead_letters(partition)}

    async def _dead_letters(self, partition: int) -> list[DeadLetter]:
        found: list[DeadLetter] = []
        while page := await self._state.dead_letters(
            self.feed.projection,
            partition=partition,
            after=found[-1].position if found else None,
        ):
            found.extend(page)
        return found

    async def _deliver(self, chain: Sequence[Recorded], refused: _RefusedEvents) -> None:
        """Deliver a stretch; of one that is refused deliver the halves, down to the event that is
        to blame.
        """
        stretches = [chain]
        while stretches:
            stretch = [i for i in stretches.pop() if i.ledger not in refused.parked]
            if not stretch:
                continue
            try:
                await self._delivery(stretch)
            except (InvalidRequest, ModelError) as error:
                if len(stretch) > 1:
                    middle = len(stretch) // 2
                    stretches += [stretch[middle:], stretch[:middle]]
                    continue
                cause = await self._insist(stretch, error)
                if cause is not None:
                    refused.letters.append(await self._letter(stretch[0], cause, TRIES))
                    if self._delivery.ordered:
                        refused.parked.add(stretch[0].ledger)

    async def _insist(self, chain: Sequence[Recorded], error: Exception) -> str | None:
        """Try one event again; why it is refused, ``None`` if it no longer is."""
        for tries in range(1, TRIES):
            await self._clock.sleep(PAUSE * 2**tries)
            try:
                await self._delivery(chain)
            except (InvalidRequest, ModelError) as again:
                error = again
            else:
                return None
        return _said(error)

    async def _letter(self, item: Recorded, cause: str, tries: int) -> DeadLetter:
        return DeadLetter(
            projection=self.feed.projection,
            partition=self.feed.partition_of(item.ledger),
            position=item.position,
            version=item.version,
            event_id=item.event_id,
            ledger=item.ledger,
            type_name=item.type_name,
            cause=cause,
            tries=tries,
            since=await self._clock.now(),
        )

    async def retry_dead(self, partition: int, *, owner: str) -> int | None:
        """Try the dead letters of a partition again.

        Returns:
            How many are no longer dead, ``None`` if the lease could not be had.

        Raises:
            AdapterUnavailable: the engine did not answer; no letter is lost.
        """
        lease = await self._state.acquire(
            self.feed, partition, owner=owner, seconds=self._settings.lease
        )
        if lease is None:
            return None
        revived = 0
        try:
            for letter in await self._dead_letters(partition):
                again = await self._again(letter, lease.position)
                # What ended at another event than before is dead there now, and here no longer.
                here = again is None or again.position != letter.position
                if not await self._state.advance(
                    lease,
                    lease.position,
                    dead=[] if again is None else [again],
                    revived=[letter.position] if here else [],
                ):
                    return None
                revived += again is None
        finally:
            await self._state.release(lease)
        return revived

    async def _again(self, letter: DeadLetter, until: Position) -> DeadLetter | None:
        """Deliver the event of a letter and, where order matters, all of its ledger that waited
        behind it; what it fails at now, if it does.
        """
        version = letter.version - 1
        limit = self._settings.batch if self._delivery.ordered else 1
        while True:
            page = await self._log.read_ledger(letter.ledger, version, limit)
            chain = [item for item in page if item.position <= until]
            refused = _RefusedEvents()
            await self._deliver(chain, refused)
            if refused.letters:
                new = refused.letters[0]
                if new.position != letter.position:
                    return new
                return evolve(new, tries=letter.tries + TRIES, since=letter.since)
            if limit == 1 or len(chain) < limit:
                return None
            version = chain[-1].version


def _said(error: Exception) -> str:
    """An error in one line, by its kind where it is not one of ours."""
    text = (
        str(error) if isinstance(error, AdapterUnavailable) else f"{type(error).__name__}: {error}"
    )
    return " ".join(text.split())[:LONGEST_CAUSE]
