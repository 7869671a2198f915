"""Everything that happened to the facts of a scope, for a picture: bars and ticks on two clocks."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from attrs import define, field, frozen

from remembrancer.application.audit.diff import CompareMoments, Moment
from remembrancer.application.audit.ledger_appends import LedgerAppends
from remembrancer.application.audit.ledger_window import LedgerWindow
from remembrancer.domain.conversation import Message
from remembrancer.domain.errors import InvalidRequest
from remembrancer.domain.events import MessageObserved
from remembrancer.domain.facts.evolve import FactChange
from remembrancer.domain.facts.fact import Fact, FactId, FactKey
from remembrancer.domain.ports.audit_log import AuditLog
from remembrancer.domain.ports.fact_store import FactStore
from remembrancer.domain.recorded import CorrelationId, Recorded
from remembrancer.domain.scope import LedgerId, Scope

MOST_ROWS = 2000
"""A picture with more facts has one row for each slot or entity, instead of each fact."""


@frozen(kw_only=True)
class TimelineEvent:
    """An event without its content."""

    version: int
    position: int
    recorded_at: datetime
    type: str
    actor: str
    correlation_id: str
    event_id: str

    @classmethod
    def of(cls, item: Recorded) -> TimelineEvent:
        """The envelope of an event."""
        return cls(
            version=item.version,
            position=item.position,
            recorded_at=item.recorded_at,
            type=item.type_name,
            actor=item.actor,
            correlation_id=item.correlation_id,
            event_id=item.event_id,
        )


@frozen(kw_only=True)
class TimelineFact:
    """A fact, all of its versions by the end of the timeline, and for each the event that made it
    (``None``: that was before the timeline).
    """

    versions: tuple[Fact, ...]
    events: tuple[TimelineEvent | None, ...]

    @property
    def latest(self) -> Fact:
        """The last version."""
        return self.versions[-1]

    def to_dict(self) -> dict[str, Any]:
        """All fields as JSON values."""
        return {
            "fact_id": self.latest.fact_id,
            "text": self.latest.text,
            "slot": self.latest.slot,
            "entities": list(self.latest.entities),
            "valid": _bounds(self.latest.valid.start, self.latest.valid.end),
            "versions": [
                {
                    "version": fact.version,
                    "recorded": _bounds(fact.recorded.start, fact.recorded.end),
                    "status": fact.status.value,
                    "text": fact.text,
                    "valid": _bounds(fact.valid.start, fact.valid.end),
                    "interruptions": [_bounds(gap.start, gap.end) for gap in fact.interruptions],
                    "reason": fact.reason,
                    "event_id": event.event_id if event else None,
                }
                for fact, event in zip(self.versions, self.events, strict=True)
            ],
        }


def _bounds(start: datetime | None, end: datetime | None) -> list[str | None]:
    return [None if moment is None else moment.isoformat() for moment in (start, end)]


@frozen(kw_only=True)
class Timeline:
    """The events of a scope between two moments, and the facts that they made or changed, in the
    order in which these were first said.

    ``grouped``: there are too many facts for a row each. ``complete`` is false if there were more
    events than ``limit``; the latest are kept.
    """

    start: Moment
    end: Moment
    facts: tuple[TimelineFact, ...]
    events: tuple[TimelineEvent, ...]
    complete: bool = True

    @property
    def grouped(self) -> bool:
        """Whether a picture groups the facts by slot and entity."""
        return len(self.facts) > MOST_ROWS

    @property
    def rows(self) -> list[tuple[str, list[TimelineFact]]]:
        """The rows of a picture with their names: a fact each, or those with one slot, else one
        first entity, else one speaker.
        """
        if not self.grouped:
            return [(each.latest.text, [each]) for each in self.facts]
        groups: dict[str, list[TimelineFact]] = defaultdict(list)
        for each in self.facts:
            fact = each.latest
            names = (fact.slot, *fact.entities, fact.speaker, "other facts")
            groups[next(name for name in names if name)].append(each)
        return list(groups.items())

    def to_dict(self) -> dict[str, Any]:
        """All fields as JSON values."""
        return {
            "from": {"version": self.start.version, "at": self.start.at.isoformat()},
            "to": {"version": self.end.version, "at": self.end.at.isoformat()},
            "facts": [each.to_dict() for each in self.facts],
            "events": [
                {
                    "version": event.version,
                    "position": event.position,
                    "recorded_at": event.recorded_at.isoformat(),
                    "type": event.type,
                    "actor": event.actor,
                    "correlation_id": event.correlation_id,
                }
                for event in self.events
            ],
            "grouped": self.grouped,
            "complete": self.complete,
        }


@define
class _Collected:
    """What a scope may see of the events read so far."""

    scope: Scope
    events: list[Recorded] = field(factory=list)
    made: dict[FactKey, Recorded] = field(factory=dict)
    touched: dict[FactId, None] = field(factory=dict)
    requests: set[CorrelationId] = field(factory=set)

    def add(self, item: Recorded, changes: Sequence[FactChange]) -> None:
        """Take in the next event."""
        self.events.append(item)
        if isinstance(item.event, MessageObserved) and self._mine(item.event.message):
            self.requests.add(item.correlation_id)
        for change in changes:
            if self._mine(change.after):
                self.touched[change.after.fact_id] = None
                self.requests.add(item.correlation_id)
                self.made[change.after.key] = item

    def _mine(self, owned: Fact | Message) -> bool:
        return self.scope.covers(owned.scope)

    def visible(self) -> tuple[TimelineEvent, ...]:
        """The events of requests that concern the scope."""
        return tuple(
            TimelineEvent.of(item) for item in self.events if item.correlation_id in self.requests
        )


class ShowTimeline:
    """Reads the timeline of a scope.

    Args:
        log: the log.
        facts: the facts as of the last append.
        compare_moments: resolves the moments.
    """

    def __init__(self, *, log: AuditLog, facts: FactStore, compare_moments: CompareMoments) -> None:
        self._log = log
        self._facts = facts
        self._compare_moments = compare_moments

    async def __call__(
        self, scope: Scope, start: object = None, end: object = None, *, limit: int
    ) -> Timeline:
        """The events between two moments and their facts.

        Args:
            scope: whose.
            start: the earlier moment, as ``as_of`` is given; ``None``: before the first event.
            end: the later moment; ``None``: now.
            limit: events to read, the latest ones; an append is read whole.

        Raises:
            InvalidRequest: a moment is refused, or ``end`` is earlier than ``start``.
        """
        late = await self._compare_moments.moment(end, scope.ledger, "end")
        early = await self._start(start, scope, late)
        if late.version < early.version:
            raise InvalidRequest("end", f"{late} is earlier than start, {early}")
        since = max(early.version, await self._first_of(scope.ledger, late.version - limit))
        window = LedgerWindow(self._log, self._facts, scope.ledger, since, late.version)
        collected = _Collected(scope)
        while page := await window.page():
            for item, changes in page:
                collected.add(item, changes)
        tracks = [
            self._fact(window.state.facts[fact_id], collected.made) for fact_id in collected.touched
        ]
        tracks.sort(key=lambda each: (each.latest.occurred_at, each.latest.created_at))
        return Timeline(
            start=early,
            end=late,
            facts=tuple(tracks),
            events=collected.visible(),
            complete=since == early.version,
        )

    async def _first_of(self, ledger: LedgerId, version: int) -> int:
        """The last version before the append that ``version`` is in; a fold begins there."""
        if version <= 0:
            return 0
        (event,) = await self._log.read_ledger(ledger, version - 1, 1)
        return await LedgerAppends(self._log, ledger).version_before(event.recorded_at)

    async def _start(self, start: object, scope: Scope, late: Moment) -> Moment:
        if start is not None:
            return await self._compare_moments.moment(start, scope.ledger, "start")
        first = await self._log.read_ledger(scope.ledger, 0, 1)
        return Moment(version=0, at=first[0].recorded_at if first else late.at)

    @staticmethod
    def _fact(versions: Sequence[Fact], made: dict[FactKey, Recorded]) -> TimelineFact:
        items = [made.get(fact.key) for fact in versions]
        events = [None if item is None else TimelineEvent.of(item) for item in items]
        return TimelineFact(versions=tuple(versions), events=tuple(events))
