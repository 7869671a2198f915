"""Right after a commit: having external projections follow before the writer is answered.

The writer waits up to a bound and is then told what lags. Nothing here ever fails a write.
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
"""Seconds between two looks at what somebody else is at."""

LONGEST_PAUSE = 0.1

NEAR = 2000
"""Events. What is further behind, as in a rebuild, is not waited for."""

Work = Callable[[], Coroutine[Any, Any, None]]


class Beside(Protocol):
    """Runs work beside the caller; see ``remembrancer.runtime.sync_bridge``."""

    def start(self, work: Work) -> Callable[[float], Awaitable[None]]:
        """Start work that raises nothing; returns what waits for its end, so many seconds at the
        most.
        """
        ...


class AfterCommit:
    """Drives projections for a writer.

    Args:
        projections: the external ones.
        clock: time and waiting.
        beside: runs the driving, so that an engine that hangs does not hold up the writer.
        owner: who takes leases.
        wait: seconds that a writer waits at the most; 0 leaves the work to workers.
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
        """Have what runs beside end with the page that it is at."""
        self._stopped = True

    async def __call__(self, ledger: LedgerId, position: Position) -> tuple[str, ...]:
        """Wait until the projections hold a ledger's events up to ``position``.

        Returns:
            The names of those that lag when the time is up, or that can't follow soon.
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
            # Somebody else is at it: a worker, or another writer.
            await self._clock.sleep(min(pause, left))
            pause = min(2 * pause, LONGEST_PAUSE)

    def _start(self, projector: Projector, partition: int) -> Callable[[float], Awaitable[None]]:
        track = (projector.feed.projection, partition)
        self._driven.add(track)

        async def drive() -> None:
            try:
                await projector.turn(
                    partition, owner=self._owner, keep_going=lambda: not self._stopped
                )
            except RemembrancerError:
                # The book has the reason, and the receipt says that it lags.
                pass
            finally:
                self._driven.discard(track)

        return self._beside.start(drive)


# The book may be out of reach by now. What was written is written all the same, and the receipt
# says that it lags.


async def _can_follow(projector: Projector, ledger: LedgerId) -> bool:
    """Whether the engine takes anything in before it is rebuilt."""
    try:
        return await projector.partition_state_of(ledger) is not None
    except RemembrancerError:
        return False


async def _is_near(projector: Projector, ledger: LedgerId, position: Position) -> bool:
    """Whether an engine is behind a position, and so little that it is worth waiting for."""
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
