"""A fact: one version of one belief, with valid time and transaction time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from itertools import pairwise
from typing import Any, NewType

from attrs import field, frozen

from remembrancer.domain.jsonable import to_jsonable
from remembrancer.domain.scope import Scope

FactId = NewType("FactId", str)
MessageId = NewType("MessageId", str)
FactKey = tuple[FactId, int]
"""A fact id and the number of one of its versions, counted from 1."""

Metadata = Mapping[str, Any]
"""JSON object: string keys; strings, numbers, booleans, nulls, lists and objects as values."""


class FactKind(StrEnum):
    """The kind of memory."""

    SEMANTIC = "semantic"
    EPISODIC = "episodic"
    PROCEDURAL = "procedural"


class FactStatus(StrEnum):
    """Status of a version. ``superseded``: was true and has ended; ``retracted``: withdrawn."""

    ACTIVE = "active"
    SUPERSEDED = "superseded"
    RETRACTED = "retracted"
    EXPIRED = "expired"


class ListedStatus(StrEnum):
    """The facts that a read asks for, by what became of them by the time of the read.

    ``active``: what reads return by default. ``superseded``: believed, and has ended.
    ``retracted``: withdrawn. ``expired``: past its ``expires_at``. ``rival``: active, with another
    answer beside it.
    """

    ACTIVE = "active"
    SUPERSEDED = "superseded"
    RETRACTED = "retracted"
    EXPIRED = "expired"
    RIVAL = "rival"


@frozen(kw_only=True)
class Interval:
    """A half-open span of time ``[start, end)``; ``None`` leaves that side unbounded."""

    start: datetime | None = None
    end: datetime | None = None

    def contains(self, moment: datetime) -> bool:
        """Whether ``moment`` (aware) lies inside."""
        return (self.start is None or self.start <= moment) and (
            self.end is None or moment < self.end
        )


def spans(valid: Interval, interruptions: Sequence[Interval]) -> tuple[Interval, ...]:
    """``valid`` without ``interruptions`` (in order, inside it), as spans in order."""
    starts = (valid.start, *(gap.end for gap in interruptions))
    ends = (*(gap.start for gap in interruptions), valid.end)
    return tuple(Interval(start=start, end=end) for start, end in zip(starts, ends, strict=True))


def holds(valid: Interval, interruptions: Sequence[Interval], moment: datetime) -> bool:
    """Whether ``moment`` (aware) lies in ``valid`` and in none of its ``interruptions``."""
    return valid.contains(moment) and not any(gap.contains(moment) for gap in interruptions)


def clipped(interruptions: Sequence[Interval], end: datetime) -> tuple[datetime, list[Interval]]:
    """The end and the interruptions of an interval that ends at ``end``, or before it if ``end`` is
    in an interruption.
    """
    kept: list[Interval] = []
    for gap in interruptions:
        assert gap.start is not None
        if gap.start >= end:
            break
        if gap.contains(end) or gap.end == end:
            return gap.start, kept
        kept.append(gap)
    return end, kept


def joined(spans_in_order: Sequence[Interval]) -> tuple[Interval, tuple[Interval, ...]]:
    """The inverse of ``spans``: the whole interval, and the interruptions in it."""
    whole = Interval(start=spans_in_order[0].start, end=spans_in_order[-1].end)
    gaps = pairwise(spans_in_order)
    return whole, tuple(Interval(start=one.end, end=next_.start) for one, next_ in gaps)


@frozen(kw_only=True)
class Evidence:
    """The message that a fact came from, and the words in it (``None``: all of it)."""

    message_id: MessageId
    quote: str | None = None


@frozen(kw_only=True)
class Statement:
    """A fact as a caller stated it: "user", "lives in", "Rome"."""

    subject: str
    predicate: str
    value: str


@frozen(kw_only=True)
class Fact:
    """One version of one belief.

    ``valid`` is valid time: when the fact holds in the world, except in its ``interruptions``
    (in order, inside ``valid``). ``told`` is the interval that was told, if other facts in the slot
    cut it (``None``: it is ``valid``). ``recorded`` is transaction time: when the ledger held this
    version. ``occurred_at`` is when it was said. ``slot`` names a question with one answer at a
    time (``caroline/residence``); facts in one slot supersede each other. ``statement`` is set if
    a caller stated the fact. ``rivals`` are the active facts that give another answer to the same
    question. ``blocked``: it was withdrawn, and is not to be drawn again until its owner says it
    anew. ``reason`` explains why this version was created.
    """

    fact_id: FactId
    version: int
    scope: Scope
    text: str
    kind: FactKind = FactKind.SEMANTIC
    metadata: Metadata = field(factory=dict)
    evidence: tuple[Evidence, ...] = ()
    speaker: str | None = None
    entities: tuple[str, ...] = ()
    slot: str | None = None
    statement: Statement | None = None
    occurred_at: datetime
    created_at: datetime
    valid: Interval = Interval()
    interruptions: tuple[Interval, ...] = ()
    told: Interval | None = None
    recorded: Interval
    expires_at: datetime | None = None
    status: FactStatus = FactStatus.ACTIVE
    superseded_by: FactId | None = None
    rivals: tuple[FactId, ...] = ()
    reaffirmed: int = 0
    feedback: int = 0
    blocked: bool = False
    reason: str = ""

    @property
    def key(self) -> FactKey:
        """The id and the version."""
        return (self.fact_id, self.version)

    @property
    def updated_at(self) -> datetime:
        """When the ledger recorded this version."""
        assert self.recorded.start is not None
        return self.recorded.start

    @property
    def claim(self) -> Interval:
        """The interval that was told, whatever other facts in the slot cut from it."""
        return self.told or self.valid

    @property
    def intervals(self) -> tuple[Interval, ...]:
        """The spans of valid time, in order: ``valid`` without its ``interruptions``."""
        return spans(self.valid, self.interruptions)

    def holds_at(self, moment: datetime) -> bool:
        """Whether the fact holds in the world at ``moment`` (aware)."""
        return holds(self.valid, self.interruptions, moment)

    def visible(self, *, now: datetime, as_of: datetime | None, valid_at: datetime | None) -> bool:
        """Whether a read at these times returns this version.

        Args:
            now: facts that expired by then are not visible. Pass ``as_of`` for reads of the past:
                later expiries had not happened then.
            as_of: transaction time; ``None`` for the latest version.
            valid_at: valid time at which the fact must hold; ``None`` for all facts that have not
                ended by ``now``, future and interrupted ones included.
        """
        known = self.recorded.end is None if as_of is None else self.recorded.contains(as_of)
        return (
            known
            and self.status in (FactStatus.ACTIVE, FactStatus.SUPERSEDED)
            and (self.expires_at is None or now < self.expires_at)
            and (
                self.holds_at(valid_at)
                if valid_at is not None
                else self.valid.end is None or now < self.valid.end
            )
        )

    def listed(
        self,
        status: ListedStatus | None,
        *,
        now: datetime,
        as_of: datetime | None,
        valid_at: datetime | None,
    ) -> bool:
        """Whether a read that asks for facts of a status returns this version.

        Args:
            status: ``None`` and ``active`` mean ``visible``.
            now: see ``visible``.
            as_of: see ``visible``.
            valid_at: valid time at which the fact must hold; ``None`` for any time.
        """
        if status in (None, ListedStatus.ACTIVE, ListedStatus.RIVAL):
            asked = status is not ListedStatus.RIVAL or bool(self.rivals)
            return asked and self.visible(now=now, as_of=as_of, valid_at=valid_at)
        known = self.recorded.end is None if as_of is None else self.recorded.contains(as_of)
        if not known or (valid_at is not None and not self.holds_at(valid_at)):
            return False
        return status == self._became(now)

    def _became(self, now: datetime) -> str:
        """The status by ``now``, whether an event has recorded it or not."""
        if self.status is FactStatus.RETRACTED:
            return ListedStatus.RETRACTED
        if self.status is FactStatus.EXPIRED or (
            self.expires_at is not None and self.expires_at <= now
        ):
            return ListedStatus.EXPIRED
        ended = self.valid.end is not None and self.valid.end <= now
        return ListedStatus.SUPERSEDED if ended else ListedStatus.ACTIVE

    def to_dict(self) -> dict[str, Any]:
        """All fields as JSON values; times in ISO 8601."""
        return {**to_jsonable(self), "updated_at": self.updated_at.isoformat()}
