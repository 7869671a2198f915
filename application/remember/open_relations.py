"""The relations that stand and came from facts, for decisions that may end some of them."""

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
    """The relations of ``facts`` that can still end, as they were asserted."""
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
