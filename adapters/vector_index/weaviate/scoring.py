"""Inputs of a query's scores, from the statistics of the ledger."""

from __future__ import annotations

from collections.abc import Coroutine, Sequence
from typing import Any

from remembrancer.adapters.vector_index.remote.rows import FIELDS
from remembrancer.adapters.vector_index.remote.scoring import Scoring
from remembrancer.adapters.vector_index.weaviate.gather import together
from remembrancer.adapters.vector_index.weaviate.statistics import LedgerStatistics


async def scoring(
    statistics: LedgerStatistics, terms: Sequence[str], names: Sequence[str]
) -> Scoring | None:
    """Return the scoring of a query's terms and names; ``None`` if the ledger is empty."""
    if not terms:
        known = await statistics.named(names)
        return Scoring(names=known, rarities={}, reaches={}, averages={})
    extent = await statistics.extent()
    if not extent.documents:
        return None
    calls: list[Coroutine[Any, Any, Any]] = [statistics.named(names), statistics.holders(terms)]
    known, holders = await together(calls)
    return Scoring.of(
        documents=extent.documents,
        names=known,
        holders={field: {term: holders[field, term] for term in terms} for field in FIELDS},
        averages=extent.averages,
    )
