"""Fold events into facts and into the state of a ledger.

``change_of`` defines the effect of every event on a fact; the facts table and the indexes use it,
too. It is total: an unknown event, or an event for a fact that is not active, changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from functools import singledispatch

from attrs import evolve, field, frozen

from remembrancer.domain.events import (
    Event,
    FactAdded,
    FactExpired,
    FactReaffirmed,
    FactRetracted,
    FactRevised,
    FactSuperseded,
    FeedbackGiven,
    InferenceRecorded,
    MessageObserved,
)
from remembrancer.domain.facts.fact import Fact, FactId, FactStatus, Interval, MessageId
from remembrancer.domain.recorded import Recorded


@frozen(kw_only=True)
class FactChange:
    """One change of a fact: the version that ended (``None`` for a new fact) and the next one."""

    before: Fact | None
    after: Fact


def fact_id_of(event: Event) -> FactId | None:
    """The id of the fact that an event concerns, ``None`` if it concerns none."""
    return getattr(event, "fact_id", None)


def change_of(recorded: Recorded, current: Fact | None) -> FactChange | None:
    """The change that an event makes to its fact, ``None`` if it changes nothing.

    Args:
        recorded: the event with its envelope.
        current: the latest version of that fact, ``None`` if the ledger has none.
    """
    event = recorded.event
    if isinstance(event, FactAdded):
        return (
            None
            if current is not None
            else FactChange(before=None, after=first_version(event, recorded.recorded_at))
        )
    if current is None or current.status is not FactStatus.ACTIVE:
        return None
    after = applied(event, current)
    if after is None:
        return None
    return FactChange(
        before=evolve(
            current, recorded=Interval(start=current.recorded.start, end=recorded.recorded_at)
        ),
        after=evolve(
            after,
            version=current.version + 1,
            reason=getattr(event, "reason", ""),
            recorded=Interval(start=recorded.recorded_at),
        ),
    )


def first_version(event: FactAdded, recorded_at: datetime) -> Fact:
    """Version 1 of the fact that an event adds."""
    return Fact(
        fact_id=event.fact_id,
        version=1,
        scope=event.scope,
        text=event.text,
        kind=event.kind,
        metadata=event.metadata,
        evidence=event.evidence,
        speaker=event.speaker,
        entities=event.entities,
        slot=event.slot,
        occurred_at=event.occurred_at,
        created_at=recorded_at,
        valid=event.valid,
        recorded=Interval(start=recorded_at),
        expires_at=event.expires_at,
        reason=event.reason,
    )


@singledispatch
def applied(_event: object, _fact: Fact) -> Fact | None:
    """An active fact after an event, with its version number kept; ``None`` if nothing changed."""
    return None


@applied.register
def _(event: FactRevised, fact: Fact) -> Fact:
    return evolve(
        fact,
        text=fact.text if event.text is None else event.text,
        metadata=fact.metadata if event.metadata is None else event.metadata,
        evidence=fact.evidence + tuple(e for e in event.evidence if e not in fact.evidence),
        entities=fact.entities if event.entities is None else event.entities,
        expires_at=fact.expires_at if event.expires_at is None else event.expires_at,
    )


@applied.register
def _(event: FactSuperseded, fact: Fact) -> Fact:
    return evolve(
        fact,
        status=FactStatus.SUPERSEDED,
        superseded_by=event.by,
        valid=Interval(start=fact.valid.start, end=event.ended_at),
    )


@applied.register
def _(event: FactReaffirmed, fact: Fact) -> Fact:
    return evolve(
        fact,
        reaffirmed=fact.reaffirmed + 1,
        evidence=fact.evidence + tuple(e for e in event.evidence if e not in fact.evidence),
    )


@applied.register
def _(_event: FactRetracted, fact: Fact) -> Fact:
    return evolve(fact, status=FactStatus.RETRACTED)


@applied.register
def _(_event: FactExpired, fact: Fact) -> Fact:
    return evolve(fact, status=FactStatus.EXPIRED)


@applied.register
def _(event: FeedbackGiven, fact: Fact) -> Fact:
    return evolve(fact, feedback=fact.feedback + event.score)


@frozen(kw_only=True)
class LedgerState:
    """All versions of all facts (oldest first), and the messages pending extraction."""

    version: int = 0
    facts: dict[FactId, tuple[Fact, ...]] = field(factory=dict)
    pending: frozenset[MessageId] = frozenset()

    def current(self) -> list[Fact]:
        """The latest version of every fact, with any status."""
        return [versions[-1] for versions in self.facts.values()]


def fold(history: Iterable[Recorded], state: LedgerState | None = None) -> LedgerState:
    """Apply events, in ledger order, to a state (empty by default)."""
    state = state or LedgerState()
    version, facts, pending = state.version, dict(state.facts), set(state.pending)
    for recorded in history:
        version = recorded.version
        event = recorded.event
        if isinstance(event, MessageObserved) and event.extract:
            pending.add(event.message.message_id)
        elif isinstance(event, InferenceRecorded):
            pending.difference_update(event.messages)
        fact_id = fact_id_of(event)
        if fact_id is None:
            continue
        versions = facts.get(fact_id, ())
        change = change_of(recorded, versions[-1] if versions else None)
        if change is not None:
            kept = (*versions[:-1], change.before) if change.before else versions
            facts[fact_id] = (*kept, change.after)
    return LedgerState(version=version, facts=facts, pending=frozenset(pending))
