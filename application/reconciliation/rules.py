"""The reconciler without a model: it compares words, not meanings.

Ending a true belief is worse than missing a change. For each candidate, the first rule that
applies:

1. It duplicates an active fact, exactly or nearly (``near_duplicates``): reaffirm. Scope and
   speaker must be the same; events of different days are no duplicates.
2. It fills a slot (``slots``). The same value reaffirms, or revises if it adds details. Another
   value, or the end of the old one, supersedes if the sentence says with a word of change that this
   is so now, and the value is of the right kind. Without both it becomes a rival of the other
   values: all stay active.
3. It says that a fact is over, or that something is so again (``negations``, the endings of
   ``languages``): supersede. A flat denial ("I don't smoke") becomes a rival.
4. It announces a change of a thing (``announcements``): supersede.
5. Otherwise: add.

Statements of callers have a reconciler of their own (``statements.reconcile_statement``). A
candidate that was said before a fact ends nothing that the fact says.

It compares with the neighbours of all candidates and the earlier candidates. A fact is never
superseded across agents or applications, nor by anybody but its speaker and whom it is about; a
value stated in several runs is ended in all of them. Other contradictions ("I'm an only child", "my
brother called") are not detected; both facts stay.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, time, timedelta
from typing import Any

from remembrancer.application.extraction.rules import dates, languages, slots
from remembrancer.application.extraction.rules.reading import SlotReading, Stance
from remembrancer.application.reconciliation.active_facts import (
    ActiveFacts,
    KnownFact,
    known_fact,
    lasts,
)
from remembrancer.application.reconciliation.announcements import announcement_in, ended_by
from remembrancer.application.reconciliation.ending_keys import opposing_keys
from remembrancer.application.reconciliation.negations import opposes
from remembrancer.application.reconciliation.one_user import namings, only_name
from remembrancer.domain.facts.fact import Fact, FactId, FactStatus
from remembrancer.domain.facts.verdicts import Candidate, Decision, Proposal
from remembrancer.domain.ports.reconciler import Comparison, Reconciliation
from remembrancer.domain.text import normalised

RECENT = timedelta(days=183)
"""A change may be so much older than the last statement of the old value and still replace it:
people say "I'm engaged" after the wedding. An older one is history: they have moved since."""

REMEMBERED = 2_048
"""Versions of facts of which a reconciler remembers the readings; some 4 MB."""

_ALONE = ("single", "divorced", "widowed", "separated")
_FOLLOWS = {
    "taken": _ALONE,
    "engaged": (*_ALONE, "taken"),
    "married": (*_ALONE, "taken", "engaged"),
    "separated": ("taken", "engaged", "married"),
    "divorced": ("married", "separated"),
    "widowed": ("married", "separated"),
    "single": ("taken", "engaged"),
}
"""The relationship statuses that each may follow."""


class RulesReconciler:
    """A ``Reconciler`` made of rules, which never suspends. Between calls it keeps nothing but how
    it has read versions of facts: an add compares with the same neighbours as the one before.
    """

    local = True

    def __init__(self) -> None:
        self._read: dict[tuple[object, ...], KnownFact] = {}

    @property
    def description(self) -> Mapping[str, Any]:
        """The name; the number changes with the results of the rules."""
        return {"name": "rules-2"}

    @property
    def prompts(self) -> Mapping[str, str]:
        """No prompts."""
        return {}

    async def comparison(self, candidates: Sequence[Candidate]) -> Comparison:
        """What the candidates are compared with. Only a sentence that ends another one can be about
        a fact in other words, which is found by meaning. So is who else has spoken, if some of the
        candidates are by name and others are not.
        """
        said = [known_fact(candidate).assertion for candidate in candidates]
        asserted = [assertion for assertion in said if assertion is not None]
        return Comparison(
            by_meaning=len(namings(candidate.speaker for candidate in candidates)) > 1
            or any(assertion.over for assertion in asserted)
            or any(_announces(candidate.text) for candidate in candidates),
            endings=tuple(key for assertion in asserted for key in opposing_keys(assertion)),
        )

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
                view.put(self._known(fact, name))
        return Reconciliation(
            proposals=tuple(_decide(known_fact(candidate, name), view) for candidate in candidates)
        )

    def _known(self, fact: Fact, name: str | None) -> KnownFact:
        key = (fact.fact_id, fact.version, fact.text, name)
        known = self._read.get(key)
        if known is None:
            # Threads share it, so each of these calls must be whole by itself.
            if len(self._read) >= REMEMBERED:
                self._read.clear()
            known = self._read[key] = known_fact(fact, name)
        return known


def _decide(candidate: KnownFact, view: ActiveFacts) -> Proposal:
    proposal = (
        said_before(candidate, view)
        or _answer(candidate, view)
        or _ending(candidate, view)
        or _announced(candidate, view)
        or Proposal(decision=Decision.ADD, reason="says something new")
    )
    if proposal.decision is Decision.SUPERSEDE and proposal.target is not None:
        for fact_id in (proposal.target, *proposal.also_ends):
            view.drop(fact_id)
    if proposal.decision in (Decision.ADD, Decision.SUPERSEDE):
        view.put(candidate)
    if proposal.decision is Decision.REVISE and proposal.target is not None:
        view.revise(proposal.target, candidate)
    return proposal


def said_before(candidate: KnownFact, view: ActiveFacts) -> Proposal | None:
    """A proposal to reaffirm a duplicate among the active facts, ``None`` without duplicate."""
    same = [item for item in view.saying(candidate) if item.occasion == candidate.occasion]
    if not same:
        return None
    item = max(same, key=lasts)
    exactly = normalised(item.text) == normalised(candidate.text)
    return Proposal(
        decision=Decision.REAFFIRM,
        target=item.fact_id,
        reason=f"says {'' if exactly else 'nearly '}the same as an active fact",
    )


def _answer(candidate: KnownFact, view: ActiveFacts) -> Proposal | None:
    others = view.answering(candidate)
    if candidate.slot is None or not others:
        return None
    attribute = slots.attribute_of(candidate.slot)
    agreeing = [
        item for item in others if item.over == candidate.over and _same_value(candidate, item)
    ]
    against = _against(candidate, others)
    if not against:
        return _same_answer(candidate, agreeing, attribute) if agreeing else None
    ended = [
        item for item in against if _may_end(candidate, item) and not _is_old_news(candidate, item)
    ]
    if ended:
        return Proposal(
            decision=Decision.SUPERSEDE,
            target=ended[-1].fact_id,
            also_ends=tuple(item.fact_id for item in ended[:-1]),
            reason=f"{attribute} {'ended' if candidate.over else 'changed'}",
        )
    if agreeing:
        return _same_answer(candidate, agreeing, attribute)
    if all(_is_old_news(candidate, item) for item in against):
        return Proposal(decision=Decision.ADD, reason=f"older than what is known about {attribute}")
    return _beside(against, f"another {attribute}, and no word of change")


def _against(candidate: KnownFact, others: Sequence[KnownFact]) -> list[KnownFact]:
    """The facts of the slot that can't be so beside the candidate."""
    holding = [item for item in others if not item.over]
    if candidate.over:
        named = candidate.reading is not None and candidate.reading.value is not None
        return [item for item in holding if not named or _same_value(candidate, item)]
    differing = [item for item in holding if not _same_value(candidate, item)]
    # Who has found work is no longer out of work; who works elsewhere has still left Acme.
    return differing or [
        item
        for item in others
        if item.over
        and (item.reading is None or item.reading.value is None or _same_value(candidate, item))
    ]


def _may_end(candidate: KnownFact, item: KnownFact) -> bool:
    """Whether a candidate says plainly enough that ``item`` is over."""
    mine, theirs = candidate.reading, item.reading
    if mine is None or mine.stance is Stance.DENIED:
        return False
    if not candidate.may_end(item):
        return False
    if mine.origin is not None:
        return theirs is not None and mine.origin == theirs.value
    if candidate.over:
        return mine.changes
    began_later = mine.since and candidate.dated and candidate.start > item.held_at
    return (mine.changes or began_later) and (theirs is None or _alike(mine, theirs))


def _alike(mine: SlotReading, theirs: SlotReading) -> bool:
    """Whether a value may follow another: a name a name, a higher age a lower one, a wedding an
    engagement.
    """
    attribute = slots.attribute_of(mine.slot)
    if attribute == "age" and mine.value and theirs.value:
        return int(mine.value) > int(theirs.value)
    if attribute == "relationship status" and mine.value in _FOLLOWS:
        return theirs.value in _FOLLOWS[mine.value] or theirs.value not in _FOLLOWS
    return None in (mine.proper, theirs.proper) or mine.proper == theirs.proper


def _beside(against: Sequence[KnownFact], reason: str) -> Proposal:
    return Proposal(
        decision=Decision.ADD, rivals=tuple(item.fact_id for item in against), reason=reason
    )


def _same_answer(
    candidate: KnownFact, agreeing: Sequence[KnownFact], attribute: str
) -> Proposal | None:
    here = [item for item in agreeing if item.scope == candidate.scope]
    if not here:
        return Proposal(
            decision=Decision.ADD, reason=f"the same {attribute}, said in another scope"
        )
    item = max(reversed(here), key=lasts)
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
        if theirs is None or candidate.occurred_at < item.occurred_at:
            continue
        if opposes(mine, theirs) or opposes(theirs, mine):
            plainly = not mine.flatly if mine.over else mine.renewed
            if not (plainly and candidate.may_end(item)):
                return _beside([item], "says the opposite, and no word of change")
            return Proposal(
                decision=Decision.SUPERSEDE,
                target=item.fact_id,
                reason="says that this is over" if mine.over else "says that this holds after all",
            )
    return None


def _announces(text: str) -> bool:
    return announcement_in(text) is not None or languages.ending_in(text) is not None


def _announced(candidate: KnownFact, view: ActiveFacts) -> Proposal | None:
    announcement = announcement_in(candidate.text)
    is_over = languages.ending_in(candidate.text) if announcement is None else None
    reason = "says that this is over"
    if announcement is not None:
        others = view.told_by(candidate)
        ended = [others[place] for place in ended_by(announcement, [one.text for one in others])]
        reason = announcement.what
    elif is_over is not None:
        ended = [item for item in view.told_by(candidate) if is_over(item.text)]
    else:
        return None
    if not ended:
        return None
    return Proposal(
        decision=Decision.SUPERSEDE,
        target=ended[-1].fact_id,
        also_ends=tuple(item.fact_id for item in ended[:-1]),
        reason=reason,
    )
