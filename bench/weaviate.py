"""Weaviate: what the adapter adds to a search of the engine.

It loads facts into a Weaviate server, ``WEAVIATE_URL`` and ``WEAVIATE_GRPC_PORT``, and searches
them through the adapter and with the client alone: the same vector and keyword queries with the
same filter and the same properties returned, at the same time, on the same loop. A second row of
the client also asks for the similarity of what came up by keyword alone, as the contract does:
that is one more round trip. They take turns query by query, so that what else the machine does
meets all.

    python -m bench.weaviate --facts 100000 --ledgers 20
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import uuid
from collections.abc import Awaitable
from datetime import UTC, datetime, timedelta
from time import perf_counter
from typing import Any
from urllib.parse import urlsplit

import numpy as np

from memledger.adapters.vector_index import bm25
from memledger.adapters.vector_index.served.eligibility import eligibility
from memledger.adapters.vector_index.weaviate import (
    Tenancy,
    WeaviateSettings,
    WeaviateVectorIndex,
)
from memledger.adapters.vector_index.weaviate.rendering import rendered
from memledger.domain.fact import FactId, Interval
from memledger.domain.ports.vector_index import Document, IndexQuery
from memledger.domain.scope import Scope

NOON = datetime(2024, 5, 3, 12, tzinfo=UTC)
WORDS = [f"word{n}" for n in range(20_000)]
LIMIT = 50
PAGE = 1000


def scope(ledger: int) -> Scope:
    """The owner of a ledger."""
    return Scope(user_id=f"user {ledger}")


def text(chance: random.Random, words: int) -> str:
    """Words, a few of them often, as in what people say."""
    return " ".join(WORDS[int(chance.paretovariate(0.6)) % len(WORDS)] for _ in range(words))


def documents(chance: random.Random, numbers: range, args: argparse.Namespace) -> list[Document]:
    """Facts with contexts, spread evenly over the ledgers."""
    vectors = np.random.default_rng(numbers.start).standard_normal(
        (len(numbers), args.dimension), dtype=np.float32
    )
    return [
        Document(
            key=(FactId(uuid.UUID(int=number).hex), 1),
            scope=scope(number % args.ledgers),
            text=text(chance, chance.randint(6, 18)),
            context=text(chance, chance.randint(20, 60)),
            speaker="Alice",
            entities=("Alice",),
            occurred_at=NOON,
            visible=Interval(start=NOON),
            attributes={"kind": "semantic", "created_at": NOON, "metadata": {"n": number % 10}},
            vector=vector,  # pyright: ignore[reportArgumentType]
        )
        for number, vector in zip(numbers, vectors, strict=True)
    ]


def queries(chance: random.Random, args: argparse.Namespace) -> list[IndexQuery]:
    """Questions of three words to one ledger after the other."""
    vectors = np.random.default_rng(7).standard_normal((args.queries, args.dimension))
    return [
        IndexQuery(
            scope=scope(number % args.ledgers),
            text=text(chance, 3),
            vector=vector.astype(np.float32),
            now=NOON + timedelta(hours=1),
            as_of=NOON + timedelta(hours=1),
            limit=LIMIT,
        )
        for number, vector in enumerate(vectors)
    ]


async def by_the_client(
    index: WeaviateVectorIndex, query: IndexQuery, *, all_signals: bool = False
) -> None:
    """The three queries of the engine that answer it, with the client alone."""
    from weaviate.classes.query import Filter, MetadataQuery

    client = await index._client()
    collection = index._of(client, query.scope.ledger)
    condition = rendered(eligibility(query).condition)
    assert query.text is not None
    assert query.vector is not None
    properties = ["row", "words", "around"]
    terms = " ".join(bm25.query_terms(query.text))
    vector: Any = np.asarray(query.vector).tolist()
    near, *worded = await asyncio.gather(
        collection.query.near_vector(
            vector,
            filters=condition,
            limit=LIMIT,
            return_metadata=MetadataQuery(distance=True),
            return_properties=properties,
        ),
        *(
            collection.query.bm25(
                terms,
                query_properties=[field],
                filters=condition,
                limit=LIMIT,
                return_metadata=MetadataQuery(score=True),
                return_properties=properties,
            )
            for field in ("words", "around")
        ),
    )
    known = {each.uuid for each in near.objects}
    others = {each.uuid for found in worded for each in found.objects} - known
    if all_signals and others:
        await collection.query.near_vector(
            vector,
            filters=Filter.by_id().contains_any(list(others)),
            limit=len(others),
            return_metadata=MetadataQuery(distance=True),
            return_properties=[],
        )


async def timed(call: Awaitable[Any]) -> float:
    """Milliseconds."""
    began = perf_counter()
    await call
    return (perf_counter() - began) * 1000


def shown(name: str, times: list[float]) -> None:
    """One line of the report."""
    p50, p95 = np.percentile(times, [50, 95])
    print(f"{name:<44} p50 {p50:7.2f} ms   p95 {p95:7.2f} ms", flush=True)


async def load(index: WeaviateVectorIndex, chance: random.Random, args: argparse.Namespace) -> None:
    """Put all facts in."""
    began = perf_counter()
    for start in range(0, args.facts, PAGE):
        await index.put(documents(chance, range(start, min(args.facts, start + PAGE)), args))
    seconds = perf_counter() - began
    print(f"loaded {args.facts:,} facts at {args.facts / seconds:,.0f} a second", flush=True)


async def search(index: WeaviateVectorIndex, asked: list[IndexQuery]) -> None:
    """Search in turns, and report."""
    client: list[float] = []
    signals: list[float] = []
    adapter: list[float] = []
    first = [await timed(index.search(query)) for query in asked]
    for query in asked:
        client.append(await timed(index._loop.run(by_the_client(index, query))))
        call = by_the_client(index, query, all_signals=True)
        signals.append(await timed(index._loop.run(call)))
        adapter.append(await timed(index.search(query)))
    shown("the client alone: near_vector and two bm25", client)
    shown("the client alone, all signals of each", signals)
    shown("the adapter", adapter)
    shown("the adapter, terms not counted before", first)
    for name, times in (("client", client), ("client, all signals", signals)):
        ratios = [np.percentile(adapter, at) / np.percentile(times, at) for at in (50, 95)]
        print(f"adapter / {name}: p50 {ratios[0]:.2f}, p95 {ratios[1]:.2f}")


async def main(args: argparse.Namespace) -> None:
    """Load and search."""
    url = urlsplit(os.environ["WEAVIATE_URL"])
    settings = WeaviateSettings(
        host=url.hostname or "127.0.0.1",
        port=url.port or 8080,
        grpc_port=int(os.environ.get("WEAVIATE_GRPC_PORT", "50051")),
        collection=args.collection,
        tenancy=Tenancy(args.tenancy),
    )
    index = WeaviateVectorIndex(settings, "bench", args.dimension)
    chance = random.Random(7)
    try:
        print(await index.ping(), flush=True)
        if not args.loaded:
            await index.clear()
            await load(index, chance, args)
        await search(index, queries(random.Random(11), args))
    finally:
        await index.close()


def arguments() -> argparse.Namespace:
    """What was asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--facts", type=int, default=100_000)
    parser.add_argument("--ledgers", type=int, default=20)
    parser.add_argument("--dimension", type=int, default=256)
    parser.add_argument("--queries", type=int, default=300)
    parser.add_argument("--tenancy", choices=[each.value for each in Tenancy], default="bucket")
    parser.add_argument("--collection", default="MemledgerBench")
    parser.add_argument("--loaded", action="store_true", help="search what an earlier run loaded")
    return parser.parse_args()


if __name__ == "__main__":
    asyncio.run(main(arguments()))
