"""Relations asserted by a fact that have not ended, for decisions that may end them."""

from __future__ import annotations

from collections.abc import Sequence

from remembrancer.domain.events import RelationAsserted
from remembrancer.domain.facts.fact import FactId
from remembrancer.domain.graph.graph import Relation
from remembrancer.domain.ports.link_history import LinkHistory
from remembrancer.domain.scope import LedgerId


async def open_relations(
    links: LinkHistory, ledger: LedgerId, facts: Sequence[FactId]
) -> list[RelationAsserted]:
    """The relations asserted by ``facts`` that have not ended."""
    return [
        RelationAsserted(
            relation_id=link.relation_id,
            scope=link.scope,
            subject=link.subject,
            predicate=link.predicate,
            object=link.object,
            fact_id=link.fact_id,
            valid=link.valid,
        )
        for link in await links.versions(ledger, facts)
        if isinstance(link, Relation) and link.open
    ]
