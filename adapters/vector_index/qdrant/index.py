"""Vector index on Qdrant; see ``VectorIndex`` for the contract.

Qdrant returns candidates; the scores are computed here. The index is fed from the log and can be
rebuilt from it. It connects at the first call.
"""

from __future__ import annotations

import asyncio
import heapq
from array import array
from collections import defaultdict
from collections.abc import Callable, Coroutine, Mapping, Sequence
from importlib.metadata import version
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
from attrs import evolve, frozen

from remembrancer.adapters.damage import decoding
from remembrancer.adapters.index_scoring.argument_checks import (
    check_query,
    checked_vectors,
    components,
)
from remembrancer.adapters.index_scoring.hit_order import DIGITS, strongest_first
from remembrancer.adapters.vector_index.qdrant.connection import (
    LAYOUT,
    Connection,
    QdrantSettings,
)
from remembrancer.adapters.vector_index.qdrant.local_folder import NAME
from remembrancer.adapters.vector_index.qdrant.rendering import (
    REVISION,
    filter_of,
    not_newer_than,
    point_of,
    sparse_query,
    unit_of,
)
from remembrancer.adapters.vector_index.remote.conditions import all_of, marked
from remembrancer.adapters.vector_index.remote.prefilter import (
    Eligibility,
    eligibility,
    in_ledger,
)
from remembrancer.adapters.vector_index.remote.rows import FIELDS, Row, digest, row_of
from remembrancer.adapters.vector_index.remote.scoring import Scoring, best
from remembrancer.adapters.vector_index.remote.tokens import object_id
from remembrancer.application.background_loop import BackgroundLoop
from remembrancer.domain.errors import AdapterUnavailable
from remembrancer.domain.facts.fact import FactKey
from remembrancer.domain.ports.embedder import Vector
from remembrancer.domain.ports.external_engine import LogId
from remembrancer.domain.ports.vector_index import Document, Hit, IndexQuery
from remembrancer.domain.scope import LedgerId

T = TypeVar("T")

EXACT = 20_000
"""Ledgers up to this many documents are searched exactly, larger ones by Qdrant's HNSW graph."""

FEWEST_WORDED = 64
"""Minimum keyword candidates to score; twice the limit, if that is more."""

TIES = 8
"""Extra candidates beyond the limit, to order ties at the cut by key."""

CLAIM = "5a1c9d0e-6f0b-5b57-9d53-0c2f4f7c3b1a"
"""Id of the point that names the log; a UUID that no name leads to. It is in no ledger, so that no
search returns it.
"""

_GROWTH = 4
_VALUES = 10_000
_IDS = 500


@frozen(kw_only=True)
class _Match:
    id: str
    row: Row
    similarity: float | None = None


class QdrantVectorIndex:
    """See ``VectorIndex``. Can be shared between threads and event loops.

    Args:
        settings: the settings.
        model: name of the embedder; a collection made for another one is refused.
        dimension: components per vector.

    Attributes:
        fingerprint: identifies the layout of the rows, without the embedder; an index with another
            fingerprint must be rebuilt.

    Raises:
        InvalidRequest: the client is not installed.
    """

    def __init__(self, settings: QdrantSettings, model: str, dimension: int) -> None:
        self.fingerprint = f"{settings.collection}/{LAYOUT}"
        self._settings = settings
        self._dimension = dimension
        self._connection = Connection(settings, model, dimension)
        self._loop = BackgroundLoop(NAME)

    async def put(self, documents: Sequence[Document]) -> None:
        """See ``VectorIndex.put``."""
        vectors = checked_vectors(documents, self._dimension)
        points = {
            document.key: point_of(document, vector)
            for document, vector in zip(documents, vectors, strict=True)
        }
        by_revision: dict[int, list[Any]] = defaultdict(list)
        for point in points.values():
            by_revision[point.payload[REVISION]].append(point)
        for revision, same in by_revision.items():
            await self._run(self._put(same, revision))

    async def remove(self, keys: Sequence[FactKey]) -> None:
        """See ``VectorIndex.remove``."""
        ids = [str(object_id(key)) for key in dict.fromkeys(keys)]
        await self._run(self._remove(ids))

    async def search(self, query: IndexQuery) -> list[Hit]:
        """See ``VectorIndex.search``."""
        check_query(query)
        vector = None
        if query.vector is not None:
            vector = unit_of(components(query.vector, self._dimension, "vector"))
        return await self._run(self._search(query, vector))

    async def speakers(self, ledger: LedgerId) -> Sequence[str]:
        """See ``VectorIndex.speakers``."""
        return sorted(await self._run(self._values("speaker", ledger)))

    async def vectors_for(self, texts: Sequence[str]) -> Mapping[str, Vector]:
        """See ``VectorIndex.vectors_for``."""
        return await self._run(self._vectors_for({digest(text): text for text in texts}))

    async def count(self, ledger: LedgerId) -> int:
        """See ``VectorIndex.count``."""
        return await self._run(self._count(in_ledger(ledger)))

    async def claim(self, log: LogId, *, bind: bool) -> LogId | None:
        """See ``Claimable``. Two logs that bind a new collection at once may both be told that it
        is theirs; the next call corrects one of them.
        """
        return await self._run(self._claim(log, bind=bind))

    async def clear(self) -> None:
        """Drop the collection; the next call creates it for the configured embedder."""
        await self._run(self._connection.drop())

    async def ping(self) -> str:
        """Return name and version of the server, or of the client in local mode.

        Raises:
            AdapterUnavailable: the server does not answer.
        """
        return await self._run(self._ping())

    async def close(self) -> None:
        """Close the client. Idempotent."""
        left = await self._loop.close_async(last=self._connection.close())
        if left:
            raise AdapterUnavailable(NAME, f"did not end while it was closed: {', '.join(left)}")

    async def _run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run work in the loop of the client; answers that can't be read are ``IntegrityError``."""
        with decoding(f"{NAME}, collection {self._settings.collection}"):
            return await self._loop.run_async(work)

    async def _call(self, method: str, *arguments: Any, **named: Any) -> Any:
        client = await self._connection.client()
        call = getattr(client, method)
        return await self._connection.ask(call(self._settings.collection, *arguments, **named))

    async def _put(self, points: Sequence[Any], revision: int) -> None:
        """Upsert points, except where Qdrant holds a newer one. Servers before 1.16 don't compare,
        and replace all.
        """
        size = self._settings.batch
        condition = {"update_filter": not_newer_than(revision)} if revision else {}
        for start in range(0, len(points), size):
            batch = points[start : start + size]
            await self._call("upsert", points=batch, wait=True, **condition)

    async def _remove(self, ids: Sequence[str]) -> None:
        from qdrant_client import models

        for start in range(0, len(ids), _IDS):
            selected = models.PointIdsList(points=list(ids[start : start + _IDS]))
            await self._call("delete", points_selector=selected, wait=True)

    async def _claim(self, log: LogId, *, bind: bool) -> LogId | None:
        from qdrant_client import models

        held = await self._held()
        if held is None and bind:
            marker = models.PointStruct(id=CLAIM, vector={}, payload={"log": log})
            await self._call("upsert", points=[marker], wait=True)
            held = await self._held()
        return held

    async def _held(self) -> LogId | None:
        points = await self._call("retrieve", ids=[CLAIM], with_payload=["log"])
        return LogId(points[0].payload["log"]) if points else None

    async def _ping(self) -> str:
        if not self._settings.url:
            return f"{NAME} {version('qdrant-client')} (local)"
        found = await self._connection.ask(self._connection.opened().info())
        return f"{NAME} {found.version}"

    async def _count(self, condition: Any) -> int:
        found = await self._call("count", count_filter=filter_of(condition), exact=True)
        count: int = found.count
        return count

    async def _values(
        self, field: str, ledger: LedgerId, among: Sequence[str] = ()
    ) -> dict[Any, int]:
        """Return the values of a field in a ledger, each with its number of documents."""
        condition = all_of([in_ledger(ledger), marked(field, among) if among else True])
        found = await self._call(
            "facet", key=field, facet_filter=filter_of(condition), limit=_VALUES, exact=True
        )
        return {hit.value: hit.count for hit in found.hits}

    async def _vectors_for(self, texts: Mapping[str, str]) -> dict[str, Vector]:
        found: dict[str, Vector] = {}
        digests = list(texts)
        for start in range(0, len(digests), _IDS):
            wanted = filter_of(marked("digest", digests[start : start + _IDS]))
            page: Any = None
            while True:
                points, page = await self._call(
                    "scroll",
                    scroll_filter=wanted,
                    limit=_IDS,
                    offset=page,
                    with_payload=["digest", "vector"],
                    with_vectors=["text"],
                )
                for point in points:
                    if "text" in (point.vector or {}):
                        given = point.payload.get("vector", point.vector["text"])
                        found[texts[point.payload["digest"]]] = array("f", given)
                if page is None:
                    break
        return found

    async def _search(self, query: IndexQuery, vector: npt.NDArray[np.float32] | None) -> list[Hit]:
        eligible, ledger = eligibility(query), query.scope.ledger
        documents = await self._count(in_ledger(ledger))
        if eligible.condition is False or not documents:
            return []
        score = await self._scoring(ledger, documents, query.terms, query.names)
        nearest, *worded = await asyncio.gather(
            self._nearest(eligible, vector, exact=documents <= EXACT),
            *(self._worded(eligible, field, score.rarities.get(field)) for field in FIELDS),
        )
        chosen = {one.row.key: one for one in nearest}
        for field, found in zip(FIELDS, worded, strict=True):
            by_key = {one.row.key: one for one in found}
            hits = [score.hit(one.row, None) for one in found]
            signal = (lambda hit: hit.keyword) if field == FIELDS[0] else (lambda hit: hit.context)
            for hit in best(hits, signal, query.limit):
                chosen.setdefault(hit.key, by_key[hit.key])
        similar = await self._similarities(list(chosen.values()), vector)
        return strongest_first(score.hit(one.row, similar[one.id]) for one in chosen.values())

    async def _scoring(
        self, ledger: LedgerId, documents: int, terms: Sequence[str], names: Sequence[str]
    ) -> Scoring:
        async def holders(field: str) -> dict[str, int]:
            counts = await asyncio.gather(
                *(self._count(all_of([in_ledger(ledger), marked(field, [term])])) for term in terms)
            )
            return dict(zip(terms, counts, strict=True))

        async def average(field: str) -> float:
            lengths = await self._values(f"{field}_length", ledger)
            return float(sum(length * count for length, count in lengths.items())) / documents

        known = await self._values("names", ledger, names) if names else {}
        fields = FIELDS if terms else ()
        return Scoring.of(
            documents=documents,
            names=frozenset(name for name in names if name in known),
            holders={field: await holders(field) for field in fields},
            averages={field: await average(field) for field in fields},
        )

    async def _nearest(
        self, eligible: Eligibility, vector: npt.NDArray[np.float32] | None, *, exact: bool
    ) -> list[_Match]:
        """Return the best by similarity; ties at the cut are ordered by key."""
        from qdrant_client import models

        if vector is None:
            return []
        limit = eligible.query.limit

        def settled(found: Sequence[_Match]) -> bool:
            # The last one is further away than the cut: no tie is missing.
            return len(found) > limit and _distance(found[-1]) > _distance(found[limit - 1])

        found = await self._paged(
            eligible,
            limit + TIES,
            settled,
            query=vector.tolist(),
            using="text",
            # The local mode is always exact, and warns if this is set.
            search_params=models.SearchParams(exact=exact) if self._settings.url else None,
        )
        return heapq.nsmallest(limit, found, key=lambda one: (_distance(one), one.row.key))

    async def _worded(
        self, eligible: Eligibility, field: str, rarities: Mapping[str, float] | None
    ) -> list[_Match]:
        """Return keyword candidates, more than the limit, in Qdrant's order."""
        if not rarities:
            return []
        window = max(FEWEST_WORDED, 2 * eligible.query.limit)
        found = await self._paged(
            eligible,
            window,
            lambda found: len(found) >= window,
            query=sparse_query(rarities),
            using=field,
        )
        return [evolve(one, similarity=None) for one in found]

    async def _paged(
        self,
        eligible: Eligibility,
        size: int,
        enough: Callable[[Sequence[_Match]], bool],
        **asked: Any,
    ) -> list[_Match]:
        """Read pages of candidates until ``enough`` are eligible, or no more exist."""
        found: list[_Match] = []
        offset = 0
        while True:
            answer = await self._call(
                "query_points",
                query_filter=filter_of(eligible.condition),
                limit=size,
                offset=offset,
                with_payload=["row", *FIELDS, *(() if eligible.exact else ("attributes",))],
                **asked,
            )
            rows = [
                _Match(
                    id=str(point.id),
                    row=row_of(point.payload),
                    similarity=round(point.score, DIGITS),
                )
                for point in answer.points
            ]
            found += [one for one in rows if eligible.admits(one.row)]
            if len(rows) < size or enough(found):
                return found
            offset += size
            size *= _GROWTH

    async def _similarities(
        self, candidates: Sequence[_Match], vector: npt.NDArray[np.float32] | None
    ) -> dict[str, float | None]:
        """Return the similarity by id; computed here for candidates found by keyword only."""
        similar = {one.id: one.similarity for one in candidates}
        missing = [one.id for one in candidates if one.similarity is None]
        if vector is None or not missing:
            return similar
        points = await self._call(
            "retrieve", ids=missing, with_payload=False, with_vectors=["text"]
        )
        for point in points:
            if "text" in (point.vector or {}):
                held = np.asarray(point.vector["text"], dtype=np.float64)
                similar[str(point.id)] = round(float(held @ vector.astype(np.float64)), DIGITS)
        return similar


def _distance(candidate: _Match) -> float:
    assert candidate.similarity is not None
    return -candidate.similarity
