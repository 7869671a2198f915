"""Signals of a query for result rows; the same scores as in every other index."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Mapping

from attrs import frozen

from remembrancer.adapters.index_scoring import bm25
from remembrancer.adapters.index_scoring.hit_order import DIGITS
from remembrancer.adapters.vector_index.remote.rows import FIELDS, Row
from remembrancer.domain.ports.vector_index import Hit


@frozen(kw_only=True)
class Scoring:
    """The inputs of a query's scores, apart from the row.

    Args:
        names: entities of the ledger that the query names.
        rarities: IDF of every query term, by field.
        reaches: divisor of the scores (see ``bm25.reach``), by field.
        averages: mean number of terms per document, by field.
    """

    names: frozenset[str] = frozenset()
    rarities: Mapping[str, Mapping[str, float]]
    reaches: Mapping[str, float]
    averages: Mapping[str, float]

    @classmethod
    def of(
        cls,
        *,
        documents: int,
        names: frozenset[str],
        holders: Mapping[str, Mapping[str, int]],
        averages: Mapping[str, float],
    ) -> Scoring:
        """Compute the inputs from the counts of a ledger.

        The counts come from several queries with possible writes in between: there may be more
        holders than documents, and terms in a field of average length 0.

        Args:
            documents: documents of the ledger, all versions; at least 1.
            names: entities of the ledger that the query names.
            holders: number of documents with each query term, by field.
            averages: mean number of terms per document, by field.
        """
        held = {
            field: {term: min(count, documents) for term, count in counts.items()}
            for field, counts in holders.items()
        }
        return cls(
            names=names,
            rarities={
                field: {term: bm25.rarity(documents, count) for term, count in counts.items()}
                for field, counts in held.items()
            },
            reaches={
                field: bm25.reach(documents, counts.values()) for field, counts in held.items()
            },
            averages={field: average or 1.0 for field, average in averages.items()},
        )

    def hit(self, row: Row, similarity: float | None) -> Hit:
        """Return a row as a hit with all its signals."""
        keyword, context = (self.score(field, row) for field in FIELDS)
        return Hit(
            key=row.key,
            similarity=similarity,
            keyword=keyword,
            context=context,
            entities=(
                round(len(self.names & row.names) / len(self.names), DIGITS) if self.names else None
            ),
            speaker=row.speaker,
            occurred_at=row.occurred_at,
            valid=row.valid,
        )

    def score(self, field: str, row: Row) -> float | None:
        """Return the keyword signal of one field; ``None`` if the query has no terms."""
        rarities = self.rarities.get(field)
        if not rarities:
            return None
        terms = row.terms.get(field, ())
        # Fastest for the usual text, which has few of the query terms.
        held = [term for term in terms if term in rarities]
        if not held:
            return 0.0
        length, average = float(len(terms)), self.averages[field]
        score = sum(
            rarity * bm25.weight(float(min(held.count(term), bm25.MAX_FREQUENCY)), length, average)
            for term, rarity in rarities.items()
            if term in held
        )
        return round(score / self.reaches[field], DIGITS)


def best(hits: Iterable[Hit], signal: Callable[[Hit], float | None], limit: int) -> list[Hit]:
    """Return the best hits with a signal above 0, ties by key."""
    ranked = [(-value, hit.key, hit) for hit in hits if (value := signal(hit))]
    return [hit for _, _, hit in heapq.nsmallest(limit, ranked)]
