"""From what extraction and reconciliation propose to what the ledger will record.

Extraction yields candidates, a reconciler yields proposals about them, and ``judge`` turns both
into verdicts. Proposals may come from a language model, so nothing in them is trusted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from enum import StrEnum

from attrs import evolve, field, frozen

from remembrancer.domain.conversation import Message
from remembrancer.domain.events import (
    Event,
    FactAdded,
    FactReaffirmed,
    FactRetracted,
    FactRevised,
    FactSuperseded,
    RelationAsserted,
    RelationEnded,
)
from remembrancer.domain.facts.fact import (
    Evidence,
    Fact,
    FactId,
    FactKind,
    FactStatus,
    Interval,
    MessageId,
    Metadata,
)
from remembrancer.domain.scope import Scope
from remembrancer.domain.text import names, normalised


class Decision(StrEnum):
    """What is done about a candidate."""

    ADD = "add"
    REVISE = "revise"
    SUPERSEDE = "supersede"
    REAFFIRM = "reaffirm"
    RETRACT = "retract"
    IGNORE = "ignore"


@frozen(kw_only=True)
class ProposedRelation:
    """How a candidate says that two entities stand to each other, as long as it is valid.
    ``relation_id`` is the id that the relation gets if it is asserted.
    """

    relation_id: str
    subject: str
    predicate: str
    object: str


@frozen(kw_only=True)
class Candidate:
    """A fact that extraction proposes. ``fact_id`` is the id that it gets if it is added.

    ``agent_only`` says that no user's words stand behind it: it is kept as what the agent said,
    and changes nothing that somebody else said.
    """

    fact_id: FactId
    scope: Scope
    text: str
    occurred_at: datetime
    kind: FactKind = FactKind.SEMANTIC
    metadata: Metadata = field(factory=dict)
    evidence: tuple[Evidence, ...] = ()
    speaker: str | None = None
    entities: tuple[str, ...] = ()
    slot: str | None = None
    valid: Interval = Interval()
    expires_at: datetime | None = None
    relations: tuple[ProposedRelation, ...] = ()
    agent_only: bool = False


@frozen(kw_only=True)
class Skipped:
    """A statement that extraction left out, and why."""

    message_id: MessageId
    text: str
    reason: str


@frozen(kw_only=True)
class Proposal:
    """What a reconciler wants done about a candidate.

    ``target`` is a known fact's id. A superseding candidate may end further facts besides
    (``also_ends``), and a candidate that is added may itself be over since ``until``, as old news
    that comes late is.
    """

    decision: Decision
    target: FactId | None = None
    also_ends: tuple[FactId, ...] = ()
    until: datetime | None = None
    text: str | None = None
    reason: str = ""


@frozen(kw_only=True)
class Verdict:
    """What was decided. ``fact_id`` is the fact that now stands for the candidate (``None`` if
    none does); ``target`` is the older fact that was acted on, where there is one, and
    ``also_ended`` are further ones that it superseded.
    """

    decision: Decision
    text: str
    reason: str
    fact_id: FactId | None = None
    target: FactId | None = None
    also_ended: tuple[FactId, ...] = ()
    until: datetime | None = None


def judge(
    candidate: Candidate,
    proposal: Proposal,
    *,
    known: Mapping[FactId, Fact],
    messages: Mapping[MessageId, Message],
) -> Verdict:
    """Turn a proposal into a verdict, refusing what is unsafe.

    A proposal that names an unknown or inactive target, or one of another scope, falls back to
    adding the candidate; a candidate whose evidence is not in the messages is ignored.

    Args:
        candidate: what extraction found.
        proposal: what the reconciler wants.
        known: the facts that the reconciler was shown, by id.
        messages: the messages that evidence may name, by id.
    """
    forged = _forged_evidence(candidate.evidence, messages)
    if forged is not None:
        return _ignore(candidate, forged)
    if proposal.decision is Decision.IGNORE:
        return _ignore(candidate, proposal.reason)
    if proposal.decision is Decision.ADD:
        return evolve(_add(candidate, proposal.reason), until=_until(candidate, proposal))
    target = known.get(proposal.target) if proposal.target is not None else None
    refusal = _refusal(candidate, target)
    if refusal is None and proposal.decision is not Decision.REAFFIRM:
        refusal = _presumption(candidate, target)
    if target is None or refusal is not None:
        if proposal.decision is Decision.RETRACT:
            return _ignore(candidate, f"retraction refused: {refusal}")
        return _add(candidate, f"{proposal.decision.value} refused: {refusal}")
    text = (proposal.text or "").strip()
    if proposal.decision is Decision.REVISE and text in ("", target.text):
        return Verdict(
            decision=Decision.REAFFIRM,
            text=target.text,
            reason="the revision would change nothing",
            fact_id=target.fact_id,
            target=target.fact_id,
        )
    return Verdict(
        decision=proposal.decision,
        text=text or candidate.text,
        reason=proposal.reason,
        fact_id={
            Decision.SUPERSEDE: candidate.fact_id,
            Decision.RETRACT: None,
        }.get(proposal.decision, target.fact_id),
        target=target.fact_id,
        also_ended=_also_ended(candidate, proposal, known),
    )


def events_of(
    verdict: Verdict,
    candidate: Candidate,
    known: Mapping[FactId, Fact],
    open_relations: Sequence[RelationAsserted] = (),
) -> list[Event]:
    """The events that carry out a verdict.

    A relation belongs to the fact that told it. So none is ended because another fact tells one of
    the same subject and predicate: people like, know and own many things, and what can hold only
    once ends with the fact that is superseded. But a fact that is revised tells its relations anew:
    what it repeats is not asserted twice, and what it contradicts ends (see ``_contradicted``).

    Args:
        verdict: what ``judge`` decided.
        candidate: what it was decided about.
        known: the facts that the verdict may name, by id.
        open_relations: relations of any of them that have not ended, as asserted.
    """
    if verdict.decision is Decision.IGNORE:
        return []
    if verdict.decision is Decision.ADD:
        return [_added(candidate, verdict), *_asserted(candidate, verdict)]
    assert verdict.target is not None, "judge names the target of every other decision"
    target = known[verdict.target]
    if verdict.decision is Decision.SUPERSEDE:
        ended = [target, *(known[fact_id] for fact_id in verdict.also_ended)]
        return [
            _added(candidate, verdict),
            *(_superseded(fact, candidate, verdict) for fact in ended),
            *_asserted(candidate, verdict),
        ]
    if verdict.decision is Decision.REVISE:
        named = dict.fromkeys((*target.entities, *candidate.entities))
        told = [relation for relation in open_relations if relation.fact_id == target.fact_id]
        repeated = {_triple(relation) for relation in told}
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
                for relation in told
                if _contradicted(relation, candidate.relations, verdict.text)
            ),
            *_asserted(evolve(candidate, relations=tuple(fresh)), verdict),
        ]
    if verdict.decision is Decision.REAFFIRM:
        return [
            FactReaffirmed(
                fact_id=target.fact_id, evidence=candidate.evidence, reason=verdict.reason
            )
        ]
    return [FactRetracted(fact_id=target.fact_id, reason=verdict.reason)]


def _added(candidate: Candidate, verdict: Verdict) -> FactAdded:
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
        occurred_at=candidate.occurred_at,
        valid=_valid(candidate, verdict),
        expires_at=candidate.expires_at,
        reason=verdict.reason,
    )


def _asserted(candidate: Candidate, verdict: Verdict) -> list[Event]:
    """The relations that come with a fact, told by the fact that now stands for the candidate."""
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
    """What a relation answers: who, and in which relation."""
    return (normalised(relation.subject), normalised(relation.predicate))


def _contradicted(relation: RelationAsserted, anew: Sequence[ProposedRelation], text: str) -> bool:
    """Whether what a fact told is answered otherwise now, and its new text does not say it besides:
    "Ann likes tea and coffee" takes nothing back of "Ann likes tea".
    """
    return (
        _question(relation) in {_question(one) for one in anew}
        and _triple(relation) not in {_triple(one) for one in anew}
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


def _until(candidate: Candidate, proposal: Proposal) -> datetime | None:
    """The end of old news, unless it would come before its beginning."""
    start = candidate.valid.start
    if proposal.until is None or (start is not None and proposal.until <= start):
        return None
    return proposal.until


def _also_ended(
    candidate: Candidate, proposal: Proposal, known: Mapping[FactId, Fact]
) -> tuple[FactId, ...]:
    if proposal.decision is not Decision.SUPERSEDE:
        return ()
    return tuple(
        fact_id
        for fact_id in dict.fromkeys(proposal.also_ends)
        if fact_id != proposal.target
        and _refusal(candidate, known.get(fact_id)) is None
        and _presumption(candidate, known.get(fact_id)) is None
    )


def _end_within(valid: Interval, candidate: Candidate) -> datetime:
    """When a candidate ends what was valid so far."""
    end = candidate.valid.start or candidate.occurred_at
    # A correction of the beginning cannot end a fact before it began, and what is over stays over.
    if valid.end is not None:
        end = min(end, valid.end)
    return end if valid.start is None else max(end, valid.start)


def _add(candidate: Candidate, reason: str) -> Verdict:
    return Verdict(
        decision=Decision.ADD, text=candidate.text, reason=reason, fact_id=candidate.fact_id
    )


def _ignore(candidate: Candidate, reason: str) -> Verdict:
    return Verdict(decision=Decision.IGNORE, text=candidate.text, reason=reason)


def _refusal(candidate: Candidate, target: Fact | None) -> str | None:
    if target is None:
        return "the target is not a fact that was shown"
    if target.status is not FactStatus.ACTIVE:
        return f"the target is {target.status.value}"
    if target.scope.ledger != candidate.scope.ledger or (
        (target.scope.agent_id, target.scope.app_id)
        != (candidate.scope.agent_id, candidate.scope.app_id)
    ):
        return "the target belongs to another scope"
    return None


def _presumption(candidate: Candidate, target: Fact | None) -> str | None:
    if candidate.agent_only and (target is None or target.speaker != candidate.speaker):
        return "an agent's word changes nothing that somebody else said"
    return None


def _forged_evidence(
    evidence: Sequence[Evidence], messages: Mapping[MessageId, Message]
) -> str | None:
    for item in evidence:
        message = messages.get(item.message_id)
        if message is None:
            return "the evidence names a message that is not part of this conversation"
        if item.quote is not None and not message.holds(item.quote):
            return "the quoted evidence is not in the message"
    return None
