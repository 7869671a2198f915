"""Property test: the Weaviate index and the in-memory index return the same results."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from remembrancer.adapters.stores.memory.vector_index import InMemoryVectorIndex
from remembrancer.adapters.vector_index.weaviate import Tenancy
from remembrancer.domain.facts.fact import FactId, Interval
from remembrancer.domain.filters.parse import parse_filter
from remembrancer.domain.ports.vector_index import Document, Hit, IndexQuery
from remembrancer.domain.scope import Scope
from remembrancer.testing.depth import scaled
from remembrancer.testing.vector_index import NOON, vector
from tests.adapters.weaviate.making import MakeIndex

words = st.sampled_from(["tea", "milk", "saffron", "green", "Zürich", "東京", "who", "Bob", "the"])
texts = st.lists(words, max_size=6).map(" ".join)
# The cosines are multiples of 1/2, so that float32 is as exact as float64.
vectors = st.builds(
    lambda length, signs: vector(*(length * sign for sign in signs)),
    st.sampled_from([0.5, 1, 3]),
    st.tuples(*[st.sampled_from([-1, 1])] * 4)
    | st.permutations([1, 0, 0, 0])
    | st.just([0, 0, 0, 0]),
)
moments = st.integers(0, 4).map(lambda hours: NOON + timedelta(hours=hours, microseconds=hours))
intervals = st.just(Interval()) | st.builds(
    Interval, start=st.none() | moments, end=st.none() | moments
)
scopes = st.builds(
    Scope,
    user_id=st.sampled_from(["alice", "alice", "bob"]),
    agent_id=st.sampled_from([None, None, "a"]),
    run_id=st.sampled_from([None, None, "r", "s"]),
)
documents = st.builds(
    Document,
    key=st.tuples(st.sampled_from("abcdefg").map(FactId), st.integers(1, 3)),
    scope=scopes,
    text=texts,
    context=texts,
    speaker=st.sampled_from([None, "Alice", "Bob"]),
    entities=st.lists(st.sampled_from(["Bob", "Zürich", "東京"]), max_size=2).map(tuple),
    occurred_at=moments,
    visible=intervals,
    valid=intervals,
    attributes=st.integers(0, 2).map(lambda n: {"metadata": {"n": n}}),
    vector=st.none() | vectors,
)
wheres = [{"n": 1}, {"n": {"ne": 1}}, {"n": {"gt": 0}}, {"NOT": {"n": {"lt": 2}}}, {"n": "*"}]
queries = st.builds(
    IndexQuery,
    scope=scopes,
    text=texts,
    vector=st.none() | vectors,
    where=st.sampled_from([None, *map(parse_filter, wheres)]),
    now=moments,
    as_of=st.none() | moments,
    valid_at=st.none() | moments,
    limit=st.sampled_from([2, 6, 100]),
)
writes = st.lists(documents, max_size=8) | st.lists(
    st.tuples(st.sampled_from("abcdefg").map(FactId), st.integers(1, 3)), max_size=5
)


def same(hits: list[Hit], expected: list[Hit]) -> None:
    """Assert that hits are the same; signals may differ in the last digit."""
    assert [hit.key for hit in hits] == [hit.key for hit in expected]
    for mine, theirs in zip(hits, expected, strict=True):
        for signal in ("similarity", "keyword", "context", "entities"):
            value = getattr(theirs, signal)
            close = None if value is None else pytest.approx(value, abs=2e-6)
            assert getattr(mine, signal) == close
        assert (mine.speaker, mine.occurred_at, mine.valid) == (
            theirs.speaker,
            theirs.occurred_at,
            theirs.valid,
        )


@pytest.mark.parametrize("tenancy", list(Tenancy))
@settings(
    max_examples=scaled(25),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    steps=st.lists(st.tuples(writes, st.lists(queries, max_size=3)), min_size=1, max_size=5),
    last=st.lists(queries, min_size=3, max_size=6),
)
def test_weaviate_index_returns_the_same_hits_as_the_in_memory_index(
    make_index: MakeIndex, tenancy: Tenancy, steps: list[Any], last: list[IndexQuery]
) -> None:
    index, reference = make_index(tenancy=tenancy), InMemoryVectorIndex()
    index.remove(index.keys())
    for written, asked in steps:
        for each in (index, reference):
            if written and isinstance(written[0], Document):
                each.put(written)
            else:
                each.remove(written)
        for query in asked:
            same(index.search(query), reference.search(query))
    for query in last:
        same(index.search(query), reference.search(query))
        ledger = query.scope.ledger
        assert index.count(ledger) == reference.count(ledger)
        assert list(index.speakers(ledger)) == list(reference.speakers(ledger))
    index.close()
