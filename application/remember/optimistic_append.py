"""Optimistic concurrency: decide on the head of a ledger, append if it has not moved, or retry."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from typing import TypeAlias

from remembrancer.domain.errors import Conflict
from remembrancer.domain.events import Event
from remembrancer.domain.ports.audit_log import Appended, AuditLog
from remembrancer.domain.ports.clock import Clock, IdSource
from remembrancer.domain.recorded import Append, CorrelationId, EventId, NewEvent
from remembrancer.domain.scope import LedgerId

Decide: TypeAlias = Callable[[], Awaitable[Sequence[Event]]]

LONGEST_PAUSE = 0.05
"""Longest pause in seconds between two tries after a lost race."""


class OptimisticAppender:
    """Appends events to a ledger, with or without a decision that depends on its state.

    Args:
        log: the log to append to.
        clock: time and sleep.
        ids: new ids.
        patience: seconds of retries after lost races before ``Conflict`` is raised.
    """

    def __init__(self, *, log: AuditLog, clock: Clock, ids: IdSource, patience: float) -> None:
        self._log = log
        self._clock = clock
        self._ids = ids
        self._patience = patience

    def correlation_id(self) -> CorrelationId:
        """A new id for a request."""
        return CorrelationId(self._ids.new())

    async def append(
        self,
        ledger: LedgerId,
        events: Sequence[Event],
        *,
        correlation_id: CorrelationId,
        actor: str,
        idempotency_key: str | None = None,
        expected_version: int | None = None,
    ) -> Appended:
        """Append once; see ``AuditLog.append``."""
        return await self._log.append(
            Append(
                ledger=ledger,
                events=[NewEvent(event_id=EventId(self._ids.new()), event=e) for e in events],
                recorded_at=await self._clock.now(),
                correlation_id=correlation_id,
                actor=actor,
                expected_version=expected_version,
                idempotency_key=idempotency_key,
            )
        )

    async def decide_and_append(
        self,
        ledger: LedgerId,
        decide: Decide,
        *,
        correlation_id: CorrelationId,
        actor: str,
        idempotency_key: str | None = None,
    ) -> Appended | None:
        """Call ``decide`` and append the events that it returns; repeat after every lost race.

        Returns:
            The appended events, ``None`` if ``decide`` returned none.

        Raises:
            Conflict: other writers won every race for ``patience`` seconds.
        """
        deadline = await self._clock.now() + timedelta(seconds=self._patience)
        tries = 0
        while True:
            head = await self._log.head(ledger)
            events = await decide()
            if not events:
                return None
            try:
                return await self.append(
                    ledger,
                    events,
                    correlation_id=correlation_id,
                    actor=actor,
                    idempotency_key=idempotency_key,
                    expected_version=head.version,
                )
            except Conflict:
                if await self._clock.now() > deadline:
                    raise
            tries += 1
            await self._clock.sleep(_pause(correlation_id, tries))


def _pause(correlation_id: CorrelationId, tries: int) -> float:
    # Jitter from the end of the id, which differs between competing writers.
    spread = int(correlation_id[-4:], 16) / 0xFFFF
    return min(LONGEST_PAUSE, 0.001 * (1 << min(tries, 6))) * (0.5 + spread / 2)
