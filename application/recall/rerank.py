"""Asking a reranker for a second opinion on the candidates that recall ranked best.

A search is never lost to it: what goes wrong there leaves the order as it was.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite

from remembrancer.domain.errors import AdapterUnavailable, ModelError
from remembrancer.domain.facts.fact import Fact
from remembrancer.domain.ports.reranker import Reranker
from remembrancer.domain.recall.index_context import day_in_words


class Reranking:
    """A reranker, and how many candidates it is shown.

    Args:
        reranker: what is asked.
        candidates: facts that it reads for one question, or as many as are to be returned where
            that is more.
    """

    def __init__(self, reranker: Reranker, *, candidates: int) -> None:
        self._reranker = reranker
        self._candidates = candidates

    @property
    def model(self) -> str:
        """The name of the model."""
        return self._reranker.model

    def depth(self, limit: int) -> int:
        """Candidates to show where ``limit`` are to be returned."""
        return max(self._candidates, limit)

    async def __call__(self, question: str, facts: Sequence[Fact]) -> Sequence[float] | None:
        """The relevance of each fact, from 0 to 1; ``None`` if none could be had.

        Raises:
            InvalidRequest: the reranker can't be asked at all, as with a wrong key.
        """
        try:
            found = await self._reranker.rerank(question, [told(fact) for fact in facts])
        except (AdapterUnavailable, ModelError):
            return None
        sound = len(found) == len(facts) and all(map(isfinite, found))
        return [min(1.0, max(0.0, relevance)) for relevance in found] if sound else None


def told(fact: Fact) -> str:
    """A fact as a reranker reads it: who said it and on which day belong to what it says."""
    who = f"{fact.speaker}, " if fact.speaker else ""
    return f"{who}{day_in_words(fact.occurred_at)}: {fact.text}"
