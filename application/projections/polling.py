"""News of events by looking, for logs that can't call: often at first, then less."""

from __future__ import annotations

from datetime import timedelta

from remembrancer.domain.ports.audit_log import AuditLog
from remembrancer.domain.ports.clock import Clock
from remembrancer.domain.recorded import Position

SHORTEST = 0.01
LONGEST = 0.25
"""Seconds between two looks. A look costs a fraction of a millisecond on SQLite."""


class Polling:
    """``AppendSignal`` by looking at the log.

    Args:
        log: what is looked at.
        clock: time and waiting.
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
