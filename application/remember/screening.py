"""Keep withdrawn beliefs from being drawn again, until their owner says them anew.

A fact that was deleted with ``block`` refuses candidates that say the same in the same or nearly
the same words, or give the same value of its slot, for the same user, agent and application.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from attrs import evolve, frozen

from remembrancer.application.reconciliation.near_duplicates import signature
from remembrancer.application.statements.claims import claim_of
from remembrancer.domain.conversation import Role
from remembrancer.domain.facts.fact import Fact
from remembrancer.domain.facts.verdicts import Candidate, Decision, Proposal, Refusal
from remembrancer.domain.text import normalised

T = TypeVar("T")

_ROLES = frozenset(role.value for role in Role)
_AGENTS = _ROLES - {Role.USER.value}


@frozen
class Screening:
    """The blocked facts that each candidate repeats, by its place."""

    repeated: tuple[tuple[Fact, ...], ...]
    refused: tuple[bool, ...]

    @classmethod
    def of(cls, candidates: Sequence[Candidate], blocked: Sequence[Fact]) -> Screening:
        """Compare candidates with the blocked facts of their ledger."""
        repeated = tuple(
            tuple(fact for fact in blocked if _repeats(candidate, fact)) for candidate in candidates
        )
        refused = tuple(
            not all(_said_anew(candidate, fact) for fact in facts)
            for candidate, facts in zip(candidates, repeated, strict=True)
        )
        return cls(repeated, refused)

    def admitted(self, items: Sequence[T]) -> list[T]:
        """Of the items for each candidate, those of candidates that are not refused."""
        return [item for item, out in zip(items, self.refused, strict=True) if not out]

    def proposals(self, proposals: Sequence[Proposal]) -> tuple[Proposal, ...]:
        """A proposal for every candidate, from those for the admitted ones."""
        left = iter(proposals)
        return tuple(
            _blocked(facts)
            if out
            else evolve(next(left), unblocks=tuple(fact.fact_id for fact in facts))
            for facts, out in zip(self.repeated, self.refused, strict=True)
        )


def _blocked(facts: Sequence[Fact]) -> Proposal:
    day = max(fact.updated_at for fact in facts).date().isoformat()
    return Proposal(
        decision=Decision.IGNORE,
        reason=f"withdrawn on {day}, and its owner has not said it anew",
        refused=Refusal.BLOCKED,
    )


def _repeats(candidate: Candidate, fact: Fact) -> bool:
    if candidate.scope.across_runs != fact.scope.across_runs or _is_of_others(candidate, fact):
        return False
    if signature(candidate.text) == signature(fact.text):
        return True
    if candidate.slot is None or candidate.slot != fact.slot:
        return False
    one, other = claim_of(candidate, 0), claim_of(fact, 0)
    return (one.value, one.over) == (other.value, other.over)


def _is_of_others(candidate: Candidate, fact: Fact) -> bool:
    """Whether the two have speakers with different names: "I" is another person then."""
    names = {normalised(each) for each in (candidate.speaker, fact.speaker) if each is not None}
    return len(names - _ROLES) > 1


def _said_anew(candidate: Candidate, fact: Fact) -> bool:
    """Whether the owner of a blocked fact said it after it was withdrawn. A caller who states it is
    the owner; so is the user, by name or not.
    """
    if candidate.statement is not None:
        return True
    of_agent = candidate.agent_only or normalised(candidate.speaker or "") in _AGENTS
    same = candidate.speaker == fact.speaker or not of_agent
    return same and not candidate.agent_only and candidate.occurred_at > fact.updated_at
