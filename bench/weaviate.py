"""Search in Weaviate: the adapter against hand-written code with the Weaviate client.

Half of the facts belong to one big owner, the other half to owners with a hundred each; vectors
and texts are those of ``bench.scale``. Measures ``VectorIndex.search`` with vector and text, 100
candidates per signal. The counterpart reads the same signals from the same server and collection,
with the same filter (owner and times):

* "all signals": ``near_vector`` and a ``bm25`` for each of the two text fields, concurrently; then,
  again concurrently, the similarities and scores that a hit of the first three queries lacks, by
  its id. A result of the port has every signal of every hit. The bar is here: at most a fifth
  slower.
* "three queries": the first step alone, with missing signals. It has no bar.

The counterpart has advantages: it returns the stored text of a hit, where the adapter creates
``Hit`` objects; its BM25 is the server's, which counts over all owners of a tenant, where the
adapter computes scores from counts of the owner alone; it does not check for concurrent writes; the
client skips its argument validation; and it is timed inside the adapter's event loop, without the
thread switch (two gRPC clients on two loops of one process disturb each other).

The adapter reads counts from the server at the first search of a ledger, and for each new term:
"nothing counted" clears all cached counts before every search, as in a new process. A write to the
ledger has the same effect, except for the mean lengths of a large ledger. "hits in common" is the
share of the counterpart's hits that the adapter returns too; they differ where the BM25 scores do.

**The limit.** The server takes most of the time of both, and shares the cores with them.

The server is given by ``WEAVIATE_URL`` and ``WEAVIATE_GRPC_PORT``.

    python -m bench.weaviate
    python -m bench.weaviate --facts 1000000 --queries 50
    python -m bench.weaviate --facts 1000000 --queries 50 --loaded
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import time
from array import array
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from functools import partial
from typing import Any
from urllib.parse import urlsplit

from bench.report import Row, quantile, report
from bench.scale import LIMIT, START, Corpus, Shape, document, half
from remembrancer.adapters.vector_index.remote.clamped_times import held_end
from remembrancer.adapters.vector_index.remote.tokens import ledger_token
from remembrancer.adapters.vector_index.weaviate import (
    Tenancy,
    WeaviateSettings,
    WeaviateVectorIndex,
)
from remembrancer.adapters.vector_index.weaviate.collections import Collections
from remembrancer.domain.ports.vector_index import IndexQuery

BAR = 1 / 1.2
"""Required share of the client's speed: at most a fifth slower."""

NOW = START + timedelta(days=1000)
UNCOUNTED = 10
"""Warm-up queries of each kind, not measured."""

Ask = Callable[[IndexQuery], Awaitable[object]]
Timed = Callable[[IndexQuery], Awaitable[float]]


class Raw:
    """Hand-written queries. All methods run on the event loop of the index.

    Args:
        settings: settings of the collection.
        index: the adapter whose client is used.
        dimension: components per vector.
    """

    def __init__(
        self, settings: WeaviateSettings, index: WeaviateVectorIndex, dimension: int
    ) -> None:
        self._index = index
        self._client: Any = None
        self._name = settings.collection
        self._homes = Collections(settings=settings, model="bench", dimension=dimension)

    async def timed(self, ask: Ask, query: IndexQuery) -> float:
        """Return the seconds of one of the methods below."""

        async def inside() -> float:
            before = time.perf_counter()
            await ask(query)
            return time.perf_counter() - before

        return await self._index._loop.run_async(inside())

    async def connect(self) -> None:
        """Take the client of the index; must be called first."""
        self._client = await self._index._loop.run_async(self._index._client())

    async def three(self, query: IndexQuery) -> set[Any]:
        """Run the three queries; return the ids of all hits."""
        near, words, around = await self._first(query)
        return {each.uuid for found in (near, words, around) for each in found}

    async def all_signals(self, query: IndexQuery) -> dict[Any, list[Any]]:
        """By id: the stored row of a hit, its similarity and its two scores."""
        first = await self._first(query)
        known = [{each.uuid: each for each in found} for found in first]
        ids = set[Any]().union(*known)
        rest = [list(ids - each.keys()) for each in known]
        signals: list[dict[Any, float | None]] = [
            {
                each.uuid: each.metadata.score if place else 1.0 - each.metadata.distance
                for each in found
            }
            for place, found in enumerate(first)
        ]
        for known_signal, more in zip(signals, await self._rest(query, rest), strict=True):
            known_signal.update(more)
        rows = {uuid: each for part in known for uuid, each in part.items()}
        return {
            uuid: [rows[uuid].properties["row"], *(signal.get(uuid) for signal in signals)]
            for uuid in ids
        }

    def _collection(self, query: IndexQuery) -> Any:
        collection = self._client.collections.use(self._name, skip_argument_validation=True)
        tenant = self._homes.tenant(query.scope.ledger)
        return collection if tenant is None else collection.with_tenant(tenant)

    async def _first(self, query: IndexQuery) -> list[list[Any]]:
        from weaviate.classes.query import Filter

        moment = held_end(query.now)
        within = Filter.all_of(
            [
                Filter.by_property("ledger").equal(ledger_token(query.scope.ledger)),
                Filter.by_property("visible_to").greater_than(moment),
                Filter.by_property("holds_to").greater_than(moment),
            ]
        )
        collection = self._collection(query)
        return await asyncio.gather(
            self._near(collection, query, within, LIMIT, ["row"]),
            *(
                self._worded(collection, query, field, within, LIMIT, ["row"])
                for field in ("words", "around")
            ),
        )

    async def _rest(self, query: IndexQuery, rest: list[list[Any]]) -> list[dict[Any, float]]:
        from weaviate.classes.query import Filter

        collection = self._collection(query)

        async def nothing() -> list[Any]:
            return []

        near, *fields = rest
        calls = [
            self._near(collection, query, Filter.by_id().contains_any(near), len(near), [])
            if near
            else nothing(),
            *(
                self._worded(
                    collection, query, field, Filter.by_id().contains_any(ids), len(ids), []
                )
                if ids
                else nothing()
                for field, ids in zip(("words", "around"), fields, strict=True)
            ),
        ]
        similar, *scored = await asyncio.gather(*calls)
        return [
            {each.uuid: 1.0 - each.metadata.distance for each in similar},
            *({each.uuid: each.metadata.score for each in found} for found in scored),
        ]

    async def _near(
        self, collection: Any, query: IndexQuery, within: Any, limit: int, properties: list[str]
    ) -> list[Any]:
        from weaviate.classes.query import MetadataQuery

        assert query.vector is not None
        found = await collection.query.near_vector(
            list(query.vector),
            filters=within,
            limit=limit,
            return_metadata=MetadataQuery(distance=True),
            return_properties=properties,
        )
        return list(found.objects)

    async def _worded(
        self,
        collection: Any,
        query: IndexQuery,
        field: str,
        within: Any,
        limit: int,
        properties: list[str],
    ) -> list[Any]:
        from weaviate.classes.query import MetadataQuery

        assert query.text is not None
        found = await collection.query.bm25(
            " ".join(query.terms),
            query_properties=[field],
            filters=within,
            limit=limit,
            return_metadata=MetadataQuery(score=True),
            return_properties=properties,
        )
        return list(found.objects)


async def load(index: WeaviateVectorIndex, corpus: Corpus, shape: Shape) -> float:
    """Write all facts, preparing a batch while the previous one is written; return the seconds."""
    await index.clear()
    began = time.perf_counter()
    writing: asyncio.Task[None] | None = None
    for start, vectors, texts, contexts in corpus.batches():
        documents = [
            document(shape, start + place, *fields)
            for place, fields in enumerate(zip(texts, contexts, vectors, strict=True))
        ]
        if writing is not None:
            await writing
        writing = asyncio.create_task(index.put(documents))
        # Let the task start; it continues in the thread of the index.
        await asyncio.sleep(0)
        if start % 20_000 == 0:
            seconds = time.perf_counter() - began
            print(f"{start:,} of {corpus.facts:,}: {seconds:.0f} s", file=sys.stderr, flush=True)
    if writing is not None:
        await writing
    return time.perf_counter() - began


async def in_turns(queries: Sequence[IndexQuery], *subjects: Timed) -> list[list[float]]:
    """Seconds of each subject, query by query in turns, after some warm-up queries."""
    taken: list[list[float]] = [[] for _ in subjects]
    for place, query in enumerate([*queries[:UNCOUNTED], *queries]):
        order = list(zip(taken, subjects, strict=True))
        for times, timed in order if place % 2 else reversed(order):
            seconds = await timed(query)
            if place >= min(UNCOUNTED, len(queries)):
                times.append(seconds)
    return taken


def compared(case: str, ours: list[float], theirs: list[float], bar: float | None) -> list[Row]:
    """Rows of one comparison."""
    rows = [
        Row(
            case=f"{case}, {name}",
            unit="ms",
            ours=quantile(ours, q) * 1e3,
            theirs=quantile(theirs, q) * 1e3,
            more_is_better=False,
            bar=bar,
        )
        for name, q in (("p50", 0.5), ("p95", 0.95))
    ]
    print(*(f"{row.case}: {row.ours:.2f} {row.theirs:.2f}" for row in rows), file=sys.stderr)
    return rows


async def searching(
    name: str, index: WeaviateVectorIndex, raw: Raw, queries: Sequence[IndexQuery]
) -> list[Row]:
    """All comparisons for one size of owner."""

    async def ours(query: IndexQuery) -> float:
        before = time.perf_counter()
        await index.search(query)
        return time.perf_counter() - before

    async def uncounted(query: IndexQuery) -> float:
        index._statistics.forget()
        return await ours(query)

    theirs, three = partial(raw.timed, raw.all_signals), partial(raw.timed, raw.three)
    # This runs first, so that all terms are counted afterwards.
    shared = [await common(index, raw, query) for query in queries]
    known, whole, part = await in_turns(queries, ours, theirs, three)
    first, beside = await in_turns(queries, uncounted, theirs)
    return [
        *compared(f"{name}, all signals", known, whole, BAR),
        *compared(f"{name}, three queries", known, part, None),
        *compared(f"{name}, nothing counted, all signals", first, beside, None),
        Row(case=f"{name}, hits in common", unit="", ours=sum(shared) / len(shared)),
    ]


async def common(index: WeaviateVectorIndex, raw: Raw, query: IndexQuery) -> float:
    """Share of the counterpart's hits that the adapter returns too."""
    ours = {hit.key[0] for hit in await index.search(query)}
    rows = await index._loop.run_async(raw.all_signals(query))
    theirs = {json.loads(row[0])[0] for row in rows.values()}
    return len(ours & theirs) / len(theirs)


def asked(corpus: Corpus, shape: Shape, count: int, *, big: bool) -> list[IndexQuery]:
    """Queries for the big owner, or for small ones."""
    return [
        IndexQuery(
            scope=shape.scope(number),
            text=text,
            vector=array("f", vector.tobytes()),
            now=NOW,
            limit=LIMIT,
        )
        for number, text, vector in corpus.queries(4 * count)
        if (number % 2 == 0) is big
    ][:count]


async def run(options: argparse.Namespace, settings: WeaviateSettings) -> list[Row]:
    """Load unless ``--loaded`` is given, then search."""
    corpus, shape = Corpus(options.facts, options.dimension), half(options.facts)
    index = WeaviateVectorIndex(settings, "bench", options.dimension)
    rows: list[Row] = []
    try:
        print(await index.ping(), file=sys.stderr)
        if not options.loaded:
            seconds = await load(index, corpus, shape)
            rows.append(Row(case="loading", unit="facts/s", ours=options.facts / seconds))
        raw = Raw(settings, index, options.dimension)
        await raw.connect()
        for name, big in (("small owner", False), ("big owner", True)):
            queries = asked(corpus, shape, options.queries, big=big)
            rows += await searching(name, index, raw, queries)
    finally:
        await index.close()
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--facts", type=int, default=30_000)
    parser.add_argument("--dimension", type=int, default=384)
    parser.add_argument("--queries", type=int, default=200)
    parser.add_argument("--tenancy", choices=[each.value for each in Tenancy], default="bucket")
    parser.add_argument("--collection", default="RemembrancerBench")
    parser.add_argument("--loaded", action="store_true", help="search what an earlier run loaded")
    options = parser.parse_args()
    url = urlsplit(os.environ["WEAVIATE_URL"])
    settings = WeaviateSettings(
        host=url.hostname or "127.0.0.1",
        port=url.port or 8080,
        grpc_port=int(os.environ.get("WEAVIATE_GRPC_PORT", "50051")),
        collection=options.collection,
        tenancy=Tenancy(options.tenancy),
    )
    met = report(
        "weaviate",
        f"Weaviate at {options.facts:,} facts",
        asyncio.run(run(options, settings)),
        subjects=("remembrancer", "client"),
        settings={
            "facts": options.facts,
            "dimension": options.dimension,
            "limit": LIMIT,
            "tenancy": options.tenancy,
        },
    )
    sys.exit(0 if met else 1)


if __name__ == "__main__":
    main()
