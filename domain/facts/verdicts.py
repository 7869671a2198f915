"""Candidates, proposals and verdicts: the decision about each extracted fact.

Extraction returns candidates, a reconciler returns a proposal for each, and ``judge`` turns both
into verdicts. Proposals may come from a language model, so they are not trusted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

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
    Statement,
)
from remembrancer.domain.facts.timeline import Retiming
from remembrancer.domain.scope import Scope


class Refusal(StrEnum):
    """Codes of the reasons why a proposal was not carried out, or a draft made no candidate."""

    FOREIGN_MESSAGE = "foreign-message"
    FORGED_QUOTE = "forged-quote"
    UNKNOWN_TARGET = "unknown-target"
    INACTIVE_TARGET = "inactive-target"
    OTHER_SCOPE = "other-scope"
    AGENT_ONLY = "agent-only"
    NOTHING_NEW = "nothing-new"
    UNDECIDED = "undecided"
    INVENTED_WORD = "invented-word"
    LOST_WORD = "lost-word"
    MALFORMED = "malformed"
    EMPTY = "empty"
    TOO_LONG = "too-long"
    TOO_MANY = "too-many"
    TWICE = "twice"
    NO_QUOTE = "no-quote"
    UNSUPPORTED = "unsupported"
    NOT_DONE = "not-done"
    NO_STEP = "no-step"
    UNFINISHED = "unfinished"
    BLOCKED = "blocked"


class Source(NamedTuple):
    """Where a candidate came from: the place of the inference among those of its request that made
    candidates, and that of the item in its output; both count from 0.
    """

    inference: int
    item: int


class RefusedItem(NamedTuple):
    """An item of a model's answer that made no candidate, and why."""

    source: Source
    code: Refusal


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
    change facts of other speakers. ``sources`` are the inferences and items that it came from;
    ``dropped`` names what a check took away from it.
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
    statement: Statement | None = None
    sources: tuple[Source, ...] = ()
    dropped: tuple[str, ...] = ()


@frozen(kw_only=True)
class Skipped:
    """What is not remembered, and why.

    Args:
        text: a statement that extraction skipped, or what could not be read: the type of a part,
            the name of a key, or ``message``.
        reason: why; in words.
        message_id: the message of a statement.
        index: the place of the message in the call, from 0, if it or a part could not be read.
        part: the place of the part in its content, from 0; ``None`` for all of the message, and
            for what stands beside the content.
    """

    text: str
    reason: str
    message_id: MessageId | None = None
    index: int | None = None
    part: int | None = None


@frozen(kw_only=True)
class Proposal:
    """A reconciler's proposal for a candidate.

    ``target`` is the id of a known fact. ``also_ends`` are further facts that a superseding
    candidate ends. ``until`` is the end of valid time of an added candidate: old news that arrives
    late. ``rivals`` are facts that give another answer to the same question as an added candidate,
    and go on. ``retimed`` are the times of facts that an added candidate changes, its own included;
    ``unblocks`` are withdrawn facts that a candidate says anew. ``refused``: the reconciler's
    reason for not proposing what it was told to.
    """

    decision: Decision
    target: FactId | None = None
    also_ends: tuple[FactId, ...] = ()
    until: datetime | None = None
    text: str | None = None
    rivals: tuple[FactId, ...] = ()
    retimed: tuple[Retiming, ...] = ()
    unblocks: tuple[FactId, ...] = ()
    reason: str = ""
    refused: Refusal | None = None


@frozen(kw_only=True)
class Verdict:
    """The decision about a candidate. ``fact_id`` is the fact that now represents the candidate
    (``None`` if there is none), ``target`` is the existing fact that the decision applies to, if
    any, and ``also_ended`` are further facts that the candidate superseded. ``rivals`` are facts
    that give another answer to the same question. ``refused`` is set if something else was
    proposed. ``text`` is empty if the ledger does not repeat it: that of an ignored candidate.
    """

    decision: Decision
    text: str
    reason: str
    fact_id: FactId | None = None
    target: FactId | None = None
    also_ended: tuple[FactId, ...] = ()
    until: datetime | None = None
    rivals: tuple[FactId, ...] = ()
    refused: Refusal | None = None


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
        return _ignore(candidate, _REASONS[forged], forged)
    if proposal.decision is Decision.IGNORE:
        ignored = _ignore(candidate, proposal.reason, proposal.refused)
        shown = known.get(proposal.target) if proposal.target is not None else None
        if shown is None or _refusal(candidate, shown) is not None:
            return ignored
        return evolve(ignored, target=shown.fact_id)
    if proposal.decision is Decision.ADD:
        return evolve(
            _add(candidate, proposal.reason, proposal.refused),
            until=_until(candidate, proposal),
            rivals=_allowed(candidate, proposal.rivals, known),
        )
    target = known.get(proposal.target) if proposal.target is not None else None
    refusal = _refusal(candidate, target)
    if refusal is None and proposal.decision is not Decision.REAFFIRM:
        refusal = _authorship_refusal(candidate, target)
    if target is None or refusal is not None:
        refusal = refusal or Refusal.UNKNOWN_TARGET
        why = f"refused: {_reason_of(refusal, target)}"
        if proposal.decision is Decision.RETRACT:
            return _ignore(candidate, f"retraction {why}", refusal)
        return _add(candidate, f"{proposal.decision.value} {why}", refusal)
    lasting = candidate.expires_at is None and target.expires_at is not None
    if proposal.decision is Decision.REAFFIRM and lasting and not candidate.agent_only:
        return _add(candidate, "says the same, and does not expire", None)
    if proposal.decision is Decision.SUPERSEDE and _outlives(target, candidate):
        return evolve(
            _add(candidate, "expires before the fact that it would end", None),
            rivals=_allowed(candidate, [target.fact_id, *proposal.also_ends], known),
        )
    text = (proposal.text or "").strip()
    if proposal.decision is Decision.REVISE and text in ("", target.text):
        return Verdict(
            decision=Decision.REAFFIRM,
            text=target.text,
            reason="the revision would change nothing",
            fact_id=target.fact_id,
            target=target.fact_id,
            refused=Refusal.NOTHING_NEW,
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


def expires_before(one: datetime | None, other: datetime | None) -> bool:
    """Whether ``one`` is an earlier expiry than ``other``; ``None`` never comes."""
    return one is not None and (other is None or one < other)


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
    others = [
        fact_id
        for fact_id in proposal.also_ends
        if fact_id != proposal.target
        and (fact_id not in known or not _outlives(known[fact_id], candidate))
    ]
    return _allowed(candidate, others, known)


def _outlives(fact: Fact, candidate: Candidate) -> bool:
    return expires_before(candidate.expires_at, fact.expires_at)


def _allowed(
    candidate: Candidate, fact_ids: Sequence[FactId], known: Mapping[FactId, Fact]
) -> tuple[FactId, ...]:
    """The facts, each once, that the candidate may say something about."""
    return tuple(
        fact_id
        for fact_id in dict.fromkeys(fact_ids)
        if _refusal(candidate, known.get(fact_id)) is None
        and _authorship_refusal(candidate, known.get(fact_id)) is None
    )


def _add(candidate: Candidate, reason: str, refused: Refusal | None) -> Verdict:
    return Verdict(
        decision=Decision.ADD,
        text=candidate.text,
        reason=reason,
        fact_id=candidate.fact_id,
        refused=refused,
    )


def _ignore(candidate: Candidate, reason: str, refused: Refusal | None) -> Verdict:
    return Verdict(decision=Decision.IGNORE, text=candidate.text, reason=reason, refused=refused)


_REASONS = {
    Refusal.FOREIGN_MESSAGE: "the evidence names a message that is not part of this conversation",
    Refusal.FORGED_QUOTE: "the quoted evidence is not in the message",
    Refusal.UNKNOWN_TARGET: "the target is not a fact that was shown",
    Refusal.OTHER_SCOPE: "the target belongs to another scope",
    Refusal.AGENT_ONLY: "an agent's word changes nothing that somebody else said",
}


def _reason_of(refusal: Refusal, target: Fact | None) -> str:
    if refusal is Refusal.INACTIVE_TARGET and target is not None:
        return f"the target is {target.status.value}"
    return _REASONS[refusal]


def _refusal(candidate: Candidate, target: Fact | None) -> Refusal | None:
    if target is None:
        return Refusal.UNKNOWN_TARGET
    if target.status is not FactStatus.ACTIVE:
        return Refusal.INACTIVE_TARGET
    if target.scope.ledger != candidate.scope.ledger or (
        (target.scope.agent_id, target.scope.app_id)
        != (candidate.scope.agent_id, candidate.scope.app_id)
    ):
        return Refusal.OTHER_SCOPE
    return None


def _authorship_refusal(candidate: Candidate, target: Fact | None) -> Refusal | None:
    if candidate.agent_only and (target is None or target.speaker != candidate.speaker):
        return Refusal.AGENT_ONLY
    return None


def _forged_evidence(
    evidence: Sequence[Evidence], messages: Mapping[MessageId, Message]
) -> Refusal | None:
    for item in evidence:
        message = messages.get(item.message_id)
        if message is None:
            return Refusal.FOREIGN_MESSAGE
        if item.quote is not None and not message.holds(item.quote):
            return Refusal.FORGED_QUOTE
    return None
