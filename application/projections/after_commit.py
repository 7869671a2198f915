"""Catch up external projections right after a commit, before the write returns.

The write waits for a limited time; then it reports the projections that lag. A failure here never
fails the write.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Sequence
from datetime import timedelta
from typing import Any, Protocol

from remembrancer.application.projections.projector import Projector
from remembrancer.domain.errors import RemembrancerError
from remembrancer.domain.ports.clock import Clock
from remembrancer.domain.recorded import Position
from remembrancer.domain.scope import LedgerId

PAUSE = 0.005
"""Seconds before polling the position of a partition again; doubled up to ``LONGEST_PAUSE``."""

LONGEST_PAUSE = 0.1

NEAR = 2000
"""Events; a write does not wait for a projection that lags more, as during a rebuild."""

Work = Callable[[], Coroutine[Any, Any, None]]


class Beside(Protocol):
    """Runs work in the background: in threads or in tasks (``runtime.sync_bridge``)."""

    def start(self, work: Work) -> Callable[[float], Awaitable[None]]:
        """Start work that does not raise.

        Returns:
            A function that waits for the end of the work; its argument is the timeout in seconds.
        """
        ...

    async def close(self, grace: float | None = None) -> tuple[str, ...]:
        """Wait for all works, for at most ``grace`` seconds; return the names of those left."""
        ...


class AfterCommit:
    """Drives external projections after a write.

    Args:
        projections: the external projections.
        clock: time and sleep.
        beside: runs the delivery, so that an engine that hangs does not block the write.
        owner: owner of the leases.
        wait: timeout of a write in seconds (>= 0); 0 leaves the delivery to workers.
    """

    def __init__(
        self,
        *,
        projections: Sequence[Projector],
        clock: Clock,
        beside: Beside,
        owner: str,
        wait: float,
    ) -> None:
        self._projections = projections
        self._clock = clock
        self._beside = beside
        self._owner = owner
        self._wait = wait
        self._driven: set[tuple[str, int]] = set()
        self._stopped = False

    def stop(self) -> None:
        """Stop background work after its current page."""
        self._stopped = True

    async def __call__(self, ledger: LedgerId, position: Position) -> tuple[str, ...]:
        """Wait until the projections hold a ledger's events up to ``position``.

        Returns:
            The names of the projections that lag after the timeout or can't catch up in time.
        """
        if self._wait > 0:
            await self._drive(ledger, position)
        return tuple(
            [
                item.feed.projection
                for item in self._projections
                if not await _holds(item, ledger, position)
            ]
        )

    async def _drive(self, ledger: LedgerId, position: Position) -> None:
        deadline = await self._clock.now() + timedelta(seconds=self._wait)
        behind = [item for item in self._projections if await _can_follow(item, ledger)]
        pause = PAUSE
        while True:
            now = await self._clock.now()
            behind = [item for item in behind if not item.circuit_breaker.is_open(now)]
            waits = [
                self._start(item, item.feed.partition_of(ledger))
                for item in behind
                if (item.feed.projection, item.feed.partition_of(ledger)) not in self._driven
            ]
            behind = [item for item in behind if await _is_near(item, ledger, position)]
            for wait in waits if behind else ():
                left = (deadline - await self._clock.now()).total_seconds()
                await wait(max(0.0, left))
            behind = [item for item in behind if await _is_near(item, ledger, position)]
            left = (deadline - await self._clock.now()).total_seconds()
            if not behind or left <= 0:
                return
            # A worker or another write holds the lease.
            await self._clock.sleep(min(pause, left))
            pause = min(2 * pause, LONGEST_PAUSE)

    def _start(self, projector: Projector, partition: int) -> Callable[[float], Awaitable[None]]:
        key = (projector.feed.projection, partition)
        self._driven.add(key)

        async def drive() -> None:
            try:
                await projector.turn(
                    partition, owner=self._owner, keep_going=lambda: not self._stopped
                )
            except RemembrancerError:
                # The projection state has the reason; the receipt names the projection.
                pass
            finally:
                self._driven.discard(key)

        return self._beside.start(drive)


# The projection state may be unavailable by now. The append is committed all the same, and the
# receipt names the projection as lagging.


async def _can_follow(projector: Projector, ledger: LedgerId) -> bool:
    """Whether the engine can be fed without a rebuild."""
    try:
        return await projector.partition_state_of(ledger) is not None
    except RemembrancerError:
        return False


async def _is_near(projector: Projector, ledger: LedgerId, position: Position) -> bool:
    """Whether an engine lags behind a position by at most ``NEAR`` events."""
    try:
        partition_state = await projector.partition_state_of(ledger)
    except RemembrancerError:
        return False
    return partition_state is not None and 0 < position - partition_state.position <= NEAR


async def _holds(projector: Projector, ledger: LedgerId, position: Position) -> bool:
    try:
        return await projector.has_all_of(ledger, position)
    except RemembrancerError:
        return False
