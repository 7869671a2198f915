"""A segment is stored in short transactions, and no search sees it before the last one."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from sqlite3 import Connection

import pytest
from attrs import evolve

from remembrancer.adapters.stores.sqlite.database import Database, SqliteSettings
from remembrancer.adapters.stores.sqlite.vector_index import (
    Sizes,
    SqliteVectorIndex,
    compaction,
)
from remembrancer.adapters.stores.sqlite.vector_index.schema import create
from remembrancer.domain.facts.fact import FactId, FactKey, Interval
from remembrancer.domain.ports.vector_index import Document, IndexQuery
from remembrancer.domain.scope import LedgerId, Scope

NOON = datetime(2024, 5, 3, 12, tzinfo=UTC)
ALICE = Scope(user_id="alice")
LEDGER = LedgerId("user:alice")
FEW = 10
"""Postings in a transaction."""

COUNT = 30


class World:
    """An index with a full tail, and its transactions during ``compact``.

    Attributes:
        changes: the rows that each transaction changed.
        before: called with the number of a transaction before it begins.
    """

    def __init__(self, path: Path) -> None:
        self.database = Database(SqliteSettings(path=str(path)), [create])
        sizes = Sizes(first=COUNT, tail=8, segment=64)
        self.index = SqliteVectorIndex(self.database, model="m", dimension=2, sizes=sizes)
        self.changes: list[int] = []
        self.before: Callable[[int], object] = lambda _number: None
        # Without a transaction of its own, so that the tail is still full.
        with self.database.transaction() as connection:
            self.index.put_in(connection, [document(number) for number in range(COUNT)])

    def reader(self) -> AbstractContextManager[Connection]:
        return self.database.reader()

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        self.before(len(self.changes))
        with self.database.transaction() as connection:
            before = connection.total_changes
            yield connection
            self.changes.append(connection.total_changes - before)

    def compact(self) -> int:
        return compaction.compact(self, self.index._embeddings, self.index._sizes, LEDGER)

    def found(self) -> list[FactKey]:
        query = IndexQuery(scope=ALICE, text="tea number7", now=NOON, limit=COUNT)
        return [hit.key for hit in self.index.search(query)]

    def rows(self, table: str) -> int:
        with self.database.reader() as connection:
            count: int = connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
            return count


def document(number: int) -> Document:
    return Document(
        key=(FactId(f"fact {number}"), 1),
        scope=ALICE,
        text=f"tea number{number} word{number}",
        occurred_at=NOON,
        visible=Interval(start=NOON),
        vector=array("f", [1.0, number]),
    )


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    monkeypatch.setattr(compaction, "AT_ONCE", FEW)
    made = World(tmp_path / "index.db")
    yield made
    made.database.close()


def test_no_transaction_writes_more_than_a_few_postings(world: World) -> None:
    before = world.found()
    assert world.compact() == 1
    assert world.rows("index_posting") > 5 * FEW
    # Besides them it writes the segment and its parts.
    assert max(world.changes) <= FEW + 12
    assert world.found() == before


def test_searches_during_the_writing_find_the_same(world: World) -> None:
    expected = world.found()
    seen: list[list[FactKey]] = []
    world.before = lambda _number: seen.append(world.found())
    world.compact()
    assert seen == [expected] * len(seen)
    assert len(seen) > 5


def test_replaced_segments_are_deleted_in_steps(world: World) -> None:
    world.compact()
    with world.database.transaction() as connection:
        world.index.put_in(connection, [document(number) for number in range(COUNT, 2 * COUNT)])
    expected = world.found()
    world.changes.clear()
    assert world.compact() == 1
    assert max(world.changes) <= FEW + 12
    assert world.rows("index_segment") == 1
    assert world.rows("index_part") == 9
    assert world.found() == expected


class Killed(BaseException):
    """The end of the process."""


def killed_at(number: int) -> Callable[[int], object]:
    def kill(transaction: int) -> None:
        if transaction == number:
            raise Killed

    return kill


@pytest.mark.parametrize("number", range(1, 7))
def test_interrupted_segment_is_not_seen_and_deleted_later(
    world: World, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    expected = world.found()
    world.before = killed_at(number)
    with pytest.raises(Killed):
        world.compact()
    world.before = killed_at(-1)
    assert world.found() == expected
    # It may be the work of another process: nobody begins the same, or deletes it
    written = world.rows("index_posting")
    assert world.compact() == 0
    assert world.rows("index_posting") == written
    # Later
    now = compaction.time.time()
    monkeypatch.setattr(compaction.time, "time", lambda: now + compaction.LONGEST + 1)
    assert world.compact() == 1
    assert (world.rows("index_segment"), world.rows("index_part")) == (1, 9)
    assert world.found() == expected


def test_document_that_changes_during_the_writing_is_found_as_it_is_then(world: World) -> None:
    def change(transaction: int) -> None:
        if transaction == 2:
            world.index.put([evolve(document(7), text="coffee")])

    world.before = change
    world.compact()
    assert (FactId("fact 7"), 1) in [
        hit.key
        for hit in world.index.search(IndexQuery(scope=ALICE, text="coffee", now=NOON, limit=9))
    ]
    assert world.rows("index_segment") == 1
    with world.database.reader() as connection:
        lost = connection.execute(
            "SELECT count(*) FROM index_posting WHERE segment NOT IN (SELECT id FROM index_segment)"
        )
        assert lost.fetchone() == (0,)


def test_slow_writer_whose_segment_was_swept_begins_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = compaction.time.time

    def sweep(transaction: int) -> None:
        if transaction == 3:
            monkeypatch.setattr(compaction.time, "time", lambda: real() + 2 * compaction.LONGEST)
            compaction._sweep(world.database, LEDGER)
            monkeypatch.setattr(compaction.time, "time", real)

    expected = world.found()
    world.before = sweep
    assert world.compact() == 1
    assert (world.rows("index_segment"), world.rows("index_part")) == (1, 9)
    assert world.found() == expected
