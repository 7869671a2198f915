"""Hybrid search over two indexes: one for vectors only, one for keywords.

It only searches; both indexes are fed elsewhere.
"""

from __future__ import annotations

from collections.abc import Sequence

from attrs import evolve

from remembrancer.domain.ports.vector_index import Hit, IndexQuery, SearchedIndex
from remembrancer.domain.scope import LedgerId


class HybridIndex:
    """A ``SearchedIndex`` over two others.

    A hit has a similarity if the vector index returned it, and the other signals if the keyword
    index returned it. Otherwise its keyword signals are 0.

    Args:
        meaning: the vector index, for similarities.
        words: the keyword index, for all other signals and for speakers.
    """

    def __init__(self, meaning: SearchedIndex, words: SearchedIndex) -> None:
        self._meaning = meaning
        self._words = words

    async def search(self, query: IndexQuery) -> list[Hit]:
        """See ``VectorIndex.search``."""
        if query.vector is None:
            return await self._words.search(query)
        near = await self._meaning.search(evolve(query, text=None))
        if query.text is None:
            return near
        worded = {hit.key: hit for hit in await self._words.search(evolve(query, vector=None))}
        # Punctuation alone is no keyword query.
        silent = 0.0 if query.terms else None
        joined = dict(worded)
        for hit in near:
            known = worded.get(hit.key, evolve(hit, keyword=silent, context=silent))
            joined[hit.key] = evolve(known, similarity=hit.similarity)
        return sorted(joined.values(), key=lambda hit: (-hit.strength, hit.key))

    async def speakers(self, ledger: LedgerId) -> Sequence[str]:
        """See ``VectorIndex.speakers``."""
        return await self._words.speakers(ledger)
