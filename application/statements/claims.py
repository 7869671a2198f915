"""The claims of the facts in a slot, as ``domain.facts.timeline`` compares them."""

from __future__ import annotations

from collections.abc import Iterable

from remembrancer.application.reconciliation.active_facts import known_fact
from remembrancer.domain.facts.fact import Fact, FactId, FactStatus
from remembrancer.domain.facts.timeline import Claim
from remembrancer.domain.facts.verdicts import Candidate
from remembrancer.domain.text import normalised

BELIEVED = (FactStatus.ACTIVE, FactStatus.SUPERSEDED)


def claims_of(facts: Iterable[Fact], like: Fact | Candidate) -> dict[FactId, Claim]:
    """The claims of the believed facts that compete with ``like``: those of the same slot, agent
    and application, oldest first.
    """
    competing = [fact for fact in facts if fact.status in BELIEVED and _competes(fact, like)]
    competing.sort(key=lambda fact: (fact.created_at, fact.fact_id))
    return {fact.fact_id: claim_of(fact, order) for order, fact in enumerate(competing)}


def claim_of(item: Fact | Candidate, order: int) -> Claim:
    """The claim of a fact or a candidate."""
    reading = known_fact(item).reading
    if reading is not None:
        value = reading.value
    else:
        value = normalised(item.text if item.statement is None else item.statement.value)
    return Claim(
        fact_id=item.fact_id,
        told=item.claim if isinstance(item, Fact) else item.valid,
        value=value,
        over=known_fact(item).over,
        order=order,
        rivals=item.rivals if isinstance(item, Fact) else (),
    )


def _competes(fact: Fact, like: Fact | Candidate) -> bool:
    return (
        fact.slot is not None
        and fact.slot == like.slot
        and fact.scope.ledger == like.scope.ledger
        and (fact.scope.agent_id, fact.scope.app_id) == (like.scope.agent_id, like.scope.app_id)
    )
