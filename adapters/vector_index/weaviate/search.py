"""One search: the nearest and the best worded of what is eligible, with every signal of each.

The server gives candidates in its own order, and the scores are ours, so more are asked for than
are wanted. Where a filter has no equivalent on the server, ever more are asked for until enough
candidates have passed it; beyond what the server gives, the eligible documents are listed first.
"""

from __future__ import annotations

import heapq
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any
from uuid import UUID

from attrs import frozen

from memledger.adapters.vector_index import bm25
from memledger.adapters.vector_index.names import names_in
from memledger.adapters.vector_index.ordering import DIGITS, strongest_first
from memledger.adapters.vector_index.served.conditions import Within, all_of
from memledger.adapters.vector_index.served.eligibility import eligibility
from memledger.adapters.vector_index.served.rows import FIELDS, Row, row_of
from memledger.adapters.vector_index.served.scoring import Scoring
from memledger.adapters.vector_index.weaviate.connection import AbsentTenant, Connection
from memledger.adapters.vector_index.weaviate.rendering import rendered
from memledger.adapters.vector_index.weaviate.rows import with_terms
from memledger.adapters.vector_index.weaviate.scoring import scoring
from memledger.adapters.vector_index.weaviate.statistics import LedgerStatistics
from memledger.adapters.vector_index.weaviate.together import together
from memledger.domain.fact import FactKey
from memledger.domain.ports.vector_index import Hit, IndexQuery

if TYPE_CHECKING:
    from memledger.adapters.vector_index.weaviate.collections import Collection

MOST = 10_000
"""What a server gives of one search: its ``QUERY_MAXIMUM_RESULTS``."""

FEWEST_WORDED = 64
"""Candidates by keyword that are scored at least."""

SPARE = 8
"""Candidates asked for beyond the limit, so that equals at the cut are settled by key."""

MOST_TIES = 4
"""Times as many as are wanted: among more equals at the cut than that, the server chooses."""

_GROWTH = 4
_LISTED = 1000
_PIECE = 500
_PLACES = 2**32


@frozen(kw_only=True)
class _Candidate:
    """A row with its id, and its rank in the server's terms: the similarity, or its own BM25."""

    row: Row
    uuid: Any
    rank: float


class Search:
    """One search.

    Args:
        connection: to the server.
        documents: of the tenant that the ledger is in.
        query: what to look for; checked.
        vector: of the query, scaled.
    """

    def __init__(
        self,
        connection: Connection,
        documents: Collection,
        query: IndexQuery,
        vector: Sequence[float] | None,
    ) -> None:
        self._connection = connection
        self._documents = documents
        self._query = query
        self._vector = vector
        self._terms = [] if query.text is None else bm25.query_terms(query.text)
        self._eligible = eligibility(query)
        self._properties = [
            "row",
            *(FIELDS if self._terms else ()),
            *(() if self._eligible.exact else ("attributes",)),
        ]

    async def __call__(
        self, statistics: Callable[[], Coroutine[Any, Any, LedgerStatistics]]
    ) -> list[Hit]:
        """The hits, best first, scored by statistics that are asked for meanwhile."""
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
        nearest: list[_Candidate] = found[1]
        similar = {candidate.row.key: candidate.rank for candidate in nearest}
        best = {candidate.row.key: candidate for candidate in nearest}
        for field, worded in zip(FIELDS, found[2:], strict=True):
            for candidate in _best(score, field, worded, self._query.limit):
                best.setdefault(candidate.row.key, candidate)
        similar |= await self._similarities([best[key] for key in best if key not in similar])
        return strongest_first(
            score.hit(candidate.row, similar.get(key)) for key, candidate in best.items()
        )

    async def _scoring(
        self, statistics: Callable[[], Coroutine[Any, Any, LedgerStatistics]]
    ) -> Scoring | None:
        return await scoring(await statistics(), self._terms, names_in(self._query.text or ""))

    async def _nearest(self) -> list[_Candidate]:
        """The best by similarity, equals at the cut settled by key."""
        if self._vector is None:
            return []
        limit = self._query.limit
        found = await self._enough(self._near, limit, limit + SPARE)
        return heapq.nsmallest(limit, found, key=lambda one: (-one.rank, one.row.key))

    async def _worded(self, field: str) -> list[_Candidate]:
        """Candidates by keyword: more than are wanted, in the server's order."""
        if not self._terms:
            return []
        window = max(FEWEST_WORDED, self._query.limit + SPARE)
        return await self._enough(partial(self._with_terms, field), window, window)

    def _near(self, condition: Any, limit: int) -> Any:
        from weaviate.classes.query import MetadataQuery

        assert self._vector is not None
        return self._documents.query.near_vector(
            self._vector,
            filters=condition,
            limit=limit,
            return_metadata=MetadataQuery(distance=True),
            return_properties=self._properties,
        )

    def _with_terms(self, field: str, condition: Any, limit: int) -> Any:
        from weaviate.classes.query import MetadataQuery

        return self._documents.query.bm25(
            " ".join(self._terms),
            query_properties=[field],
            filters=condition,
            limit=limit,
            return_metadata=MetadataQuery(score=True),
            return_properties=self._properties,
        )

    async def _enough(
        self, page: Callable[[Any, int], Any], wanted: int, size: int
    ) -> list[_Candidate]:
        """Eligible candidates, from ever larger answers until as many are found as are wanted, and
        no equal of the last one within the limit is left out. Not page by page: among equals, the
        order changes with the number asked for, so that pages overlap and leave others out (seen
        with 1.39.0).
        """
        while True:
            size = min(size, MOST)
            rows = await self._asked(page(rendered(self._eligible.condition), size))
            found = [row for row in rows if self._eligible.admits(row.row)]
            if len(rows) < size or self._settled(found, wanted, size):
                return found
            if size == MOST:
                return found if self._eligible.exact else await self._of_all(page)
            size *= _GROWTH

    def _settled(self, found: list[_Candidate], wanted: int, size: int) -> bool:
        if len(found) < wanted:
            return False
        return found[-1].rank < found[self._query.limit - 1].rank or size >= MOST_TIES * wanted

    async def _of_all(self, page: Callable[[Any, int], Any]) -> list[_Candidate]:
        """All candidates among documents that are found to be eligible one by one."""
        ids = await self._listed(0, _PLACES)
        parts = [ids[start : start + _LISTED] for start in range(0, len(ids), _LISTED)]
        found = [await self._asked(page(_any_of(part), _LISTED)) for part in parts]
        return [candidate for part in found for candidate in part]

    async def _listed(self, low: int, high: int) -> list[UUID]:
        """The ids of all eligible documents, by place, in pieces that a page holds."""
        within = rendered(
            all_of([self._eligible.condition, Within(field="place", least=low, most=high - 1)])
        )
        count = (
            await self._connection.ask(
                "counting candidates",
                self._documents.aggregate.over_all(filters=within, total_count=True),
            )
        ).total_count or 0
        if count > _PIECE and high - low > 1:
            middle = (low + high) // 2
            return [*await self._listed(low, middle), *await self._listed(middle, high)]
        rows = await self._asked(
            self._documents.query.fetch_objects(
                filters=within, limit=_LISTED, return_properties=["row", "attributes"]
            )
        )
        return [one.uuid for one in rows if self._eligible.admits(one.row)]

    async def _similarities(self, candidates: Sequence[_Candidate]) -> dict[FactKey, float]:
        """How similar documents are that came up by keyword alone."""
        from weaviate.classes.query import MetadataQuery

        if self._vector is None or not candidates:
            return {}
        keys = {candidate.uuid.int: candidate.row.key for candidate in candidates}
        answer = await self._connection.ask(
            "searching",
            self._documents.query.near_vector(
                self._vector,
                filters=_any_of([candidate.uuid for candidate in candidates]),
                limit=len(candidates),
                return_metadata=MetadataQuery(distance=True),
                return_properties=[],
            ),
        )
        return {keys[each.uuid.int]: _rank(each.metadata) for each in answer.objects}

    async def _asked(self, call: Awaitable[Any]) -> list[_Candidate]:
        try:
            answer = await self._connection.ask("searching", call)
        except AbsentTenant:
            return []
        return [
            _Candidate(
                row=row_of(with_terms(each.properties)), uuid=each.uuid, rank=_rank(each.metadata)
            )
            for each in answer.objects
        ]


def _rank(metadata: Any) -> float:
    if metadata.distance is None:
        return float(metadata.score or 0.0)
    return round(1.0 - float(metadata.distance), DIGITS)


def _any_of(ids: Iterable[UUID]) -> Any:
    from weaviate.classes.query import Filter as Weaviate

    return Weaviate.by_id().contains_any(list(ids))


def _best(
    score: Scoring, field: str, candidates: Iterable[_Candidate], limit: int
) -> list[_Candidate]:
    """The best by a keyword signal above zero, ties by key."""
    ranked = [
        (-value, candidate.row.key, candidate)
        for candidate in candidates
        if (value := score.score(field, candidate.row))
    ]
    return [candidate for _, _, candidate in heapq.nsmallest(limit, ranked)]
