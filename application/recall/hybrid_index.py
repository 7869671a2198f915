"""An index that knows vectors alone, and one beside it that knows the words.

It is for searching only: each of the two is fed by whoever feeds it.
"""

from __future__ import annotations

from collections.abc import Sequence

from attrs import evolve

from remembrancer.domain.ports.vector_index import Hit, IndexQuery, SearchedIndex
from remembrancer.domain.scope import LedgerId


class HybridIndex:
    """See ``SearchedIndex``.

    A hit has its similarity if it is among the best by meaning, and the other signals if it is
    among the best by words. What is not among those counts nothing by words.

    Args:
        meaning: is asked for similarities.
        words: is asked for all other signals, and for who speaks.
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
        # Marks alone are nothing to look for.
        silent = 0.0 if any(map(str.isalnum, query.text)) else None
        joined = dict(worded)
        for hit in near:
            known = worded.get(hit.key, evolve(hit, keyword=silent, context=silent))
            joined[hit.key] = evolve(known, similarity=hit.similarity)
        return sorted(joined.values(), key=lambda hit: (-hit.strength, hit.key))

    async def speakers(self, ledger: LedgerId) -> Sequence[str]:
        """See ``VectorIndex.speakers``."""
        return await self._words.speakers(ledger)
