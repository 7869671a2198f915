"""The contract of ``ExternalIndex``: that of ``VectorIndex``, and what makes pages from a log safe.

An interruption is what it leaves: any part of a page. How an engine's wire is cut is for its own
tests; ``remembrancer.testing.unreliable_wire`` helps.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import Any

from attrs import evolve
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from remembrancer.domain.errors import AdapterUnavailable
from remembrancer.domain.facts.fact import Interval
from remembrancer.domain.ports.vector_index import Document, IndexQuery
from remembrancer.domain.scope import Scope
from remembrancer.testing.engine import EngineContract
from remembrancer.testing.vector_index import LATER, NOON, VectorIndexContract, document, vector

PAGE = 12


def page_of(owner: str, size: int = PAGE) -> list[Document]:
    """Documents of one owner, every third one of which has ended."""
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
    """The same documents as an earlier delivery had them: before any had ended."""
    return [evolve(each, visible=Interval(start=NOON)) for each in page]


class ExternalIndexContract(EngineContract, VectorIndexContract):
    """Inherit, and say how an index is made: ``make_index``; and, where there can be one,
    ``make_worker`` and ``make_neighbour``.
    """

    @property
    def engine(self) -> Any:
        """The index."""
        return self.index

    def later_calls(self) -> list[Any]:
        """One call of each kind."""
        query = IndexQuery(scope=Scope(user_id="alice"), vector=vector(1), now=LATER)
        return [
            lambda: self.index.put([document("tea")]),
            lambda: self.index.remove([document("tea").key]),
            lambda: self.index.search(query),
        ]

    def assert_whole(self, page: Sequence[Document]) -> None:
        """One owner's documents are there as in the page, each once."""
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

    def test_clearing_leaves_nothing_and_it_is_fed_again_from_nothing(self) -> None:
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

    def test_another_worker_goes_on_where_one_has_cleared(self, worker: Any) -> None:
        page = page_of("alice")
        worker.put(page)
        self.index.clear()
        # What it knew of the engine is void; that may be told once, as something to come back for.
        with suppress(AdapterUnavailable):
            worker.count(page[0].scope.ledger)
        assert worker.count(page[0].scope.ledger) == 0
        worker.put(page)
        self.assert_whole(page)

    def test_what_becomes_of_one_index_is_nothing_to_its_neighbour(self, neighbour: Any) -> None:
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

    # Pages that come more than once

    def test_a_page_delivered_twice_changes_nothing(self, worker: Any) -> None:
        page = page_of("alice")
        self.index.put(page)
        before = self.search("tea number 7", vector=vector(1, 0.3))
        for again in (page, page[: PAGE // 2], page[::-1], page[3:] + page[:3]):
            worker.put(again)
            assert self.search("tea number 7", vector=vector(1, 0.3)) == before
        self.assert_whole(page)

    # Hypothesis minds that subclasses share a test; their indexes are as good as one another.
    @settings(
        max_examples=20,
        deadline=None,
        suppress_health_check=[HealthCheck.differing_executors, HealthCheck.too_slow],
    )
    @given(st.lists(st.tuples(st.booleans(), st.sets(st.integers(0, PAGE - 1))), max_size=3))
    def test_an_interrupted_page_is_whole_once_it_is_delivered_again(
        self, before: list[tuple[bool, set[int]]]
    ) -> None:
        page = page_of(uuid.uuid4().hex)
        for earlier, parts in before:
            arrived = younger(page) if earlier else page
            self.index.put([arrived[n] for n in sorted(parts)])
        self.index.put(page)
        self.assert_whole(page)

    # Workers beside each other

    def test_the_same_page_from_two_workers_at_once_is_there_once(self, worker: Any) -> None:
        for _ in range(4):
            page = page_of(uuid.uuid4().hex)
            _at_once(partial(self.index.put, page), partial(worker.put, page))
            self.assert_whole(page)

    def test_deliveries_of_other_ledgers_do_not_disturb(self, worker: Any) -> None:
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
