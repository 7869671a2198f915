"""The reconciler without a model: it compares words, not meanings.

For each candidate, the first rule that applies:

1. It duplicates an active fact, exactly or nearly (``near_duplicates``): reaffirm. Scope and
   speaker must be the same; events of different days are no duplicates.
2. It fills a slot (``slots``): another value, or the end of the old one, supersedes; the same value
   reaffirms, or revises if it adds details. A candidate that was said before the fact, or reports
   an older change, is added beside it.
3. It negates a fact, or a negated fact is true again (``negations``): supersede.
4. Otherwise: add.

It compares with the neighbours of all candidates and the earlier candidates. A fact is never
superseded across agents or applications, nor by anybody but its speaker and whom it is about; a
value stated in several runs is ended in all of them. Other contradictions ("I'm an only child", "my
brother called") are not detected; both facts stay.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, time, timedelta
from typing import Any

from remembrancer.application.extraction.rules import dates, slots
from remembrancer.application.reconciliation.active_facts import ActiveFacts, KnownFact, known_fact
from remembrancer.application.reconciliation.negations import Assertion, ends
from remembrancer.application.reconciliation.one_user import only_name
from remembrancer.domain.facts.fact import Fact, FactId, FactStatus
from remembrancer.domain.facts.verdicts import Candidate, Decision, Proposal
from remembrancer.domain.ports.reconciler import Reconciliation
from remembrancer.domain.text import normalised

RECENT = timedelta(days=31)
"""A change may be so much older than the last statement of the old value and still replace it:
people say "I live in Oslo" in the month in which they move."""


class RulesReconciler:
    """A ``Reconciler`` made of rules. It keeps no state between calls and never suspends."""

    @property
    def description(self) -> Mapping[str, Any]:
        """The name; the number changes with the results of the rules."""
        return {"name": "rules-2"}

    @property
    def prompts(self) -> Mapping[str, str]:
        """No prompts."""
        return {}

    async def reconcile(
        self,
        candidates: Sequence[Candidate],
        neighbours: Sequence[Mapping[FactId, tuple[Fact, float]]],
    ) -> Reconciliation:
        """Make a proposal for every candidate, in the order given."""
        view = ActiveFacts()
        facts = {key: fact for shown in neighbours for key, (fact, _) in shown.items()}
        speakers = [fact.speaker for fact in facts.values()]
        name = only_name([*speakers, *(candidate.speaker for candidate in candidates)])
        for fact in facts.values():
            if fact.status is FactStatus.ACTIVE:
                view.put(known_fact(fact, name))
        return Reconciliation(
            proposals=tuple(_decide(known_fact(candidate, name), view) for candidate in candidates)
        )


def _decide(candidate: KnownFact, view: ActiveFacts) -> Proposal:
    proposal = (
        said_before(candidate, view)
        or _answer(candidate, view)
        or _ending(candidate, view)
        or Proposal(decision=Decision.ADD, reason="says something new")
    )
    if proposal.decision is Decision.SUPERSEDE and proposal.target is not None:
        for fact_id in (proposal.target, *proposal.also_ends):
            view.drop(fact_id)
    if proposal.decision in (Decision.ADD, Decision.SUPERSEDE) and proposal.until is None:
        view.put(candidate)
    if proposal.decision is Decision.REVISE and proposal.target is not None:
        view.revise(proposal.target, candidate)
    return proposal


def said_before(candidate: KnownFact, view: ActiveFacts) -> Proposal | None:
    """A proposal to reaffirm a duplicate among the active facts, ``None`` without duplicate."""
    for item in view.saying(candidate):
        if item.occasion != candidate.occasion:
            continue
        exactly = normalised(item.text) == normalised(candidate.text)
        return Proposal(
            decision=Decision.REAFFIRM,
            target=item.fact_id,
            reason=f"says {'' if exactly else 'nearly '}the same as an active fact",
        )
    return None


def _answer(candidate: KnownFact, view: ActiveFacts) -> Proposal | None:
    rivals = view.answering(candidate)
    if candidate.slot is None or not rivals:
        return None
    attribute = slots.attribute_of(candidate.slot)
    open_ones = [item for item in rivals if candidate.may_end(item)]
    find = _ended_by if candidate.over else _replaced_by
    target = find(candidate, open_ones)
    if target is not None:
        if _is_old_news(candidate, target):
            return Proposal(
                decision=Decision.ADD,
                until=target.start,
                reason=f"older than what is known about {attribute}",
            )
        others = [item for item in open_ones if item.over == target.over and item is not target]
        return Proposal(
            decision=Decision.SUPERSEDE,
            target=target.fact_id,
            also_ends=tuple(
                item.fact_id
                for item in others
                if _same_value(item, target) and not _is_old_news(candidate, item)
            ),
            reason=f"{attribute} {'ended' if candidate.over else 'changed'}",
        )
    agreeing = [
        item for item in rivals if item.over == candidate.over and _same_value(candidate, item)
    ]
    return _same_answer(candidate, agreeing, attribute) if agreeing else None


def _ended_by(candidate: KnownFact, rivals: Sequence[KnownFact]) -> KnownFact | None:
    """The latest active value that a candidate ends."""
    named = candidate.reading is not None and candidate.reading.value is not None
    holding = [item for item in rivals if not item.over]
    ended = [item for item in holding if _same_value(candidate, item)] if named else holding
    return ended[-1] if ended else None


def _replaced_by(candidate: KnownFact, rivals: Sequence[KnownFact]) -> KnownFact | None:
    """The latest value if the candidate has another one, or the latest end that it contradicts.

    Older values are not compared: they were added as history.
    """
    holding = [item for item in rivals if not item.over]
    if holding:
        return None if _same_value(candidate, holding[-1]) else holding[-1]
    contradicted = [
        item
        for item in rivals
        if item.reading is None or item.reading.value is None or _same_value(candidate, item)
    ]
    return contradicted[-1] if contradicted else None


def _same_answer(
    candidate: KnownFact, agreeing: Sequence[KnownFact], attribute: str
) -> Proposal | None:
    here = [item for item in agreeing if item.scope == candidate.scope]
    if not here:
        return Proposal(
            decision=Decision.ADD, reason=f"the same {attribute}, said in another scope"
        )
    item = here[-1]
    if not _has_more_detail(candidate, item):
        return Proposal(
            decision=Decision.REAFFIRM,
            target=item.fact_id,
            reason=f"gives the same {attribute} as an active fact",
        )
    # A revised fact keeps its own date, so "last week" would mean another week.
    if candidate.dated or candidate.speaker != item.speaker or _has_more_detail(item, candidate):
        return None
    return Proposal(
        decision=Decision.REVISE,
        target=item.fact_id,
        text=candidate.text,
        reason=f"gives the same {attribute} and tells more",
    )


def _same_value(one: KnownFact, other: KnownFact) -> bool:
    mine = one.reading.value if one.reading else None
    theirs = other.reading.value if other.reading else None
    if mine is not None and theirs is not None:
        # "Oslo Nordstrand" is in Oslo, but "New York" is not "York".
        return f"{mine} ".startswith(f"{theirs} ") or f"{theirs} ".startswith(f"{mine} ")
    if mine is not None:
        return f" {mine} " in f" {other.signature} "
    if theirs is not None:
        return f" {theirs} " in f" {one.signature} "
    return one.signature == other.signature


def _has_more_detail(one: KnownFact, other: KnownFact) -> bool:
    if one.reading is None:
        return True
    if other.reading is None:
        return one.reading.more
    return one.reading.more or len(one.reading.value or "") > len(other.reading.value or "")


def _is_old_news(candidate: KnownFact, item: KnownFact) -> bool:
    """Whether a candidate is older than ``item``, so that it must not supersede it."""
    if candidate.occurred_at < item.occurred_at:
        return True
    if candidate.held_at == candidate.occurred_at:
        return False
    dated = dates.resolve(candidate.text, candidate.occurred_at)
    if dated is None or dated.standing:
        return False
    over = datetime.combine(dated.until, time(), tzinfo=candidate.occurred_at.tzinfo)
    known_change = item.held_at != item.occurred_at
    return (over if known_change else over + RECENT) <= item.held_at


def _ending(candidate: KnownFact, view: ActiveFacts) -> Proposal | None:
    mine = candidate.assertion
    if mine is None:
        return None
    for item in reversed(view.opposing(candidate)):
        theirs = item.assertion
        if theirs is None or not candidate.may_end(item):
            continue
        if candidate.occurred_at < item.occurred_at:
            continue
        if ends(mine, theirs) or ends(theirs, mine):
            return Proposal(
                decision=Decision.SUPERSEDE, target=item.fact_id, reason=_ending_reason(mine)
            )
    return None


def _ending_reason(assertion: Assertion) -> str:
    if not assertion.over:
        return "says that this holds after all"
    return "denies this" if assertion.flatly else "says that this is over"
