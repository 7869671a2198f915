"""Candidates, proposals and verdicts: the decision about each extracted fact.

Extraction returns candidates, a reconciler returns a proposal for each, and ``judge`` turns both
into verdicts. Proposals may come from a language model, so they are not trusted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from enum import StrEnum

from attrs import evolve, field, frozen

from remembrancer.domain.conversation import Message
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


class Decision(StrEnum):
    """The decision about a candidate."""

    ADD = "add"
    REVISE = "revise"
    SUPERSEDE = "supersede"
    REAFFIRM = "reaffirm"
    RETRACT = "retract"
    IGNORE = "ignore"


@frozen(kw_only=True)
class ProposedRelation:
    """A relation between two entities that a candidate proposes, valid as long as the candidate.
    ``relation_id`` is its id if it is asserted.
    """

    relation_id: str
    subject: str
    predicate: str
    object: str


@frozen(kw_only=True)
class Candidate:
    """A fact that extraction proposes. ``fact_id`` is its id if it is added.

    ``agent_only`` means that its evidence has no message by a user: it can be added, but can't
    change facts of other speakers.
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
    """A statement that extraction skipped, and why."""

    message_id: MessageId
    text: str
    reason: str


@frozen(kw_only=True)
class Proposal:
    """A reconciler's proposal for a candidate.

    ``target`` is the id of a known fact. ``also_ends`` are further facts that a superseding
    candidate ends. ``until`` is the end of valid time of an added candidate: old news that arrives
    late.
    """

    decision: Decision
    target: FactId | None = None
    also_ends: tuple[FactId, ...] = ()
    until: datetime | None = None
    text: str | None = None
    reason: str = ""


@frozen(kw_only=True)
class Verdict:
    """The decision about a candidate. ``fact_id`` is the fact that now represents the candidate
    (``None`` if there is none), ``target`` is the existing fact that the decision applies to, if
    any, and ``also_ended`` are further facts that the candidate superseded.
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
    """Turn a proposal into a verdict; refuse unsafe proposals.

    A proposal with an unknown or inactive target, or a target in another scope, falls back to
    adding the candidate (a retraction: to ignoring it). A candidate whose evidence is not in the
    messages is ignored.

    Args:
        candidate: the extracted candidate.
        proposal: the reconciler's proposal.
        known: the facts that the reconciler received, by id.
        messages: the messages that evidence may refer to, by id.
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
        refusal = _authorship_refusal(candidate, target)
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


def _until(candidate: Candidate, proposal: Proposal) -> datetime | None:
    """The proposed end, ``None`` if it is not after the start."""
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
        and _authorship_refusal(candidate, known.get(fact_id)) is None
    )


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


def _authorship_refusal(candidate: Candidate, target: Fact | None) -> str | None:
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
