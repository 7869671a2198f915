"""The state of a ledger as the fold of its events, and the checks before a fact changes.

``change_of`` is the single meaning of every event for facts: the facts table and the indexes
apply it too. It is total: an event that it does not know, or that comes too late, changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import singledispatch

from attrs import evolve, field, frozen

from remembrancer.domain.errors import NotFound
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
    RelationAsserted,
    RelationEnded,
)
from remembrancer.domain.facts.fact import Fact, FactId, FactStatus, Interval, MessageId, Metadata
from remembrancer.domain.recorded import Recorded
from remembrancer.domain.text import names


@frozen(kw_only=True)
class FactChange:
    """One step in a fact's history: the version that ended (``None``: it is new) and the next."""

    before: Fact | None
    after: Fact


def fact_id_of(event: Event) -> FactId | None:
    """The fact that an event is about, if it is about one."""
    return getattr(event, "fact_id", None)


def change_of(recorded: Recorded, current: Fact | None) -> FactChange | None:
    """What an event does to the fact that it is about.

    Args:
        recorded: the event with its envelope.
        current: the latest version of that fact, ``None`` if the ledger has none.
    """
    event = recorded.event
    if isinstance(event, FactAdded):
        return (
            None if current is not None else FactChange(before=None, after=_born(event, recorded))
        )
    if current is None or current.status is not FactStatus.ACTIVE:
        return None
    after = _next(event, current)
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


def _born(event: FactAdded, recorded: Recorded) -> Fact:
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
        created_at=recorded.recorded_at,
        valid=event.valid,
        recorded=Interval(start=recorded.recorded_at),
        expires_at=event.expires_at,
        reason=event.reason,
    )


@singledispatch
def _next(_event: object, _fact: Fact) -> Fact | None:
    return None


@_next.register
def _(event: FactRevised, fact: Fact) -> Fact:
    return evolve(
        fact,
        text=fact.text if event.text is None else event.text,
        metadata=fact.metadata if event.metadata is None else event.metadata,
        evidence=fact.evidence + tuple(e for e in event.evidence if e not in fact.evidence),
        entities=fact.entities if event.entities is None else event.entities,
        expires_at=fact.expires_at if event.expires_at is None else event.expires_at,
    )


@_next.register
def _(event: FactSuperseded, fact: Fact) -> Fact:
    return evolve(
        fact,
        status=FactStatus.SUPERSEDED,
        superseded_by=event.by,
        valid=Interval(start=fact.valid.start, end=event.ended_at),
    )


@_next.register
def _(event: FactReaffirmed, fact: Fact) -> Fact:
    return evolve(
        fact,
        reaffirmed=fact.reaffirmed + 1,
        evidence=fact.evidence + tuple(e for e in event.evidence if e not in fact.evidence),
    )


@_next.register
def _(_event: FactRetracted, fact: Fact) -> Fact:
    return evolve(fact, status=FactStatus.RETRACTED)


@_next.register
def _(_event: FactExpired, fact: Fact) -> Fact:
    return evolve(fact, status=FactStatus.EXPIRED)


@_next.register
def _(event: FeedbackGiven, fact: Fact) -> Fact:
    return evolve(fact, feedback=fact.feedback + event.score)


@frozen(kw_only=True)
class LedgerState:
    """All versions of all facts (oldest first), and the messages that wait for extraction."""

    version: int = 0
    facts: dict[FactId, tuple[Fact, ...]] = field(factory=dict)
    pending: frozenset[MessageId] = frozenset()

    def current(self) -> list[Fact]:
        """The latest version of every fact, whatever its status."""
        return [versions[-1] for versions in self.facts.values()]


def fold(history: Iterable[Recorded], state: LedgerState | None = None) -> LedgerState:
    """Apply events, in ledger order, to a state (by default the empty one)."""
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


def revise(
    fact: Fact,
    *,
    text: str | None,
    metadata: Metadata | None,
    reason: str = "",
    open_relations: Sequence[RelationAsserted] = (),
) -> list[Event]:
    """Decide on a caller's correction of a fact; one that would change nothing makes no event.

    A relation of which the old text named an end that the new one does not name was an error too:
    it ends where it began.

    Args:
        fact: its latest version.
        text: the new text, ``None`` to leave it.
        metadata: the new metadata as a whole, ``None`` to leave it.
        reason: kept in the events.
        open_relations: relations of the fact that have not ended, as asserted.

    Raises:
        NotFound: the fact is not active any more.
    """
    _require_active(fact)
    new_text = None if text is None or text == fact.text else text
    new_metadata = None if metadata is None or _same(metadata, fact.metadata) else metadata
    if new_text is None and new_metadata is None:
        return []
    return [
        FactRevised(fact_id=fact.fact_id, text=new_text, metadata=new_metadata, reason=reason),
        *(
            RelationEnded(
                relation_id=relation.relation_id,
                ended_at=relation.valid.start or fact.occurred_at,
                reason=reason,
            )
            for relation in open_relations
            if new_text is not None
            and any(
                names(fact.text, end) and not names(new_text, end)
                for end in (relation.subject, relation.object)
            )
        ),
    ]


def _same(one: object, other: object) -> bool:
    """Whether two JSON values are one, where Python takes ``True`` for ``1``."""
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return one.keys() == other.keys() and all(_same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(map(_same, one, other))
    return type(one) is type(other) and one == other


def retract(fact: Fact, *, reason: str = "") -> list[Event]:
    """Decide on withdrawing a fact.

    Raises:
        NotFound: the fact is not active any more.
    """
    _require_active(fact)
    return [FactRetracted(fact_id=fact.fact_id, reason=reason)]


def _require_active(fact: Fact) -> None:
    if fact.status is not FactStatus.ACTIVE:
        raise NotFound(f"fact {fact.fact_id} is {fact.status.value}, only its history can be read")
