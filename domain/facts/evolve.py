"""Fold events into facts and into the state of a ledger.

``changes_of`` defines the effect of every event on facts; decisions, the facts table and the
indexes use it, too. It is total: an unknown event, or an event that does not fit the status of its
fact, changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime
from functools import singledispatch
from typing import TypeAlias

from attrs import evolve, field, frozen

from remembrancer.domain.events import (
    Event,
    FactAdded,
    FactCorrected,
    FactExpired,
    FactReaffirmed,
    FactRestored,
    FactRetracted,
    FactRevised,
    FactsRivalled,
    FactSuperseded,
    FactUnblocked,
    FeedbackGiven,
    InferenceRecorded,
    MessageObserved,
    PipelineDescribed,
)
from remembrancer.domain.facts.fact import (
    Fact,
    FactId,
    FactKey,
    FactStatus,
    Interval,
    MessageId,
    clipped,
    joined,
)
from remembrancer.domain.recorded import Recorded

Latest: TypeAlias = Callable[[FactId], Fact | None]
"""Looks up the latest version of a fact of the ledger, ``None`` if it has none."""

Version: TypeAlias = Callable[[FactKey], Fact | None]
"""Looks up one version of a fact of the ledger."""


@frozen(kw_only=True)
class FactChange:
    """One change of a fact: the version that ended (``None`` for a new fact) and the next one."""

    before: Fact | None
    after: Fact


def fact_id_of(event: Event) -> FactId | None:
    """The id of the fact that an event concerns; ``None`` if it concerns none, or several."""
    return getattr(event, "fact_id", None)


def fact_ids_of(event: Event) -> tuple[FactId, ...]:
    """The ids of the facts that an event names. It may change the rivals of these facts, too."""
    if isinstance(event, FactsRivalled):
        return (event.one, event.other)
    fact_id = fact_id_of(event)
    return () if fact_id is None else (fact_id,)


def restored_key(event: Event) -> FactKey | None:
    """The version that an event brings back, if it brings one back."""
    return (event.fact_id, event.to_version) if isinstance(event, FactRestored) else None


def changes_of(event: Event, at: datetime, latest: Latest, version: Version) -> list[FactChange]:
    """The changes that an event makes to facts, the one that it names first.

    A fact that ends is no rival any more, so its rivals change, too.

    Args:
        event: an event of the ledger.
        at: when it was recorded.
        latest: looks up the facts that ``fact_ids_of`` names, and their rivals.
        version: looks up ``restored_key``.
    """
    if isinstance(event, FactsRivalled):
        return _rivalled(event, at, latest)
    fact_id = fact_id_of(event)
    if fact_id is None:
        return []
    current = latest(fact_id)
    if isinstance(event, FactAdded):
        return [] if current else [FactChange(before=None, after=first_version(event, at))]
    if current is None:
        return []
    after = _next(event, current, version)
    if after is None:
        return []
    reason: str = getattr(event, "reason", "")
    if after.status is FactStatus.ACTIVE or not current.rivals:
        return [_step(current, after, at, reason)]
    return [
        _step(current, evolve(after, rivals=()), at, reason),
        *(
            _step(rival, _without_rival(rival, fact_id), at, reason)
            for rival in map(latest, current.rivals)
            if rival is not None
        ),
    ]


def _next(event: Event, fact: Fact, version: Version) -> Fact | None:
    """A fact after an event, with its version number kept; ``None`` if nothing changed."""
    if isinstance(event, FactRestored):
        earlier = version((event.fact_id, event.to_version))
        return None if earlier is None else evolve(earlier, rivals=fact.rivals)
    if isinstance(event, FactCorrected):
        return _corrected(event, fact)
    if isinstance(event, FactUnblocked):
        return evolve(fact, blocked=False) if fact.blocked else None
    return applied(event, fact) if fact.status is FactStatus.ACTIVE else None


def _step(current: Fact, after: Fact, at: datetime, reason: str) -> FactChange:
    return FactChange(
        before=evolve(current, recorded=Interval(start=current.recorded.start, end=at)),
        after=evolve(
            after, version=current.version + 1, reason=reason, recorded=Interval(start=at)
        ),
    )


def _rivalled(event: FactsRivalled, at: datetime, latest: Latest) -> list[FactChange]:
    one, other = latest(event.one), latest(event.other)
    if (
        one is None
        or other is None
        or event.one == event.other
        or event.other in one.rivals
        or FactStatus.ACTIVE is not one.status
        or FactStatus.ACTIVE is not other.status
    ):
        return []
    return [
        _step(fact, evolve(fact, rivals=(*fact.rivals, rival)), at, event.reason)
        for fact, rival in ((one, event.other), (other, event.one))
    ]


def _without_rival(fact: Fact, rival: FactId) -> Fact:
    return evolve(fact, rivals=tuple(each for each in fact.rivals if each != rival))


def _corrected(event: FactCorrected, fact: Fact) -> Fact:
    after = evolve(
        fact,
        text=fact.text if event.text is None else event.text,
        statement=fact.statement if event.statement is None else event.statement,
        entities=fact.entities if event.entities is None else event.entities,
    )
    if event.valid:
        valid, interruptions = joined(event.valid)
        after = evolve(after, valid=valid, interruptions=interruptions, told=event.told)
    reopened = fact.status is FactStatus.SUPERSEDED and after.valid.end is None
    status = event.status or (FactStatus.ACTIVE if reopened else None)
    if status is None or fact.status not in (FactStatus.ACTIVE, FactStatus.SUPERSEDED):
        return after
    return evolve(after, status=status, superseded_by=event.superseded_by)


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
        statement=event.statement,
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
    end, interruptions = clipped(fact.interruptions, event.ended_at)
    # A fact that was over before it began was a mistake, which never comes back.
    held = fact.valid.start is None or fact.valid.start < event.ended_at
    return evolve(
        fact,
        status=FactStatus.SUPERSEDED,
        superseded_by=event.by,
        valid=Interval(start=fact.valid.start, end=end),
        interruptions=tuple(interruptions),
        told=fact.claim if held and event.by is not None else None,
    )


@applied.register
def _(event: FactReaffirmed, fact: Fact) -> Fact:
    return evolve(
        fact,
        reaffirmed=fact.reaffirmed + 1,
        evidence=fact.evidence + tuple(e for e in event.evidence if e not in fact.evidence),
    )


@applied.register
def _(event: FactRetracted, fact: Fact) -> Fact:
    return evolve(fact, status=FactStatus.RETRACTED, blocked=event.block)


@applied.register
def _(_event: FactExpired, fact: Fact) -> Fact:
    return evolve(fact, status=FactStatus.EXPIRED)


@applied.register
def _(event: FeedbackGiven, fact: Fact) -> Fact:
    return evolve(fact, feedback=fact.feedback + event.score)


@frozen(kw_only=True)
class LedgerState:
    """All versions of all facts (oldest first), the messages pending extraction, and the digests
    of the pipelines that were described.
    """

    version: int = 0
    facts: dict[FactId, tuple[Fact, ...]] = field(factory=dict)
    pending: frozenset[MessageId] = frozenset()
    pipelines: frozenset[str] = frozenset()

    def current(self) -> list[Fact]:
        """The latest version of every fact, with any status."""
        return [versions[-1] for versions in self.facts.values()]

    def latest(self, fact_id: FactId) -> Fact | None:
        """The latest version of a fact."""
        versions = self.facts.get(fact_id)
        return versions[-1] if versions else None

    def at_version(self, key: FactKey) -> Fact | None:
        """One version of a fact."""
        fact_id, number = key
        versions = self.facts.get(fact_id, ())
        return versions[number - 1] if 0 < number <= len(versions) else None

    def changed(self, changes: Iterable[FactChange]) -> None:
        """Add the versions of changes; for a state that nobody else holds."""
        for change in changes:
            versions = self.facts.get(change.after.fact_id, ())
            kept = (*versions[:-1], change.before) if change.before else versions
            self.facts[change.after.fact_id] = (*kept, change.after)


def fold(history: Iterable[Recorded], state: LedgerState | None = None) -> LedgerState:
    """Apply events, in ledger order, to a state (empty by default)."""
    first = state or LedgerState()
    folded = evolve(first, facts=dict(first.facts))
    version, pending, pipelines = first.version, set(first.pending), set(first.pipelines)
    for recorded in history:
        version = recorded.version
        event = recorded.event
        if isinstance(event, MessageObserved) and event.extract:
            pending.add(event.message.message_id)
        elif isinstance(event, InferenceRecorded):
            pending.difference_update(event.messages)
        elif isinstance(event, PipelineDescribed):
            pipelines.add(event.digest)
        folded.changed(changes_of(event, recorded.recorded_at, folded.latest, folded.at_version))
    return evolve(
        folded, version=version, pending=frozenset(pending), pipelines=frozenset(pipelines)
    )
