"""Read the timeline of the slot of a fact, to decide on a change of the fact."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from attrs import frozen

from remembrancer.application.statements.claims import claim_of, claims_of
from remembrancer.domain.facts.fact import Fact, FactId
from remembrancer.domain.facts.timeline import Claim, Retiming, retimed
from remembrancer.domain.ports.clock import Clock
from remembrancer.domain.ports.fact_store import FactStore


@frozen(kw_only=True)
class Timeline:
    """The believed facts of a slot and their claims, at the time of a decision."""

    facts: Mapping[FactId, Fact]
    claims: Mapping[FactId, Claim]
    now: datetime

    def after(self, claims: Mapping[FactId, Claim]) -> list[Retiming]:
        """The facts whose times change if ``claims`` are what is claimed from now on."""
        return retimed(self.facts, self.claims, claims, now=self.now)

    def versions(self) -> dict[FactId, int]:
        """The latest version of each fact."""
        return {key: fact.version for key, fact in self.facts.items()}


class ReadTimeline:
    """Reads the timeline of the slot of a fact.

    Args:
        facts: the facts as of the last append.
        clock: the time of decisions.
    """

    def __init__(self, *, facts: FactStore, clock: Clock) -> None:
        self._facts = facts
        self._clock = clock

    async def __call__(self, fact: Fact) -> Timeline:
        """The timeline with ``fact``, a believed one; it is alone if it has no slot."""
        found = await self._facts.in_slots(fact.scope.ledger, [fact.slot]) if fact.slot else []
        # As it was read, even if another writer has changed it since: the append will find that.
        found = [fact, *(each for each in found if each.fact_id != fact.fact_id)]
        claims = claims_of(found, fact) or {fact.fact_id: claim_of(fact, 0)}
        facts = {each.fact_id: each for each in found if each.fact_id in claims}
        return Timeline(facts=facts, claims=claims, now=await self._clock.now())
