"""The reconciler of statements: it places a statement on the timeline of its slot.

A statement is explicit, so it needs no word of change to end a fact in its slot, whether that was
stated or said. Compare ``reconciliation.rules``, which decides about sentences.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from attrs import evolve

from remembrancer.application.extraction.rules.slots import attribute_of
from remembrancer.application.statements.claims import claim_of, claims_of
from remembrancer.domain.facts.decide import added
from remembrancer.domain.facts.evolve import first_version
from remembrancer.domain.facts.fact import Fact, FactId, FactStatus, Interval
from remembrancer.domain.facts.timeline import (
    Claim,
    Retiming,
    held,
    retimed,
    superseding_does,
)
from remembrancer.domain.facts.verdicts import Candidate, Decision, Proposal
from remembrancer.domain.ports.reconciler import Reconciliation
from remembrancer.domain.text import normalised


class StatementReconciler:
    """A ``Reconciler`` of statements. The neighbours must include the facts in their slots that
    have ended or not begun.

    Args:
        now: the time of the statement.
    """

    def __init__(self, now: datetime) -> None:
        self._now = now

    async def reconcile(
        self,
        candidates: Sequence[Candidate],
        neighbours: Sequence[Mapping[FactId, tuple[Fact, float]]],
    ) -> Reconciliation:
        """Make a proposal for every candidate."""
        proposals = [
            self._proposal(candidate, {key: fact for key, (fact, _) in near.items()})
            for candidate, near in zip(candidates, neighbours, strict=True)
        ]
        return Reconciliation(proposals=tuple(proposals))

    def _proposal(self, candidate: Candidate, facts: Mapping[FactId, Fact]) -> Proposal:
        if candidate.slot is None:
            again = next((fact for fact in facts.values() if _says_all(fact, candidate)), None)
            return _reaffirmed(again) if again is not None else _added("says something new")
        before = claims_of(facts.values(), candidate)
        claim = claim_of(candidate, len(before))
        spans = held(claim, before.values())
        for key, known in before.items():
            if _holds_all(facts[key], known, claim, spans, candidate):
                return _reaffirmed(facts[key])
        all_facts = {**facts, candidate.fact_id: _fact_of(candidate, self._now)}
        after = {**before, candidate.fact_id: claim}
        changes = retimed(all_facts, before, after, now=self._now)
        return _placed(candidate, facts, changes)


def _placed(
    candidate: Candidate, facts: Mapping[FactId, Fact], changes: Sequence[Retiming]
) -> Proposal:
    """The proposal that gives facts their new times; those that just end are superseded."""
    ended = [
        change
        for change in changes
        if change.superseded_by == candidate.fact_id
        and candidate.valid.start is not None
        and superseding_does(change, facts[change.fact_id], candidate.valid.start)
    ]
    retimed_ones = tuple(change for change in changes if change not in ended)
    attribute = attribute_of(candidate.slot or "")
    if not ended:
        changed = f"another {attribute} in its time" if retimed_ones else "says something new"
        return evolve(_added(changed), retimed=retimed_ones)
    return Proposal(
        decision=Decision.SUPERSEDE,
        target=ended[-1].fact_id,
        also_ends=tuple(change.fact_id for change in ended[:-1]),
        retimed=retimed_ones,
        reason=f"{attribute} changed",
    )


def _says_all(fact: Fact, candidate: Candidate) -> bool:
    """Whether an active fact says the same in the same scope, for all of the time."""
    return (
        fact.status is FactStatus.ACTIVE
        and fact.slot is None
        and fact.scope == candidate.scope
        and normalised(fact.text) == normalised(candidate.text)
        and _within(candidate.valid, fact.valid)
    )


def _holds_all(
    fact: Fact, known: Claim, claim: Claim, spans: Sequence[Interval], candidate: Candidate
) -> bool:
    """Whether an active fact in the same scope has the value wherever the candidate would."""
    return (
        fact.status is FactStatus.ACTIVE
        and fact.scope == candidate.scope
        and (known.value, known.over) == (claim.value, claim.over)
        and _within(claim.told, known.told)
        and all(any(_within(span, own) for own in fact.intervals) for span in spans)
    )


def _within(inner: Interval, outer: Interval) -> bool:
    begins = outer.start is None or (inner.start is not None and outer.start <= inner.start)
    ends = outer.end is None or (inner.end is not None and inner.end <= outer.end)
    return begins and ends


def _reaffirmed(fact: Fact) -> Proposal:
    return Proposal(
        decision=Decision.REAFFIRM,
        target=fact.fact_id,
        reason="an active fact says the same for all of this time",
    )


def _added(reason: str) -> Proposal:
    return Proposal(decision=Decision.ADD, reason=reason)


def beside_statements(
    candidate: Candidate, proposal: Proposal, stated: Sequence[Fact], now: datetime
) -> Proposal:
    """The proposal for a sentence, placed among the statements of its slot that the reconciler did
    not see: a statement about a later time ends what the sentence says, and a sentence that ends a
    fact ends a stay as well.
    """
    if candidate.slot is None or proposal.decision not in (Decision.ADD, Decision.SUPERSEDE):
        return proposal
    valid = Interval(start=candidate.valid.start, end=proposal.until or candidate.valid.end)
    placed = evolve(candidate, valid=valid)
    before = claims_of(stated, placed)
    facts = {fact.fact_id: fact for fact in stated}
    facts[placed.fact_id] = _fact_of(placed, now)
    after = {**before, placed.fact_id: claim_of(placed, len(before))}
    changes = retimed(facts, before, after, now=now)
    if proposal.decision is Decision.ADD:
        changes = [change for change in changes if change.fact_id == placed.fact_id]
    return evolve(proposal, retimed=tuple(changes))


def _fact_of(candidate: Candidate, now: datetime) -> Fact:
    """The fact that a candidate becomes, before others cut its times."""
    return first_version(added(candidate, candidate.valid), now)
