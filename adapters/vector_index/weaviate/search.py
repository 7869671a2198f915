"""One search: the union of the best by similarity and by keyword, with all signals.

The server returns candidates in its own order, and the scores are computed here, so a search
requests more candidates than the limit. If a filter has no equivalent on the server, the search
requests more and more until enough candidates pass it. At the server's maximum, it lists all
eligible documents and searches among them.
"""

from __future__ import annotations

import heapq
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from functools import partial
from typing import Any, NamedTuple
from uuid import UUID

import numpy as np
import numpy.typing as npt

from remembrancer.adapters.index_scoring.hit_order import DIGITS, strongest_first
from remembrancer.adapters.vector_index.remote.conditions import Within, all_of
from remembrancer.adapters.vector_index.remote.prefilter import eligibility
from remembrancer.adapters.vector_index.remote.rows import FIELDS, Row, row_of
from remembrancer.adapters.vector_index.remote.scoring import Scoring, best
from remembrancer.adapters.vector_index.weaviate.connection import AbsentTenant
from remembrancer.adapters.vector_index.weaviate.gather import together
from remembrancer.adapters.vector_index.weaviate.reading import FoundObject, Reader
from remembrancer.adapters.vector_index.weaviate.rendering import rendered, with_ids
from remembrancer.adapters.vector_index.weaviate.rows import cosines, with_terms
from remembrancer.adapters.vector_index.weaviate.scoring import scoring
from remembrancer.adapters.vector_index.weaviate.statistics import LedgerStatistics
from remembrancer.domain.facts.fact import FactKey
from remembrancer.domain.ports.vector_index import Hit, IndexQuery

MOST = 10_000
"""Maximum results of one query: the server's ``QUERY_MAXIMUM_RESULTS``."""

FEWEST_WORDED = 64
"""Minimum keyword candidates to score."""

SPARE = 8
"""Extra candidates beyond the limit, to order ties at the cut by key."""

MOST_TIES = 4
"""Multiple of the limit up to which ties at the cut are all fetched; beyond, the server chooses."""

_GROWTH = 4
_LISTED = 1000
_PIECE = 500
_PLACES = 2**32


class _Match(NamedTuple):
    """A candidate: the object found, and its row."""

    row: Row
    found: FoundObject


class Search:
    """One search.

    Args:
        documents: reader of the tenant of the ledger.
        query: the query, already checked.
        vector: query vector, after ``scaled``; ``None`` for a keyword search.
    """

    def __init__(
        self, documents: Reader, query: IndexQuery, vector: npt.NDArray[np.float32] | None
    ) -> None:
        self._documents = documents
        self._query = query
        self._vector = vector
        self._eligible = eligibility(query)
        self._rows: dict[bytes, Row] = {}
        self._properties = [
            "row",
            *(FIELDS if self._query.terms else ()),
            *(() if self._eligible.exact else ("attributes",)),
        ]

    async def __call__(
        self, statistics: Callable[[], Coroutine[Any, Any, LedgerStatistics]]
    ) -> list[Hit]:
        """Return the hits, best first. ``statistics`` is awaited concurrently."""
        if self._eligible.condition is False:
            return []
        calls: list[Coroutine[Any, Any, Any]] = [
            self._scoring(statistics),
            self._nearest(),
            *(self._worded(field) for field in FIELDS),
        ]
        found = await together(calls)
        score: Scoring | None = found[0]
        if score is None:
            return []
        nearest: list[_Match] = found[1]
        similar = {candidate.row.key: candidate.found.rank for candidate in nearest}
        candidates = {each.row.key: each for part in found[2:] for each in part}
        similar |= self._similarities(
            [each for key, each in candidates.items() if key not in similar]
        )
        candidates |= {candidate.row.key: candidate for candidate in nearest}
        hits = {
            key: score.hit(candidate.row, similar.get(key)) for key, candidate in candidates.items()
        }
        chosen = {candidate.row.key for candidate in nearest}
        for worded, signal in zip(found[2:], (_keyword, _context), strict=True):
            ranked = best((hits[each.row.key] for each in worded), signal, self._query.limit)
            chosen.update(hit.key for hit in ranked)
        return strongest_first(hits[key] for key in chosen)

    async def _scoring(
        self, statistics: Callable[[], Coroutine[Any, Any, LedgerStatistics]]
    ) -> Scoring | None:
        return await scoring(await statistics(), self._query.terms, self._query.names)

    async def _nearest(self) -> list[_Match]:
        """Return the best by similarity; ties at the cut are ordered by key."""
        if self._vector is None:
            return []
        limit = self._query.limit
        found = await self._enough(self._near, limit, limit + SPARE, ties=True)
        return heapq.nsmallest(limit, found, key=lambda one: (-one.found.rank, one.row.key))

    async def _worded(self, field: str) -> list[_Match]:
        """Return keyword candidates, more than the limit, in the server's order. Among further
        ties in that order the server chooses, because the scores are recomputed here anyway.
        """
        if not self._query.terms:
            return []
        window = max(FEWEST_WORDED, self._query.limit + SPARE)
        return await self._enough(partial(self._with_terms, field), window, window, ties=False)

    def _near(self, condition: Any, limit: int) -> Any:
        assert self._vector is not None
        asked = self._vector.astype("<f4").tobytes()
        return self._documents.nearest(asked, condition, limit, self._properties)

    def _with_terms(self, field: str, condition: Any, limit: int) -> Any:
        return self._documents.worded(
            self._query.terms,
            field,
            condition,
            limit,
            self._properties,
            # Needed for candidates that the vector search does not return; cheaper than a second
            # request.
            vectors=self._vector is not None,
        )

    async def _enough(
        self, page: Callable[[Any, int], Any], wanted: int, size: int, *, ties: bool
    ) -> list[_Match]:
        """Return at least ``wanted`` eligible candidates if they exist, from growing requests.

        With ``ties``, it continues while ties of the last candidate within the limit may be
        missing. It does not use pages: the order of ties changes with the requested number, so
        pages overlap and miss candidates (seen with 1.39.0).
        """
        while True:
            size = min(size, MOST)
            rows = await self._asked(page(rendered(self._eligible.condition), size))
            found = [row for row in rows if self._eligible.admits(row.row)]
            cut = ties and self._tied(found, size)
            if len(rows) < size or (len(found) >= wanted and not cut):
                return found
            if size == MOST:
                return found if self._eligible.exact else await self._of_all(page)
            size *= _GROWTH

    def _tied(self, found: list[_Match], size: int) -> bool:
        limit = self._query.limit
        few = size < MOST_TIES * limit
        return few and len(found) >= limit and found[-1].found.rank >= found[limit - 1].found.rank

    async def _of_all(self, page: Callable[[Any, int], Any]) -> list[_Match]:
        """List all eligible documents, and return the candidates among them."""
        ids = await self._listed(0, _PLACES)
        parts = [ids[start : start + _LISTED] for start in range(0, len(ids), _LISTED)]
        found = [await self._asked(page(with_ids(part), _LISTED)) for part in parts]
        return [candidate for part in found for candidate in part]

    async def _listed(self, low: int, high: int) -> list[UUID]:
        """Return the ids of all eligible documents in a range of ``place``, split recursively
        until a part fits in one page.
        """
        within = rendered(
            all_of([self._eligible.condition, Within(field="place", least=low, most=high - 1)])
        )
        count = await self._documents.count("counting candidates", within)
        if count > _PIECE and high - low > 1:
            middle = (low + high) // 2
            return [*await self._listed(low, middle), *await self._listed(middle, high)]
        found = await self._documents.listed(
            "listing candidates", within, _LISTED, ["row", "attributes"]
        )
        return [UUID(bytes=each.id) for each in found if self._eligible.admits(row_of(each.texts))]

    def _similarities(self, candidates: Iterable[_Match]) -> dict[FactKey, float]:
        """Return the similarity of candidates found by keyword only."""
        held = [each for each in candidates if each.found.vector]
        if self._vector is None or not held:
            return {}
        found = cosines([each.found.vector for each in held], self._vector).round(DIGITS).tolist()
        return {each.row.key: cosine for each, cosine in zip(held, found, strict=True)}

    async def _asked(self, call: Awaitable[list[FoundObject]]) -> list[_Match]:
        try:
            found = await call
        except AbsentTenant:
            return []
        return [_Match(self._row(each), each) for each in found]

    def _row(self, found: FoundObject) -> Row:
        """Return the row of an object, cached: most objects are found by several queries."""
        row = self._rows.get(found.id)
        if row is None:
            row = self._rows[found.id] = row_of(with_terms(found.texts))
        return row


def _keyword(hit: Hit) -> float | None:
    return hit.keyword


def _context(hit: Hit) -> float | None:
    return hit.context
