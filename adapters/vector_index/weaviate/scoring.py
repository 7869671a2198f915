"""What the terms of a query count for in a ledger, from its statistics."""

from __future__ import annotations

from collections.abc import Sequence

from memledger.adapters.vector_index.served.rows import FIELDS
from memledger.adapters.vector_index.served.scoring import Scoring
from memledger.adapters.vector_index.weaviate.statistics import LedgerStatistics


async def scoring(
    statistics: LedgerStatistics, terms: Sequence[str], names: Sequence[str]
) -> Scoring | None:
    """What ``terms`` and ``names`` of a query count for in a ledger; ``None`` if it is empty."""
    documents = await statistics.documents()
    if not documents:
        return None
    known = await statistics.named(names) if names else frozenset[str]()
    if not terms:
        return Scoring.of(documents=documents, names=known, holders={}, averages={})
    holders = await statistics.holders(terms)
    return Scoring.of(
        documents=documents,
        names=known,
        holders={field: {term: holders[field, term] for term in terms} for field in FIELDS},
        averages=await statistics.averages(),
    )
