"""Tests of the Weaviate index beyond the contract: large ledgers, ties, statistics, settings."""

from __future__ import annotations

import asyncio
import threading
from array import array
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from attrs import evolve

from remembrancer import Memory
from remembrancer.adapters.stores.memory.vector_index import InMemoryVectorIndex
from remembrancer.adapters.vector_index.weaviate import (
    IndexKind,
    Tenancy,
    WeaviateSettings,
    WeaviateVectorIndex,
)
from remembrancer.application.background_loop import BackgroundLoop
from remembrancer.application.inline import run_inline
from remembrancer.domain.facts.fact import FactId, Interval
from remembrancer.domain.filters.parse import parse_filter
from remembrancer.domain.ports.vector_index import Document, Hit, IndexQuery
from remembrancer.domain.scope import LedgerId, Scope
from remembrancer.runtime.sync_bridge import lift_inline, lift_to_threads
from remembrancer.testing.driving import Driven
from remembrancer.testing.vector_index import DIMENSION, LATER, NOON, document, vector
from remembrancer.testing.weaviate import WeaviateServer
from remembrancer.wiring.settings import load_settings
from tests.adapters.weaviate.making import MakeIndex

ALICE = LedgerId("user:alice")
TEA = IndexQuery(scope=Scope(user_id="alice"), text="tea", vector=vector(1), now=LATER)


def numbered(count: int, **fields: Any) -> list[Document]:
    """Documents whose vectors turn away from the first axis as the number grows."""
    return [
        document(
            f"tea number{n}",
            key=(FactId(f"{n:05}"), 1),
            vector=vector(1, n / count),
            attributes={"metadata": {"n": n}},
            **fields,
        )
        for n in range(count)
    ]


def in_memory(documents: list[Document], query: IndexQuery) -> list[Hit]:
    """Hits of the in-memory index, as reference."""
    reference = InMemoryVectorIndex()
    reference.put(documents)
    return reference.search(query)


def names_of_threads() -> set[str]:
    """Names of the running threads."""
    return {thread.name for thread in threading.enumerate()}


def signals(hits: list[Hit]) -> list[Any]:
    """Keys with their signals, compared up to the last digit."""
    return [
        (hit.key, *(pytest.approx(value, abs=2e-6) for value in (hit.similarity, hit.keyword)))
        for hit in hits
    ]


def test_two_indexes_on_one_collection_share_documents(make_index: MakeIndex) -> None:
    one, two = make_index(), make_index()
    tea = document("tea")
    with ThreadPoolExecutor() as pool:
        list(pool.map(lambda index: index.put([tea]), [one, two]))
    assert one.count(ALICE) == two.count(ALICE) == 1
    assert two.search(TEA) == one.search(TEA)
    two.put([document("more tea")])
    assert len(one.search(TEA)) == 2
    one.remove([tea.key])
    assert len(two.search(TEA)) == 1


@pytest.mark.parametrize("tenancy", list(Tenancy))
def test_keys_lists_all_documents(
    make_index: MakeIndex, monkeypatch: pytest.MonkeyPatch, tenancy: Tenancy
) -> None:
    monkeypatch.setattr("remembrancer.adapters.vector_index.weaviate.index.IDS", 3)
    index = make_index(tenancy=tenancy)
    assert index.keys() == []
    mine, theirs = numbered(8), [document("tea", scope=Scope(user_id="bob"))]
    index.put([*mine, *theirs])
    assert index.keys() == sorted(each.key for each in [*mine, *theirs])
    index.remove([each.key for each in mine[:7]])
    assert index.keys() == sorted([mine[7].key, theirs[0].key])


def test_cleared_index_is_empty_and_usable(make_index: MakeIndex) -> None:
    index, other = make_index(), make_index()
    index.put(numbered(3, speaker="Alice"))
    assert len(other.search(TEA)) == 3
    index.clear()
    for each in (index, other):
        assert each.keys() == []
        assert each.search(TEA) == []
        assert each.speakers(ALICE) == ()
    other.put([document("tea")])
    assert len(index.search(TEA)) == 1


def test_ping_returns_name_and_version(make_index: MakeIndex) -> None:
    name, version = make_index().ping().split()
    assert name == "weaviate"
    assert tuple(map(int, version.split(".")[:2])) >= (1, 33)


@pytest.mark.parametrize("kind", list(IndexKind))
def test_filter_without_a_server_equivalent_is_applied_before_the_cut(
    make_index: MakeIndex, monkeypatch: pytest.MonkeyPatch, kind: IndexKind
) -> None:
    index = make_index(index=kind)
    documents = numbered(120)
    index.put(documents)
    query = evolve(TEA, where=parse_filter({"n": {"gte": 117}}), limit=2)
    expected = signals(in_memory(documents, query))
    assert {key for key, *_ in expected} == {each.key for each in documents[117:119]}
    assert signals(index.search(query)) == expected
    # The same with a maximum of results that ends before the eligible documents.
    search = "remembrancer.adapters.vector_index.weaviate.search"
    for name, value in {"MOST": 90, "_PIECE": 16, "_LISTED": 33}.items():
        monkeypatch.setattr(f"{search}.{name}", value)
    assert signals(index.search(query)) == expected
    none = evolve(query, where=parse_filter({"n": {"gte": 200}}))
    assert index.search(none) == []


def test_ties_at_the_cut_are_ordered_by_key_beyond_the_first_page(make_index: MakeIndex) -> None:
    index = make_index()
    documents = numbered(40)
    alike = [evolve(each, vector=vector(1)) for each in documents]
    index.put(alike[::-1])
    found = index.search(evolve(TEA, text=None, limit=9))
    assert [hit.key for hit in found] == [each.key for each in alike[:9]]


def test_search_returns_some_of_very_many_ties_at_the_cut(make_index: MakeIndex) -> None:
    index = make_index()
    index.put([document("tea", vector=vector(1)) for _ in range(300)])
    found = index.search(evolve(TEA, limit=2))
    assert 2 <= len(found) <= 4
    assert {(hit.similarity, hit.keyword) for hit in found} == {(1.0, found[0].keyword)}


def test_times_beyond_the_range_of_the_server_are_compared_exactly(
    make_index: MakeIndex,
) -> None:
    first, last = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)
    tick = timedelta(microseconds=1)
    documents = [
        document("tea", visible=Interval(start=start, end=end), valid=Interval(start=start))
        for start in (None, first, first + tick, NOON)
        for end in (None, last, last - tick)
    ]
    documents = [
        evolve(each, attributes={"valid_from": each.valid.start, "valid_to": each.visible.end})
        for each in documents
    ]
    index = make_index()
    index.put(documents)
    queries = [
        *(evolve(TEA, as_of=moment) for moment in (first, first + tick, last - tick, last)),
        *(evolve(TEA, valid_at=moment) for moment in (first, last)),
        evolve(TEA, now=last - tick),
        *(
            evolve(TEA, where=parse_filter({field: {test: moment}}))
            for field in ("valid_from", "valid_to")
            for test in ("eq", "ne", "gt", "gte", "lt", "lte")
            for moment in (first, first + tick, NOON, last - tick)
        ),
    ]
    for query in queries:
        assert signals(index.search(query)) == signals(in_memory(documents, query))
    (hit, *_) = index.search(evolve(TEA, as_of=first, limit=100))
    assert hit.valid.start in (None, first)


def test_vectors_of_any_length_are_returned_unchanged(make_index: MakeIndex) -> None:
    lengths = [1e-40, 1e-30, 0.0, 1.0, 3e38]
    vectors = {f"text {x}": vector(x, -x, x / 3) for x in lengths}
    index = make_index()
    index.put([document(text, vector=each) for text, each in vectors.items()])
    assert dict(index.vectors_for([*vectors, "never seen"])) == vectors
    found = index.search(evolve(TEA, text=None, vector=array("f", [1e-40, -1e-40, 0, 0])))
    assert {round(hit.similarity or 0.0, 2) for hit in found} == {0.0, 0.97}


def test_vectors_for_returns_one_vector_for_a_text_in_many_ledgers(make_index: MakeIndex) -> None:
    index = make_index(tenancy=Tenancy.LEDGER)
    scopes = [Scope(user_id=f"user {n}") for n in range(5)]
    index.put([document("tea", scope=scope, vector=vector(1, 2)) for scope in scopes])
    assert dict(index.vectors_for(["tea"])) == {"tea": vector(1, 2)}


def test_names_and_speakers_are_found_beyond_the_first_page(
    make_index: MakeIndex,
) -> None:
    index = make_index()
    crowd = numbered(220, speaker="Alice", entities=("Paris",))
    index.put([*crowd, document("tea", speaker="Bob", entities=("Rome",))])
    assert list(index.speakers(ALICE)) == ["Alice", "Bob"]
    (hit, *_) = index.search(evolve(TEA, text="Rome Paris Oslo"))
    assert hit.entities == 0.5


def test_large_ledger_is_scored_from_a_sample_and_its_rare_terms_from_all_documents(
    make_index: MakeIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"PROBE": 0.25, "SAMPLE": 150, "ENOUGH": 20, "GROWTH": 2}.items():
        monkeypatch.setattr(f"remembrancer.adapters.vector_index.weaviate.statistics.{name}", value)
    documents = [
        document(
            "saffron tea" if n == 0 else f"tea {'milk' * (n % 3)}",
            context="sugar " * (n % 7),
            key=(FactId(f"{n:05}"), 1),
            vector=vector(1, n),
        )
        for n in range(600)
    ]
    index = make_index()
    index.put(documents)
    query = evolve(TEA, text="milk saffron sugar", limit=700)
    expected = {hit.key: hit for hit in in_memory(documents, query)}
    found = {hit.key: hit for hit in index.search(query)}
    assert found.keys() == expected.keys()
    for key, hit in found.items():
        assert hit.similarity == pytest.approx(expected[key].similarity, abs=2e-6)
        for signal in ("keyword", "context"):
            assert getattr(hit, signal) == pytest.approx(getattr(expected[key], signal), rel=0.25)


def test_statistics_are_cached_until_the_ledger_changes() -> None:
    with WeaviateServer() as server:
        settings = WeaviateSettings(port=server.port, grpc_port=server.grpc_port)
        index = Driven(WeaviateVectorIndex(settings, "m", DIMENSION))
        index.put([document("green tea", speaker="Alice")])
        first = index.search(TEA)
        asked = server.asked["Aggregate"]
        assert asked > 0
        assert index.search(TEA) == first
        assert server.asked["Aggregate"] == asked
        assert list(index.speakers(ALICE)) == list(index.speakers(ALICE)) == ["Alice"]
        index.put([document("tea", scope=Scope(user_id="bob"))])
        index.search(TEA)
        assert server.asked["Aggregate"] == asked
        index.put([document("black tea")])
        index.search(TEA)
        assert server.asked["Aggregate"] > asked
        index.close()


def test_least_recently_used_statistics_are_evicted_and_counted_again(
    make_index: MakeIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("remembrancer.adapters.vector_index.weaviate.statistics.LEDGERS", 1)
    index = make_index()
    scopes = [Scope(user_id=name) for name in ("a", "b")]
    index.put([document("tea", scope=scope) for scope in scopes])
    for scope in [*scopes, *scopes]:
        (hit,) = index.search(evolve(TEA, scope=scope))
        assert hit.keyword is not None


def test_put_in_many_batches_stores_all_documents(make_index: MakeIndex) -> None:
    index = make_index(batch=7)
    documents = [*numbered(50), document("x " * 5_000_000, key=(FactId("long"), 1))]
    index.put(documents)
    assert index.count(ALICE) == 51
    found = index.search(evolve(TEA, text=None, limit=60))
    assert all((a.similarity or 0) >= (b.similarity or 0) for a, b in pairwise(found))


def test_one_index_serves_sync_and_async_callers(
    make_index: MakeIndex, settings: WeaviateSettings
) -> None:
    index = WeaviateVectorIndex(settings, "m", DIMENSION)
    tea = document("tea")
    loop = BackgroundLoop()
    inline = lift_inline(loop)(index)
    run_inline(inline.put([tea]))

    async def awaited(workers: ThreadPoolExecutor) -> list[Hit]:
        lifted = lift_to_threads(workers)(index)
        found = await asyncio.gather(*(lifted.search(TEA) for _ in range(8)))
        return [hit for hits in found for hit in hits]

    with ThreadPoolExecutor() as workers:
        hits = asyncio.run(awaited(workers))
    assert [hit.key for hit in hits] == [tea.key] * 8
    assert run_inline(inline.search(TEA)) == hits[:1]
    run_inline(inline.close())
    loop.close()


def test_settings_choose_the_index_from_config_and_environment() -> None:
    loaded = load_settings(
        {"vector_index": {"provider": "weaviate", "tenancy": "ledger", "port": 8081}},
        environment={
            "REMEMBRANCER_VECTOR_INDEX__API_KEY": "sesame",
            "REMEMBRANCER_VECTOR_INDEX__HEADERS": "X-One: 1, X-Two: 2",
        },
    )
    choice = loaded.vector_index
    assert choice.settings == WeaviateSettings(
        tenancy=Tenancy.LEDGER, port=8081, api_key="sesame", headers=("X-One: 1", "X-Two: 2")
    )
    # Building the index makes no request.
    index = choice.adapter.build(choice.settings, "m", DIMENSION)
    assert isinstance(index, WeaviateVectorIndex)
    asyncio.run(index.close())


def test_memory_feeds_and_searches_the_index(settings: WeaviateSettings) -> None:
    section = {
        "provider": "weaviate",
        "host": settings.host,
        "port": settings.port,
        "grpc_port": settings.grpc_port,
        "collection": settings.collection,
        "buckets": 2,
    }
    loaded = load_settings(
        {"vector_index": section, "projections": {"wait": 60}, "audit_log": "memory"},
        environment={},
    )
    with Memory(settings=loaded) as memory:
        receipt = memory.add("I live in Paris and I like green tea.", user_id="ann")
        assert receipt.lagging == ()
        found = memory.search("Where does she live?", user_id="ann")
        assert found.degraded == ()
        assert "Paris" in found[0].fact.text
        assert memory.search("tea", user_id="bob").results == ()
        memory.rebuild("vector_index")
        assert memory.search("green tea", user_id="ann").degraded == ()
        memory.delete_all(user_id="ann")
        assert len(memory.search("green tea", user_id="ann")) == 0
        assert "remembrancer-weaviate" in names_of_threads()
    # The memory closes the engine that it made.
    assert "remembrancer-weaviate" not in names_of_threads()


def test_fingerprint_depends_on_the_layout_and_not_on_the_address() -> None:
    def fingerprint(**changes: Any) -> str:
        return WeaviateVectorIndex(WeaviateSettings(**changes), "m", DIMENSION).fingerprint

    same: list[dict[str, Any]] = [{}, {"host": "elsewhere", "port": 1}, {"timeout": 1.0}]
    others: list[dict[str, Any]] = [
        {"collection": "Other"},
        {"buckets": 3},
        {"tenancy": Tenancy.LEDGER},
    ]
    assert len({fingerprint(**changes) for changes in same}) == 1
    assert len({fingerprint(**changes) for changes in [{}, *others]}) == 4
