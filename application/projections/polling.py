"""Poll for new events, with backoff, for logs that can't notify."""

from __future__ import annotations

from datetime import timedelta

from remembrancer.domain.ports.audit_log import AuditLog
from remembrancer.domain.ports.clock import Clock
from remembrancer.domain.recorded import Position

SHORTEST = 0.01
LONGEST = 0.25
"""Seconds between two polls, doubled each time. A poll takes less than a millisecond on SQLite."""


class Polling:
    """An ``AppendSignal`` that polls the log.

    Args:
        log: the log.
        clock: time and sleep.
    """

    def __init__(self, *, log: AuditLog, clock: Clock) -> None:
        self._log = log
        self._clock = clock

    async def wait(self, after: Position, seconds: float) -> None:
        """See ``AppendSignal.wait``."""
        deadline = await self._clock.now() + timedelta(seconds=seconds)
        pause = SHORTEST
        while await self._log.last_position() <= after:
            left = (deadline - await self._clock.now()).total_seconds()
            if left <= 0:
                return
            await self._clock.sleep(min(pause, left))
            pause = min(2 * pause, LONGEST)
