"""Optimistic concurrency: decide on the head of a ledger, append if it has not moved, or retry."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from typing import TypeAlias

from remembrancer.application.projections.readiness import Readiness
from remembrancer.domain.errors import Conflict, InvalidRequest, NotFound
from remembrancer.domain.events import Event, EventId
from remembrancer.domain.ports.audit_log import Appended, AuditLog
from remembrancer.domain.ports.clock import Clock, IdSource
from remembrancer.domain.recorded import CLOCK_LEAD, Append, CorrelationId, Head, NewEvent
from remembrancer.domain.scope import LedgerId

Decide: TypeAlias = Callable[[Head], Awaitable[Sequence[NewEvent]]]
"""Decides on the events that follow the head of a ledger."""

LONGEST_PAUSE = 0.05
"""Longest pause in seconds between two tries after a lost race."""


class OptimisticAppender:
    """Appends events to a ledger, with or without a decision that depends on its state.

    Args:
        log: the log to append to.
        clock: time and sleep.
        ids: new ids.
        patience: seconds of retries after lost races before ``Conflict`` is raised.
        actor_names: whether an actor may be a name or an address. The envelope of an event is
            never erased, so that these would stay for ever.
        clock_lead: how far the last event of a ledger may be ahead of the clock.
        readiness: refuses appends while the read models can't take them.
    """

    def __init__(
        self,
        *,
        log: AuditLog,
        clock: Clock,
        ids: IdSource,
        patience: float,
        actor_names: bool = False,
        clock_lead: timedelta = CLOCK_LEAD,
        readiness: Readiness | None = None,
    ) -> None:
        self._log = log
        self._clock = clock
        self._ids = ids
        self._patience = patience
        self._actor_names = actor_names
        self._clock_lead = clock_lead
        self._readiness = readiness or Readiness()

    def correlation_id(self) -> CorrelationId:
        """A new id for a request."""
        return CorrelationId(self._ids.new())

    def check(self, actor: str) -> None:
        """Check an actor and the read models; call it before work that would be in vain.

        Raises:
            InvalidRequest: the actor is not an opaque id, and names are not allowed; or another
                embedder or release made the read models.
            IntegrityError: the read models are damaged.
        """
        self._readiness.require()
        if not self._actor_names and any(sign == "@" or sign.isspace() for sign in actor):
            raise InvalidRequest(
                "actor",
                "looks like a name or an address, which no erasure could remove from the log; "
                "pass an opaque id, or set actor_names to true",
            )

    def new(self, event: Event, cause: EventId | None = None) -> NewEvent:
        """An event with a new id, caused by ``cause``."""
        return NewEvent(event_id=EventId(self._ids.new()), event=event, causation_id=cause)

    async def append(
        self,
        ledger: LedgerId,
        events: Sequence[NewEvent],
        *,
        correlation_id: CorrelationId,
        actor: str,
        idempotency_key: str | None = None,
        expected_version: int | None = None,
    ) -> Appended:
        """Append once; see ``AuditLog.append``.

        Raises:
            InvalidRequest: see ``check``.
            IntegrityError: see ``check``.
        """
        self.check(actor)
        return await self._log.append(
            Append(
                ledger=ledger,
                events=events,
                recorded_at=await self._clock.now(),
                correlation_id=correlation_id,
                actor=actor,
                expected_version=expected_version,
                idempotency_key=idempotency_key,
                clock_lead=self._clock_lead,
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
        """Append the events that ``decide`` returns for the head; repeat after every lost race.

        A refusal by ``decide`` counts if the head has not moved: it may have read one thing before
        another writer's append and the next thing after it.

        Returns:
            The appended events, ``None`` if ``decide`` returned none.

        Raises:
            Conflict: other writers won every race for ``patience`` seconds.
        """
        self.check(actor)
        deadline = await self._clock.now() + timedelta(seconds=self._patience)
        tries = 0
        while True:
            head = await self._log.head(ledger)
            try:
                events = await self._decided(decide, head, ledger)
                if not events:
                    return None
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

    async def _decided(self, decide: Decide, head: Head, ledger: LedgerId) -> Sequence[NewEvent]:
        try:
            return await decide(head)
        except (InvalidRequest, NotFound) as error:
            if await self._log.head(ledger) == head:
                raise
            raise Conflict("another writer was faster than this decision") from error


def _pause(correlation_id: CorrelationId, tries: int) -> float:
    # Jitter from the end of the id, which differs between competing writers.
    spread = int(correlation_id[-4:], 16) / 0xFFFF
    return min(LONGEST_PAUSE, 0.001 * (1 << min(tries, 6))) * (0.5 + spread / 2)
