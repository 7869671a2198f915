"""One belief, in one of its versions, with both of its time intervals."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
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
    """What sort of memory it is."""

    SEMANTIC = "semantic"
    EPISODIC = "episodic"
    PROCEDURAL = "procedural"


class FactStatus(StrEnum):
    """Where a version stands. ``superseded`` was true and has ended; ``retracted`` is withdrawn."""

    ACTIVE = "active"
    SUPERSEDED = "superseded"
    RETRACTED = "retracted"
    EXPIRED = "expired"


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


@frozen(kw_only=True)
class Evidence:
    """The message that a fact came from, and the words in it (``None``: all of it)."""

    message_id: MessageId
    quote: str | None = None


@frozen(kw_only=True)
class Fact:
    """One version of one belief.

    ``valid`` is when it holds in the world, ``recorded`` is when the ledger held this version of
    it. ``occurred_at`` is when it was said. ``slot`` names what it answers when only one answer
    can hold at a time (``caroline/residence``); facts in one slot supersede each other.
    ``reason`` says why this version came to be.
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
    occurred_at: datetime
    created_at: datetime
    valid: Interval = Interval()
    recorded: Interval
    expires_at: datetime | None = None
    status: FactStatus = FactStatus.ACTIVE
    superseded_by: FactId | None = None
    reaffirmed: int = 0
    feedback: int = 0
    reason: str = ""

    @property
    def key(self) -> FactKey:
        """The id together with the version."""
        return (self.fact_id, self.version)

    @property
    def updated_at(self) -> datetime:
        """When the ledger recorded this version."""
        assert self.recorded.start is not None
        return self.recorded.start

    def visible(self, *, now: datetime, as_of: datetime | None, valid_at: datetime | None) -> bool:
        """Whether a read at these times sees this version.

        ``as_of`` (transaction time) asks what the ledger believed then; ``None`` asks for the
        latest. ``valid_at`` (valid time) asks what held then, strictly; ``None`` asks for all that
        has not ended by ``now``, plans for the future included. ``now`` is ``as_of`` itself where
        a reader travels back: what has expired since had not expired then.
        """
        known = self.recorded.end is None if as_of is None else self.recorded.contains(as_of)
        return (
            known
            and self.status in (FactStatus.ACTIVE, FactStatus.SUPERSEDED)
            and (self.expires_at is None or now < self.expires_at)
            and (
                self.valid.contains(valid_at)
                if valid_at is not None
                else self.valid.end is None or now < self.valid.end
            )
        )

    def to_dict(self) -> dict[str, Any]:
        """All fields in JSON's terms; times in ISO 8601."""
        return {**to_jsonable(self), "updated_at": self.updated_at.isoformat()}
