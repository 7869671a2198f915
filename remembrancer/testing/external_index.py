"""The contract of ``ExternalIndex``: ``VectorIndexContract`` plus idempotent delivery of pages.

An interruption is simulated by the part of a page that it leaves. Test connection failures in the
tests of the engine; ``unreliable_wire`` helps.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import Any

import pytest
from attrs import evolve
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from remembrancer.domain.errors import AdapterUnavailable
from remembrancer.domain.facts.fact import Interval
from remembrancer.domain.ports.vector_index import Document, IndexQuery
from remembrancer.domain.scope import Scope
from remembrancer.testing.depth import scaled
from remembrancer.testing.engine import EngineContract
from remembrancer.testing.vector_index import LATER, NOON, VectorIndexContract, document, vector

PAGE = 12


def page_of(owner: str, size: int = PAGE) -> list[Document]:
    """Documents of one owner; every third one has ended."""
    return [
        document(
            f"tea number {n}",
            scope=Scope(user_id=owner),
            vector=vector(1, n / size),
            speaker=f"{owner} {n % 2}",
            visible=Interval(start=NOON, end=None if n % 3 else LATER),
        )
        for n in range(size)
    ]


def younger(page: Sequence[Document]) -> list[Document]:
    """The same documents before any of them ended, as in an earlier delivery."""
    return [evolve(each, visible=Interval(start=NOON)) for each in page]


class ExternalIndexContract(EngineContract, VectorIndexContract):
    """Inherit and implement ``make_index``, and if possible ``make_worker`` and
    ``make_neighbour``. Set ``compares`` for an engine that leaves out a put of an older revision.
    """

    compares = False

    @property
    def engine(self) -> Any:
        """The index."""
        return self.index

    def later_calls(self) -> list[Any]:
        """One put, one remove and one search."""
        query = IndexQuery(scope=Scope(user_id="alice"), vector=vector(1), now=LATER)
        return [
            lambda: self.index.put([document("tea")]),
            lambda: self.index.remove([document("tea").key]),
            lambda: self.index.search(query),
        ]

    def assert_whole(self, page: Sequence[Document]) -> None:
        """Assert that the index holds exactly the documents of the page, each once."""
        scope = page[0].scope
        present = [each for each in page if each.visible.end is None]
        asked: dict[str, Any] = {"scope": scope, "limit": 2 * len(page)}
        for moment, expected in ((None, present), (NOON, page)):
            found = self.keys("tea", vector=vector(1), as_of=moment, **asked)
            assert sorted(found) == sorted(each.key for each in expected)
            # Vectors are in the order of the page.
            assert self.keys(vector=vector(1), as_of=moment, **asked) == [e.key for e in expected]
        assert self.index.count(scope.ledger) == len(page)

    # Clearing

    def test_cleared_index_is_empty_and_can_be_filled_again(self) -> None:
        pages = [page_of("alice"), page_of("bob")]
        for page in pages:
            self.index.put(page)
        self.index.clear()
        for page in pages:
            scope = page[0].scope
            assert self.search("tea", vector=vector(1), scope=scope) == []
            assert self.index.count(scope.ledger) == 0
            assert list(self.index.speakers(scope.ledger)) == []
        assert dict(self.index.vectors_for([page[0].text for page in pages])) == {}
        self.index.clear()
        self.index.put(pages[1][3:])
        self.assert_whole(pages[1][3:])
        assert self.index.count(pages[0][0].scope.ledger) == 0

    def test_another_worker_can_write_after_a_clear(self, worker: Any) -> None:
        page = page_of("alice")
        worker.put(page)
        self.index.clear()
        # The worker's cached schema is stale: one retryable error is allowed.
        with suppress(AdapterUnavailable):
            worker.count(page[0].scope.ledger)
        assert worker.count(page[0].scope.ledger) == 0
        worker.put(page)
        self.assert_whole(page)

    def test_changes_to_one_index_do_not_affect_another(self, neighbour: Any) -> None:
        page = page_of("alice")
        self.index.put(page)
        ledger = page[0].scope.ledger
        assert neighbour.count(ledger) == 0
        neighbour.put(younger(page[:2]))
        self.assert_whole(page)
        self.index.remove([page[0].key])
        assert neighbour.count(ledger) == 2
        self.index.clear()
        assert neighbour.count(ledger) == 2
        neighbour.clear()
        self.index.put(page)
        neighbour.clear()
        self.assert_whole(page)

    # Repeated pages

    def test_a_page_delivered_twice_changes_nothing(self, worker: Any) -> None:
        page = page_of("alice")
        self.index.put(page)
        before = self.search("tea number 7", vector=vector(1, 0.3))
        for again in (page, page[: PAGE // 2], page[::-1], page[3:] + page[:3]):
            worker.put(again)
            assert self.search("tea number 7", vector=vector(1, 0.3)) == before
        self.assert_whole(page)

    # Subclasses share this test, which Hypothesis reports; here that is harmless.
    @settings(
        max_examples=scaled(20),
        deadline=None,
        suppress_health_check=[HealthCheck.differing_executors, HealthCheck.too_slow],
    )
    @given(st.lists(st.tuples(st.booleans(), st.sets(st.integers(0, PAGE - 1))), max_size=3))
    def test_interrupted_page_is_complete_after_redelivery(
        self, before: list[tuple[bool, set[int]]]
    ) -> None:
        page = page_of(uuid.uuid4().hex)
        for earlier, parts in before:
            arrived = younger(page) if earlier else page
            self.index.put([arrived[n] for n in sorted(parts)])
        self.index.put(page)
        self.assert_whole(page)

    # Late puts

    def test_put_of_an_older_revision_changes_nothing(self, worker: Any) -> None:
        if not self.compares:
            pytest.skip("declared: the engine does not compare revisions")
        page = [evolve(each, revision=7) for each in page_of("alice")]
        self.index.put(page)
        other = document("another tea", scope=Scope(user_id="bob"), vector=vector(1), revision=5)
        worker.put([*(evolve(each, revision=5) for each in younger(page)), other])
        self.assert_whole(page)
        assert self.index.count(other.scope.ledger) == 1
        # A put that is as new, and one without a revision, replace
        for revision in (7, 0):
            again = [evolve(each, revision=revision) for each in younger(page)]
            self.index.put(again)
            self.assert_whole(again)
            self.index.put(page)
            self.assert_whole(page)

    def test_current_page_replaces_one_that_arrived_late(self, worker: Any) -> None:
        page = [evolve(each, revision=7) for each in page_of("alice")]
        self.index.put(page)
        worker.put([evolve(each, revision=5) for each in younger(page)])
        self.index.put(page)
        self.assert_whole(page)

    # Concurrent workers

    def test_same_page_from_two_workers_at_once_is_stored_once(self, worker: Any) -> None:
        for _ in range(4):
            page = page_of(uuid.uuid4().hex)
            _at_once(partial(self.index.put, page), partial(worker.put, page))
            self.assert_whole(page)

    def test_concurrent_deliveries_of_other_ledgers_do_not_interfere(self, worker: Any) -> None:
        mine, theirs = page_of("alice"), page_of("bob")
        self.index.put(mine)

        def come_and_go() -> None:
            for _ in range(3):
                worker.put(younger(theirs))
                worker.remove([each.key for each in theirs[::2]])
                worker.put(theirs)

        def look() -> None:
            for _ in range(5):
                self.index.put(mine[::2])
                self.assert_whole(mine)

        _at_once(come_and_go, look)
        self.assert_whole(mine)
        self.assert_whole(theirs)


def _at_once(*calls: Callable[[], None]) -> None:
    with ThreadPoolExecutor(len(calls)) as threads:
        for running in [threads.submit(call) for call in calls]:
            running.result()
