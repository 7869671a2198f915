"""The SQLite index returns the same as the one in memory, after any writes.

The thresholds are so low that a few documents create, merge and drop segments.
"""

from __future__ import annotations

from array import array
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from attrs import evolve
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    invariant,
    multiple,
    rule,
)

from remembrancer.adapters.stores.memory.vector_index import InMemoryVectorIndex
from remembrancer.adapters.stores.sqlite.database import Database, SqliteSettings
from remembrancer.adapters.stores.sqlite.vector_index import Sizes, SqliteVectorIndex
from remembrancer.domain.facts.fact import FactId, FactKey, Interval
from remembrancer.domain.filters.parse import parse_filter
from remembrancer.domain.ports.vector_index import Document, Hit, IndexQuery
from remembrancer.domain.scope import Scope
from remembrancer.testing.depth import scaled

DIMENSION = 3
NOON = datetime(2024, 5, 3, 12, tzinfo=UTC)

words = st.sampled_from(
    ["tea", "milk", "saffron", "green", "Zürich", "Zu\u0308rich.", "東京", "who", "ＢＯＢ", "C++"]
)
texts = st.lists(words, max_size=6).map(" ".join)
vectors = st.tuples(*[st.integers(-2, 2)] * DIMENSION).map(lambda v: array("f", v))
moments = st.integers(0, 4).map(lambda hours: NOON + timedelta(hours=hours))
intervals = st.just(Interval()) | st.builds(
    Interval, start=st.none() | moments, end=st.none() | moments
)
scopes = st.builds(
    Scope,
    user_id=st.sampled_from(["alice", "alice", "bob"]),
    agent_id=st.sampled_from([None, None, "a"]),
    run_id=st.sampled_from([None, None, "r", "s"]),
)
keys = st.tuples(st.sampled_from("abcdefg").map(FactId), st.integers(1, 3))
documents = st.builds(
    Document,
    key=keys,
    scope=scopes,
    text=texts,
    context=texts,
    speaker=st.sampled_from([None, "Alice", "Bob"]),
    entities=st.lists(
        st.sampled_from(["Bob", "Zu\u0308rich", "ＺÜRICH", "東京", "C", "C++", " "]), max_size=2
    ).map(tuple),
    occurred_at=moments,
    visible=intervals,
    valid=intervals,
    attributes=st.integers(0, 2).map(lambda n: {"metadata": {"n": n}}),
    vector=st.none() | vectors,
)
queries = st.builds(
    IndexQuery,
    scope=scopes,
    text=texts,
    vector=st.none() | vectors,
    where=st.sampled_from([None, parse_filter({"n": 1}), parse_filter({"n": {"ne": 1}})]),
    now=moments,
    as_of=st.sampled_from([None, None, NOON + timedelta(hours=2)]),
    valid_at=st.sampled_from([None, None, NOON + timedelta(hours=2)]),
    # With more ties than four times the limit, segments do not settle them.
    limit=st.sampled_from([6, 100]),
)
sizes = st.builds(
    Sizes,
    first=st.integers(1, 8),
    tail=st.integers(1, 5),
    segment=st.integers(2, 8),
    cache=st.sampled_from([1, 1 << 20]),
)


def same(hits: list[Hit], expected: list[Hit]) -> None:
    """Assert that two indexes returned the same, up to rounding."""
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


class _RollBack(Exception):
    pass


class Indexes(RuleBasedStateMachine):
    """Two SQLite indexes on one database, each with its own cache, beside one in memory."""

    put = Bundle("put")

    @initialize(sizes=sizes)
    def open(self, sizes: Sizes) -> None:
        self.sizes = sizes
        self.database = Database(SqliteSettings(), [])
        self.reference = InMemoryVectorIndex()
        self.indexes = [self.opened(), self.opened()]
        with self.database.transaction() as connection:
            self.indexes[0].create(connection)
        self.documents: dict[FactKey, Document] = {}

    def opened(self) -> SqliteVectorIndex:
        return SqliteVectorIndex(self.database, model="m", dimension=DIMENSION, sizes=self.sizes)

    @rule(target=put, batch=st.lists(documents, max_size=8), which=st.integers(0, 1))
    def put_documents(self, batch: list[Document], which: int) -> Any:
        self.indexes[which].put(batch)
        self.reference.put(batch)
        self.documents |= {document.key: document for document in batch}
        return multiple(*(document.key for document in batch))

    @rule(key=put, visible=intervals, which=st.integers(0, 1))
    def change_times(self, key: FactKey, visible: Interval, which: int) -> None:
        if key in self.documents:
            self.put_documents([evolve(self.documents[key], visible=visible)], which)

    @rule(key=put, context=texts, which=st.integers(0, 1))
    def change_context(self, key: FactKey, context: str, which: int) -> None:
        if key in self.documents:
            self.put_documents([evolve(self.documents[key], context=context)], which)

    @rule(gone=st.lists(put | keys, max_size=5), which=st.integers(0, 1))
    def remove(self, gone: list[FactKey], which: int) -> None:
        self.indexes[which].remove(gone)
        self.reference.remove(gone)
        for key in gone:
            self.documents.pop(key, None)

    @rule(query=queries, which=st.integers(0, 1))
    def search(self, query: IndexQuery, which: int) -> None:
        same(self.indexes[which].search(query), self.reference.search(query))

    @rule(batch=st.lists(documents, min_size=1, max_size=5), query=queries)
    def write_and_roll_back(self, batch: list[Document], query: IndexQuery) -> None:
        scratch = InMemoryVectorIndex()
        scratch.put([*self.documents.values(), *batch])
        with suppress(_RollBack), self.database.transaction() as connection:
            self.indexes[0].put_in(connection, batch)
            same(self.indexes[0].search_in(connection, query), scratch.search(query))
            raise _RollBack
        same(self.indexes[0].search(query), self.reference.search(query))

    @rule(which=st.integers(0, 1))
    def drop_the_cache(self, which: int) -> None:
        self.indexes[which] = self.opened()

    @rule()
    def rebuild(self) -> None:
        with self.database.transaction() as connection:
            self.indexes[0].clear(connection)
            assert self.indexes[0].count_in(connection) == 0
            self.indexes[0].put_in(connection, list(self.documents.values()))
            self.indexes[0].forget_unused_in(connection)
        self.indexes[0].compact()

    @invariant()
    def counts_agree(self) -> None:
        for user in ("alice", "bob"):
            ledger = Scope(user_id=user).ledger
            expected = self.reference.count(ledger)
            assert [index.count(ledger) for index in self.indexes] == [expected] * 2
            assert self.indexes[0].speakers(ledger) == self.reference.speakers(ledger)
        with self.database.reader() as connection:
            assert self.indexes[0].count_in(connection) == len(self.documents)
            (uncovered,) = connection.execute(
                "SELECT count(*) FROM index_document AS document WHERE NOT EXISTS ("
                "SELECT 1 FROM index_segment WHERE ledger = document.ledger "
                "AND document.id BETWEEN first AND last)"
            ).fetchone()
            (counted,) = connection.execute("SELECT total(uncovered) FROM index_ledger").fetchone()
            assert uncovered == counted

    def teardown(self) -> None:
        """Assert that nothing is left of removed documents."""
        if not hasattr(self, "database"):
            return
        with self.database.transaction() as connection:
            self.indexes[0].remove_in(connection, list(self.documents))
            tables = "document embedding speaker name segment centre part posting"
            for table in tables.split():
                count = connection.execute(f"SELECT count(*) FROM index_{table}").fetchone()
                assert (table, count) == (table, (0,))
            counts = connection.execute(
                "SELECT total(documents), total(uncovered), total(segments), total(text_length), "
                "total(context_length) FROM index_ledger"
            ).fetchone()
            assert counts == (0, 0, 0, 0, 0)
        self.database.close()


TestIndexes = Indexes.TestCase
TestIndexes.settings = settings(max_examples=scaled(60), stateful_step_count=40, deadline=None)
