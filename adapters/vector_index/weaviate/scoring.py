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
    averages = await statistics.averages()
    # Counted at different moments, there may be more holders than documents, and terms in texts
    # that had none.
    counts = {
        field: {term: min(holders[field, term], documents) for term in terms} for field in FIELDS
    }
    return Scoring.of(
        documents=documents,
        names=known,
        holders=counts,
        averages={field: averages[field] or 1.0 for field in FIELDS},
    )
