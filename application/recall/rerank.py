"""Rerank the best candidates of a search.

A failing reranker does not fail the search: the order stays as it was.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite

from remembrancer.domain.errors import AdapterUnavailable, ModelError
from remembrancer.domain.facts.fact import Fact
from remembrancer.domain.ports.reranker import Reranker
from remembrancer.domain.recall.index_context import day_in_words


class Reranking:
    """A reranker, and the number of candidates for it.

    Args:
        reranker: the reranker.
        candidates: minimum number of facts per query; a higher limit of the search takes
            precedence.
    """

    def __init__(self, reranker: Reranker, *, candidates: int) -> None:
        self._reranker = reranker
        self._candidates = candidates

    @property
    def model(self) -> str:
        """The name of the model."""
        return self._reranker.model

    def depth(self, limit: int) -> int:
        """Number of candidates for a search with ``limit``."""
        return max(self._candidates, limit)

    async def __call__(self, question: str, facts: Sequence[Fact]) -> Sequence[float] | None:
        """The relevance of each fact in [0, 1]; ``None`` if the reranker failed.

        Raises:
            InvalidRequest: the reranker can't be called, for example because of a wrong API key.
        """
        try:
            found = await self._reranker.rerank(question, [told(fact) for fact in facts])
        except (AdapterUnavailable, ModelError):
            return None
        sound = len(found) == len(facts) and all(map(isfinite, found))
        return [min(1.0, max(0.0, relevance)) for relevance in found] if sound else None


def told(fact: Fact) -> str:
    """The text of a fact for a reranker, with its speaker and day."""
    who = f"{fact.speaker}, " if fact.speaker else ""
    return f"{who}{day_in_words(fact.occurred_at)}: {fact.text}"
