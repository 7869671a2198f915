"""Deliver every event to an index a second time, when no older put can be under way any more.

A put can arrive after a newer one: from a worker that died, from a client that gave up, or twice.
An engine that can't compare then holds the older state, and nobody knows. A late put is harmless
once it is followed by another put of the current state, so each change is put again ``LATEST``
seconds after it was recorded.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta
from itertools import takewhile

from attrs import evolve

from remembrancer.application.projections.delivery import Delivery
from remembrancer.domain.errors import InvalidRequest, ModelError, SettingsError
from remembrancer.domain.ports.audit_log import AuditLog
from remembrancer.domain.ports.clock import Clock
from remembrancer.domain.ports.projection_state import Feed, ProjectionState
from remembrancer.domain.recorded import Recorded

LATEST = 300.0
"""Seconds that a put may be under way. The adapters' clients give up after 30; this is for queues,
proxies and retries behind them.
"""


class SecondDelivery:
    """Puts the documents of events again, partition by partition.

    Its checkpoints and leases are those of a feed of its own, named after that of the engine. It
    does not depend on the settings of the engine: a rebuild delivers all documents anyway.

    Args:
        feed: the feed of the engine.
        delivery: delivers to the engine.
        owns_engine: whether the engine holds this log; refuses one that holds another log.
        log: the log.
        state: the projection state.
        clock: compared with the times of the events.
        batch: events per page.
    """

    def __init__(
        self,
        *,
        feed: Feed,
        delivery: Delivery,
        owns_engine: Callable[[], Awaitable[bool]],
        log: AuditLog,
        state: ProjectionState,
        clock: Clock,
        batch: int,
    ) -> None:
        self._feed = evolve(feed, projection=f"{feed.projection}.again", fingerprint="")
        self._delivery = delivery
        self._owns_engine = owns_engine
        self._log = log
        self._state = state
        self._clock = clock
        self._batch = batch
        self._not_before: dict[int, datetime] = {}

    async def is_due(self, partition: int) -> bool:
        """Whether events of a partition are old enough; looked up once in ``LATEST`` seconds."""
        now = await self._clock.now()
        if now < self._not_before.get(partition, now):
            return False
        states = await self._state.partition_states(self._feed.projection)
        if len(states) != self._feed.partitions:
            await self._state.enrol(self._feed)
            states = await self._state.partition_states(self._feed.projection)
        first = await self._log.read(states[partition].position, 1)
        due = bool(_settled(first, now))
        if not due:
            self._rest(partition, now)
        return due

    def _rest(self, partition: int, now: datetime) -> None:
        self._not_before[partition] = now + timedelta(seconds=LATEST)

    async def __call__(self, partition: int, *, owner: str, keep_going: Callable[[], bool]) -> None:
        """Put the documents of a partition again, up to the events that are too recent.

        Args:
            partition: number of the partition.
            owner: owner of the lease.
            keep_going: called before each page except the first; ``False`` stops.

        Raises:
            AdapterUnavailable: the engine, the embedder or the log did not answer.
            SettingsError: the engine or the embedder refuses the settings.
        """
        now = await self._clock.now()
        lease = await self._state.acquire(self._feed, partition, owner=owner, seconds=LATEST)
        if lease is None:
            self._rest(partition, now)
            return
        position = lease.position
        try:
            while page := _settled(await self._log.read(position, self._batch), now):
                if not await self._owns_engine():
                    return
                await self._put_again(
                    [item for item in page if self._feed.partition_of(item.ledger) == partition]
                )
                position = page[-1].position
                if not await self._state.advance(lease, position) or not keep_going():
                    return
            self._rest(partition, now)
        finally:
            await self._state.release(lease)

    async def _put_again(self, chain: Sequence[Recorded]) -> None:
        try:
            await self._delivery.repair(chain)
        except SettingsError:
            raise
        except (InvalidRequest, ModelError):
            # A single event that is refused is a dead letter already.
            for item in chain if len(chain) > 1 else ():
                await self._put_again([item])


def _settled(page: Sequence[Recorded], now: datetime) -> list[Recorded]:
    """The first events of a page that are ``LATEST`` seconds old."""
    latest = now - timedelta(seconds=LATEST)
    return list(takewhile(lambda item: item.recorded_at <= latest, page))
