"""Pure functions from decisions to events: verdicts, updates, retractions, expiries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from attrs import evolve, frozen

from remembrancer.domain.conversation import Message
from remembrancer.domain.errors import NotFound
from remembrancer.domain.events import (
    Event,
    FactAdded,
    FactCorrected,
    FactExpired,
    FactReaffirmed,
    FactRetracted,
    FactRevised,
    FactsRivalled,
    FactSuperseded,
    FactUnblocked,
    InferenceRecorded,
    Outcome,
    RelationAsserted,
    RelationEnded,
)
from remembrancer.domain.facts.evolve import changes_of
from remembrancer.domain.facts.fact import (
    Fact,
    FactId,
    FactKey,
    FactStatus,
    Interval,
    Metadata,
)
from remembrancer.domain.facts.timeline import Retiming
from remembrancer.domain.facts.verdicts import (
    Candidate,
    Decision,
    Proposal,
    ProposedRelation,
    Verdict,
    expires_before,
    judge,
)
from remembrancer.domain.text import names, normalised


@frozen(kw_only=True)
class Decided:
    """The decision about one candidate, and the events that carry it out."""

    candidate: Candidate
    verdict: Verdict
    events: tuple[Event, ...]


def decide(
    candidates: Sequence[Candidate],
    proposals: Sequence[Proposal],
    *,
    now: datetime,
    known: Mapping[FactId, Fact],
    messages: Sequence[Message],
    open_relations: Sequence[RelationAsserted],
) -> list[Decided]:
    """Judge proposals in order, each after applying the events of those before it.

    Args:
        candidates: the extracted candidates.
        proposals: one for each candidate.
        now: the time of the decision.
        known: the facts that a proposal may target, by id.
        messages: the messages that candidates quote.
        open_relations: relations asserted by known facts that have not ended.
    """
    facts = dict(known)
    still_open = {relation.relation_id: relation for relation in open_relations}
    by_id = {message.message_id: message for message in messages}
    decided: list[Decided] = []
    for candidate, proposal in zip(candidates, proposals, strict=True):
        verdict = judge(candidate, proposal, known=facts, messages=by_id)
        events = [
            *events_of(verdict, candidate, facts, list(still_open.values())),
            *_beside(verdict, proposal, facts),
        ]
        for event in events:
            if isinstance(event, RelationAsserted):
                still_open[event.relation_id] = event
            elif isinstance(event, RelationEnded):
                del still_open[event.relation_id]
            for change in changes_of(event, now, facts.get, _no_version):
                facts[change.after.fact_id] = change.after
        decided.append(Decided(candidate=candidate, verdict=verdict, events=tuple(events)))
    return decided


def _no_version(_key: FactKey) -> None:
    """No decision about a candidate brings an earlier version back."""


def _beside(verdict: Verdict, proposal: Proposal, facts: Mapping[FactId, Fact]) -> list[Event]:
    """What a candidate changes besides the facts that it supersedes."""
    if verdict.decision is Decision.IGNORE:
        return []
    unblocked = [FactUnblocked(fact_id=key, reason="said anew") for key in proposal.unblocks]
    if verdict.decision not in (Decision.ADD, Decision.SUPERSEDE):
        return [*unblocked]
    # A refused proposal changes no other fact.
    retimed = [
        each
        for each in proposal.retimed
        if verdict.decision is proposal.decision or each.fact_id == verdict.fact_id
    ]
    versions = {key: fact.version for key, fact in facts.items()}
    return [*retimings(retimed, versions, reason=verdict.reason), *unblocked]


def retimings(
    retimed: Sequence[Retiming], versions: Mapping[FactId, int], *, reason: str = ""
) -> list[FactCorrected]:
    """The corrections that give facts their new times.

    Args:
        retimed: the times.
        versions: the latest version of each fact; a new one has version 1.
        reason: kept in the events.
    """
    return [
        FactCorrected(
            fact_id=each.fact_id,
            version=versions.get(each.fact_id, 1),
            valid=each.valid,
            told=each.told,
            status=each.status,
            superseded_by=each.superseded_by,
            reason=reason,
        )
        for each in retimed
    ]


def events_of(
    verdict: Verdict,
    candidate: Candidate,
    known: Mapping[FactId, Fact],
    open_relations: Sequence[RelationAsserted] = (),
) -> list[Event]:
    """The events that carry out a verdict.

    A relation belongs to the fact that asserted it. Another fact with the same subject and
    predicate does not end it: people like, know and own many things, and a relation that can hold
    only once ends with its superseded fact. A revised fact asserts its relations again: repeated
    ones are not asserted twice, contradicted ones end (see ``_contradicted``).

    Args:
        verdict: the result of ``judge``.
        candidate: the candidate of the verdict.
        known: the facts that the verdict may target, by id.
        open_relations: relations asserted by known facts that have not ended.
    """
    if verdict.decision is Decision.IGNORE:
        return []
    if verdict.decision is Decision.ADD:
        return [
            added(candidate, _valid(candidate, verdict), verdict.reason),
            *_asserted(candidate, verdict),
            *(
                FactsRivalled(
                    one=candidate.fact_id, other=rival, slot=candidate.slot, reason=verdict.reason
                )
                for rival in verdict.rivals
            ),
        ]
    assert verdict.target is not None, "judge names the target of every other decision"
    target = known[verdict.target]
    if verdict.decision is Decision.SUPERSEDE:
        ended = [target, *(known[fact_id] for fact_id in verdict.also_ended)]
        return [
            added(candidate, _valid(candidate, verdict), verdict.reason),
            *(_superseded(fact, candidate, verdict) for fact in ended),
            *_asserted(candidate, verdict),
        ]
    if verdict.decision is Decision.REVISE:
        named = dict.fromkeys((*target.entities, *candidate.entities))
        own = [relation for relation in open_relations if relation.fact_id == target.fact_id]
        repeated = {_triple(relation) for relation in own}
        fresh = [one for one in candidate.relations if _triple(one) not in repeated]
        return [
            FactRevised(
                fact_id=target.fact_id,
                text=verdict.text,
                evidence=candidate.evidence,
                entities=tuple(named),
                reason=verdict.reason,
            ),
            *(
                RelationEnded(
                    relation_id=relation.relation_id,
                    ended_at=_end_within(relation.valid, candidate),
                    reason=verdict.reason,
                )
                for relation in own
                if _contradicted(relation, candidate.relations, verdict.text)
            ),
            *_asserted(evolve(candidate, relations=tuple(fresh)), verdict),
        ]
    if verdict.decision is Decision.REAFFIRM:
        return [
            FactReaffirmed(
                fact_id=target.fact_id, evidence=candidate.evidence, reason=verdict.reason
            ),
            *_taken_over(candidate, target, verdict),
        ]
    return [FactRetracted(fact_id=target.fact_id, reason=verdict.reason)]


def _taken_over(candidate: Candidate, target: Fact, verdict: Verdict) -> list[Event]:
    """What a reaffirmation adds to the fact: new metadata, and a later expiry. An agent that
    repeats what somebody else said adds nothing.
    """
    if candidate.agent_only and candidate.speaker != target.speaker:
        return []
    metadata = {**target.metadata, **candidate.metadata}
    later = expires_before(target.expires_at, candidate.expires_at)
    if _same(metadata, target.metadata) and not later:
        return []
    return [
        FactRevised(
            fact_id=target.fact_id,
            metadata=None if _same(metadata, target.metadata) else metadata,
            expires_at=candidate.expires_at if later else None,
            reason=verdict.reason,
        )
    ]


def added(candidate: Candidate, valid: Interval, reason: str = "") -> FactAdded:
    """The event that makes a candidate a fact, which holds within ``valid``."""
    return FactAdded(
        fact_id=candidate.fact_id,
        scope=candidate.scope,
        text=candidate.text,
        kind=candidate.kind,
        metadata=candidate.metadata,
        evidence=candidate.evidence,
        speaker=candidate.speaker,
        entities=candidate.entities,
        slot=candidate.slot,
        statement=candidate.statement,
        occurred_at=candidate.occurred_at,
        valid=valid,
        expires_at=candidate.expires_at,
        reason=reason,
    )


def _asserted(candidate: Candidate, verdict: Verdict) -> list[Event]:
    """The relations of a candidate, asserted by the fact that now represents it."""
    return [
        RelationAsserted(
            relation_id=relation.relation_id,
            scope=candidate.scope,
            subject=relation.subject,
            predicate=relation.predicate,
            object=relation.object,
            fact_id=verdict.fact_id,
            valid=_valid(candidate, verdict),
        )
        for relation in candidate.relations
    ]


def _triple(relation: ProposedRelation | RelationAsserted) -> tuple[str, str, str]:
    return (*_question(relation), normalised(relation.object))


def _question(relation: ProposedRelation | RelationAsserted) -> tuple[str, str]:
    """Subject and predicate, normalised."""
    return (normalised(relation.subject), normalised(relation.predicate))


def _contradicted(relation: RelationAsserted, new: Sequence[ProposedRelation], text: str) -> bool:
    """Whether ``new`` gives another object for the same subject and predicate, and the new text
    does not name the old object: "Ann likes tea and coffee" does not contradict "Ann likes tea".
    """
    return (
        _question(relation) in {_question(one) for one in new}
        and _triple(relation) not in {_triple(one) for one in new}
        and not names(text, relation.object)
    )


def _valid(candidate: Candidate, verdict: Verdict) -> Interval:
    return Interval(start=candidate.valid.start, end=verdict.until or candidate.valid.end)


def _superseded(fact: Fact, candidate: Candidate, verdict: Verdict) -> FactSuperseded:
    return FactSuperseded(
        fact_id=fact.fact_id,
        by=candidate.fact_id,
        ended_at=_end_within(fact.valid, candidate),
        reason=verdict.reason,
    )


def _end_within(valid: Interval, candidate: Candidate) -> datetime:
    """When a candidate ends a valid interval."""
    end = candidate.valid.start or candidate.occurred_at
    # A fact can't end before its start, and the end of an ended fact is not moved later.
    if valid.end is not None:
        end = min(end, valid.end)
    return end if valid.start is None else max(end, valid.start)


def expire(due: Sequence[Fact]) -> list[Event]:
    """One expiry event for each fact that is past ``expires_at``."""
    return [FactExpired(fact_id=fact.fact_id) for fact in due]


def lost(inference: InferenceRecorded) -> InferenceRecorded:
    """An inference on which no decision is based after all. It names no messages that are done, so
    that they stay pending, unless another writer is done with them.
    """
    outcome = inference.outcome if inference.outcome is Outcome.VAIN else Outcome.LOST
    return evolve(inference, outcome=outcome, messages=())


def revise(
    fact: Fact,
    *,
    text: str | None,
    metadata: Metadata | None,
    reason: str = "",
    open_relations: Sequence[RelationAsserted] = (),
) -> list[Event]:
    """Decide on a caller's update of a fact; an update that changes nothing returns no events.

    A relation ends, at its own start, if the old text names its subject (or object) and the new
    text does not: the relation was an error, too.

    Args:
        fact: its latest version.
        text: the new text, ``None`` to keep the old one.
        metadata: the new metadata, replaced as a whole; ``None`` to keep the old one.
        reason: kept in the events.
        open_relations: relations asserted by the fact that have not ended.

    Raises:
        NotFound: the fact is not active.
    """
    _require_active(fact)
    new_text = None if text is None or text == fact.text else text
    new_metadata = None if metadata is None or _same(metadata, fact.metadata) else metadata
    if new_text is None and new_metadata is None:
        return []
    return [
        FactRevised(fact_id=fact.fact_id, text=new_text, metadata=new_metadata, reason=reason),
        *(() if new_text is None else misnamed(fact, new_text, open_relations, reason=reason)),
    ]


def misnamed(
    fact: Fact, text: str, open_relations: Sequence[RelationAsserted], *, reason: str = ""
) -> list[Event]:
    """The ends of the relations that were errors, at their starts: the old text of their fact names
    their subject or object, and the new ``text`` does not.
    """
    return [
        RelationEnded(
            relation_id=relation.relation_id,
            ended_at=relation.valid.start or fact.occurred_at,
            reason=reason,
        )
        for relation in open_relations
        if any(
            names(fact.text, end) and not names(text, end)
            for end in (relation.subject, relation.object)
        )
    ]


def _same(one: object, other: object) -> bool:
    """Whether two JSON values are equal in type and value; in Python ``True == 1``."""
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return one.keys() == other.keys() and all(_same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(map(_same, one, other))
    return type(one) is type(other) and one == other


def retract(fact: Fact, *, block: bool = False, reason: str = "") -> list[Event]:
    """Decide on the retraction of a fact.

    Args:
        fact: its latest version.
        block: whether it is not to be drawn again; see ``FactRetracted``.
        reason: kept in the event.

    Raises:
        NotFound: the fact is not active.
    """
    _require_active(fact)
    return [FactRetracted(fact_id=fact.fact_id, block=block, reason=reason)]


def _require_active(fact: Fact) -> None:
    if fact.status is not FactStatus.ACTIVE:
        raise NotFound(f"fact {fact.fact_id} is {fact.status.value}, only its history can be read")
