"""Deliver log events to one external engine, one partition at a time.

A page is delivered first and checkpointed afterwards, so delivery is at least once: after a crash
the next owner of the lease delivers the last page again. Callers are ``after_commit`` (after a
write) and ``worker`` (continuously).
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from typing import Any, TypeVar

from attrs import define, evolve, field, frozen

from remembrancer.application.projections.circuit_breaker import CircuitBreaker
from remembrancer.application.projections.delivery import Delivery
from remembrancer.application.projections.engine_claim import EngineClaim
from remembrancer.application.projections.second_delivery import SecondDelivery
from remembrancer.domain.errors import (
    AdapterUnavailable,
    InvalidRequest,
    ModelError,
    SettingsError,
)
from remembrancer.domain.ports.audit_log import AuditLog
from remembrancer.domain.ports.clock import Clock
from remembrancer.domain.ports.projection_state import (
    LONGEST_LEASE,
    DeadLetter,
    Feed,
    Lease,
    PartitionState,
    ProjectionState,
)
from remembrancer.domain.recorded import Position, Recorded
from remembrancer.domain.scope import LedgerId

TRIES = 3
"""Tries of a refused event before it becomes a dead letter."""

PAUSE = 0.05
"""Seconds before the retry of a refused event; doubled each time."""

CLEARING = 60.0
"""Seconds that nobody else clears an engine while a clearing may be under way. The adapters'
clients give up after 30.
"""

LONGEST_CAUSE = 500
"""Characters of an error that are stored."""

KeepGoing = Callable[[], bool]
T = TypeVar("T")


@frozen(kw_only=True)
class ProjectionSettings:
    """Settings of the delivery to external engines.

    ``wait``: timeout of a write in seconds (>= 0); 0 leaves the delivery to workers.
    ``partitions``: 1 to 1024; as many workers can share one engine. ``lease``: seconds (> 0,
    at most a day) after which another worker takes over from a dead one. ``batch``: events per
    page, 1 to 100,000.
    """

    wait: float = 2.0
    partitions: int = 1
    lease: float = 5.0
    batch: int = 500

    def __attrs_post_init__(self) -> None:
        """Check the ranges.

        Raises:
            ValueError: a number is out of its range.
        """
        if self.wait < 0:
            raise ValueError("wait: expected 0 seconds or more")
        if not 1 <= self.partitions <= 1024:
            raise ValueError("partitions: expected 1 to 1024")
        if not 0 < self.lease <= LONGEST_LEASE:
            raise ValueError(
                f"lease: expected more than 0 seconds, and at most {LONGEST_LEASE:.0f}"
            )
        if not 1 <= self.batch <= 100_000:
            raise ValueError("batch: expected 1 to 100000 events")


@define(kw_only=True)
class Counts:
    """Counters of one partition in this process."""

    batches: int = 0
    delivered: int = 0
    failures: int = 0


@define
class _RefusedEvents:
    """The dead letters of one page, and the ledgers that wait behind a dead letter."""

    letters: list[DeadLetter] = field(factory=list)
    parked: set[LedgerId] = field(factory=set)


class Projector:
    """Feeds one engine and keeps its projection state.

    Args:
        feed: name, fingerprint and partitions of the projection.
        delivery: delivers events to the engine.
        claim: refuses an engine that holds another log.
        log: the log.
        state: the projection state.
        clock: time and sleep.
        settings: sizes and times.
        circuit_breaker: the circuit breaker of the engine for writes.
    """

    def __init__(
        self,
        *,
        feed: Feed,
        delivery: Delivery,
        claim: EngineClaim,
        log: AuditLog,
        state: ProjectionState,
        clock: Clock,
        settings: ProjectionSettings,
        circuit_breaker: CircuitBreaker,
    ) -> None:
        self.feed = feed
        self.circuit_breaker = circuit_breaker
        self.claim = claim
        self.counts = [Counts() for _ in range(feed.partitions)]
        self._delivery = delivery
        self._log = log
        self._state = state
        self._clock = clock
        self._settings = settings
        # An ordered engine refuses what is late.
        self._second = (
            None
            if delivery.ordered
            else SecondDelivery(
                feed=feed,
                delivery=delivery,
                owns_engine=self._owns_engine,
                log=log,
                state=state,
                clock=clock,
                batch=settings.batch,
            )
        )

    async def has_second_due(self, partition: int) -> bool:
        """Whether documents of a partition are due to be put again (``SecondDelivery``)."""
        return self._second is not None and await self._second.is_due(partition)

    async def partition_states(self) -> Sequence[PartitionState]:
        """The states of all partitions; they are created if missing."""
        found = await self._state.partition_states(self.feed.projection)
        if len(found) != self.feed.partitions:
            await self._state.enrol(self.feed)
            found = await self._state.partition_states(self.feed.projection)
        return found

    async def partition_state_of(self, ledger: LedgerId) -> PartitionState | None:
        """The state of a ledger's partition, ``None`` if the engine was fed with other settings
        and must be rebuilt.
        """
        partition_state = (await self.partition_states())[self.feed.partition_of(ledger)]
        return partition_state if partition_state.fingerprint == self.feed.fingerprint else None

    async def require_same(self) -> None:
        """Check that the engine was fed with the current settings, and holds this log.

        Raises:
            InvalidRequest: it was fed with other settings, and must be rebuilt.
            SettingsError: it refuses the settings, or holds another log.
        """
        states = await self.partition_states()
        for partition_state in states:
            if partition_state.fingerprint != self.feed.fingerprint:
                raise InvalidRequest(
                    self.feed.projection,
                    f"was fed with {partition_state.fingerprint}, but the settings are "
                    f"{self.feed.fingerprint}; run remembrancer rebuild {self.feed.projection}, or "
                    "change the settings back",
                )
        if not any(state.must_clear for state in states):
            # An engine that does not answer now may do so later; every delivery checks again.
            with suppress(AdapterUnavailable):
                await self._owns_engine()

    async def note_refusal(self, error: SettingsError, *, owner: str) -> None:
        """Record why the engine refuses the settings, in the partitions that nobody holds."""
        for partition in range(self.feed.partitions):
            lease = await self._state.acquire(
                self.feed, partition, owner=owner, seconds=self._settings.lease
            )
            if lease is not None:
                await self._state.release(lease, _one_line(error))

    async def has_all_of(self, ledger: LedgerId, position: Position) -> bool:
        """Whether the engine holds all events of a ledger up to ``position``."""
        return await self._state.reach(self.feed, ledger) >= position

    async def restart(self) -> None:
        """Reset the checkpoints: the next lease owner clears the engine and feeds it from 0."""
        await self._state.restart(self.feed)

    async def turn(self, partition: int, *, owner: str, keep_going: KeepGoing) -> Position | None:
        """Catch up one partition to the end of the log, under a lease; then put again what is due.

        Args:
            partition: number of the partition.
            owner: owner of the lease.
            keep_going: called before each page except the first; ``False`` stops.

        Returns:
            The checkpoint, ``None`` if the lease is held by another owner.

        Raises:
            AdapterUnavailable: the engine, the embedder or the log did not answer; earlier pages
                are checkpointed.
            SettingsError: the engine or the embedder refuses the settings; earlier pages are
                checkpointed, and no event becomes a dead letter.
        """
        reached = await self._catch_up(partition, owner=owner, keep_going=keep_going)
        if (
            reached is not None
            and self._second is not None
            and await self._second.is_due(partition)
        ):
            await self._second(partition, owner=owner, keep_going=keep_going)
        return reached

    async def _catch_up(
        self, partition: int, *, owner: str, keep_going: KeepGoing
    ) -> Position | None:
        lease = await self._state.acquire(
            self.feed, partition, owner=owner, seconds=self._settings.lease
        )
        if lease is None:
            return None
        if lease.must_clear:
            await self._state.release(lease)
            cleared = await self._clear_alone(partition, owner=owner)
            if not cleared:
                return None
            return await self._catch_up(partition, owner=owner, keep_going=keep_going)
        return await self._under(lease, self._feed(lease, keep_going))

    async def _clear_alone(self, partition: int, *, owner: str) -> bool:
        """Clear the engine under a lease that outlasts the request: one that arrives late would
        empty what another worker has delivered since.

        Returns:
            Whether the engine is cleared now.
        """
        # A worker's heartbeat would shorten a lease of its own, and its end would release it.
        lease = await self._state.acquire(
            self.feed, partition, owner=f"{owner}.clearing", seconds=CLEARING
        )
        return lease is not None and await self._under(lease, self._clear(lease))

    async def _under(self, lease: Lease, work: Coroutine[Any, Any, T]) -> T:
        """Do something under a lease, and release it; a failure is counted and recorded."""
        problem: str | None = None
        try:
            result = await work
        except Exception as error:
            self.counts[lease.partition].failures += 1
            now, problem = await self._clock.now(), _one_line(error)
            if isinstance(error, SettingsError):
                self.circuit_breaker.record_refusal(now)
                raise
            self.circuit_breaker.record_failure(now)
            if isinstance(error, AdapterUnavailable):
                raise
            # Not an error of the port, so it does not show that an event is bad: no dead letter.
            raise AdapterUnavailable(self.feed.projection, problem) from error
        else:
            self.circuit_breaker.record_success()
            return result
        finally:
            await self._state.release(lease, problem)

    async def _clear(self, lease: Lease) -> bool:
        if not lease.must_clear:
            return True
        await self._delivery.clear()
        await self.claim.bind()
        if await self._state.cleared(lease):
            return True
        await self._restart_current()
        return False

    async def _feed(self, lease: Lease, keep_going: KeepGoing) -> Position:
        parked = await self._parked(lease.partition) if self._delivery.ordered else set()
        position = lease.position
        while True:
            page = await self._log.read(position, self._settings.batch)
            if not page:
                return position
            if not await self._owns_engine():
                return position
            refused = _RefusedEvents(parked=parked)
            chain = [i for i in page if self.feed.partition_of(i.ledger) == lease.partition]
            await self._deliver(chain, refused)
            if not await self._state.advance(lease, page[-1].position, dead=refused.letters):
                await self._repair(chain)
                return position
            position = page[-1].position
            counts = self.counts[lease.partition]
            counts.batches += 1
            counts.delivered += len(page)
            if len(page) < self._settings.batch or not keep_going():
                return position

    async def _restart_current(self) -> None:
        """Start again after a clearing that ended without the lease: another worker may have
        cleared and filled the engine before it. Under the settings that are current by now.
        """
        states = await self._state.partition_states(self.feed.projection)
        current = evolve(self.feed, fingerprint=states[0].fingerprint, partitions=len(states))
        await self._state.restart(current)

    async def _repair(self, chain: Sequence[Recorded]) -> None:
        """Repair the engine after a delivery that ended without the lease: another worker may have
        delivered later events before it.
        """
        states = await self._state.partition_states(self.feed.projection)
        if all(state.fingerprint == self.feed.fingerprint for state in states):
            # Refused events are dead letters of the other worker; an engine that refuses the
            # settings took nothing from this one either.
            with suppress(InvalidRequest, ModelError):
                await self.claim.require()
                await self._delivery.repair(chain)

    async def _owns_engine(self) -> bool:
        """Whether the engine holds this log; bind it before the first delivery only.

        Later, an engine without a log has lost its content, or another log is about to take it
        over: it must not be fed from the middle of this one.

        Returns:
            ``False`` while a rebuild of this log clears it: whoever clears it binds it.

        Raises:
            SettingsError: the engine holds another log, or none any more.
            AdapterUnavailable: the engine or the log's database did not answer.
        """
        if await self.claim.is_held():
            return True
        # Read after the engine was asked, so that a clearing that it met is known here.
        states = await self.partition_states()
        if any(state.must_clear for state in states):
            return False
        if any(state.position for state in states):
            # A clearing may have ended, and the engine been filled, since it was asked.
            await self.claim.require()
        else:
            await self.claim.bind()
        return True

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
        """Deliver events; bisect a refused batch down to the refused event."""
        batches = [chain]
        while batches:
            batch = [i for i in batches.pop() if i.ledger not in refused.parked]
            if not batch:
                continue
            try:
                await self._delivery(batch)
            except SettingsError:
                raise
            except (InvalidRequest, ModelError) as error:
                if len(batch) > 1:
                    middle = len(batch) // 2
                    batches += [batch[middle:], batch[:middle]]
                    continue
                cause = await self._retry(batch, error)
                if cause is not None:
                    refused.letters.append(await self._letter(batch[0], cause, TRIES))
                    if self._delivery.ordered:
                        refused.parked.add(batch[0].ledger)

    async def _retry(self, chain: Sequence[Recorded], error: Exception) -> str | None:
        """Retry one event; returns the reason of the refusal, ``None`` after a success."""
        for tries in range(1, TRIES):
            await self._clock.sleep(PAUSE * 2**tries)
            try:
                await self._delivery(chain)
            except SettingsError:
                raise
            except (InvalidRequest, ModelError) as again:
                error = again
            else:
                return None
        return _one_line(error)

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
        """Retry the dead letters of a partition.

        Returns:
            The number of delivered letters, ``None`` if the lease is held by another owner.

        Raises:
            SettingsError: the engine holds another log, or refuses the settings; no letter is
                lost.
            AdapterUnavailable: the engine did not answer; no letter is lost.
        """
        lease = await self._state.acquire(
            self.feed, partition, owner=owner, seconds=self._settings.lease
        )
        if lease is None:
            return None
        revived = 0
        try:
            if not await self._owns_engine():
                return None
            for letter in await self._dead_letters(partition):
                again = await self._redeliver(letter, lease.position)
                # If a later event is refused now, its dead letter replaces this one.
                here = again is None or again.position != letter.position
                if not await self._state.advance(
                    lease,
                    lease.position,
                    dead=[] if again is None else [again],
                    revived=[letter.position] if here else [],
                ):
                    await self._repair(
                        await self._log.read_ledger(letter.ledger, letter.version - 1, 1)
                    )
                    return None
                revived += again is None
        finally:
            await self._state.release(lease)
        return revived

    async def _redeliver(self, letter: DeadLetter, until: Position) -> DeadLetter | None:
        """Deliver the event of a dead letter and, if ordered, the later events of its ledger.

        Returns:
            The dead letter of the event that is refused now, if any.
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


def _one_line(error: Exception) -> str:
    """An error on one line, with its type if it is not an ``AdapterUnavailable``."""
    text = (
        str(error) if isinstance(error, AdapterUnavailable) else f"{type(error).__name__}: {error}"
    )
    return " ".join(text.split())[:LONGEST_CAUSE]
