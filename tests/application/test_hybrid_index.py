"""Hybrid index: queries to the vector and keyword indexes, and the joined hits."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from datetime import UTC, datetime

from attrs import evolve

from remembrancer.application.inline import run_inline
from remembrancer.application.recall.hybrid_index import HybridIndex
from remembrancer.domain.facts.fact import FactId
from remembrancer.domain.ports.vector_index import Hit, IndexQuery
from remembrancer.domain.scope import LedgerId, Scope

NOON = datetime(2024, 5, 3, 12, tzinfo=UTC)
QUERY = IndexQuery(scope=Scope(user_id="ann"), text="tea", vector=array("f", [1.0]), now=NOON)
A, B, C = (Hit(key=(FactId(name), 1), occurred_at=NOON) for name in "abc")


class Listed:
    """Returns the same hits for every query, and records the queries."""

    def __init__(self, *hits: Hit, speakers: Sequence[str] = ()) -> None:
        self.hits = list(hits)
        self.names = speakers
        self.asked: list[IndexQuery] = []

    async def search(self, query: IndexQuery) -> list[Hit]:
        self.asked.append(query)
        return self.hits

    async def speakers(self, ledger: LedgerId) -> Sequence[str]:
        return self.names


def test_each_index_gets_its_part_of_the_query() -> None:
    vectors, keywords = Listed(), Listed()
    run_inline(HybridIndex(vectors, keywords).search(QUERY))
    assert vectors.asked == [evolve(QUERY, text=None)]
    assert keywords.asked == [evolve(QUERY, vector=None)]


def test_index_without_a_part_of_the_query_is_not_asked() -> None:
    vectors, keywords = Listed(A), Listed(B)
    hybrid = HybridIndex(vectors, keywords)
    assert run_inline(hybrid.search(evolve(QUERY, vector=None))) == [B]
    assert run_inline(hybrid.search(evolve(QUERY, text=None))) == [A]
    assert (len(vectors.asked), len(keywords.asked)) == (1, 1)


def test_hit_of_both_indexes_has_the_signals_of_both() -> None:
    vectors = Listed(evolve(A, similarity=0.5))
    keywords = Listed(evolve(A, keyword=0.7, context=0.1, entities=1.0, speaker="Ann"))
    (hit,) = run_inline(HybridIndex(vectors, keywords).search(QUERY))
    assert hit == evolve(keywords.hits[0], similarity=0.5)


def test_hits_of_one_index_are_joined_strongest_first() -> None:
    vectors = Listed(evolve(A, similarity=0.3), evolve(B, similarity=0.9))
    keywords = Listed(evolve(C, keyword=0.8, context=0.0))
    hits = run_inline(HybridIndex(vectors, keywords).search(QUERY))
    assert hits == [
        evolve(C, keyword=0.8, context=0.0),
        evolve(B, similarity=0.9, keyword=0.0, context=0.0),
        evolve(A, similarity=0.3, keyword=0.0, context=0.0),
    ]


def test_query_of_punctuation_adds_no_keyword_signal() -> None:
    vectors = Listed(evolve(A, similarity=0.3))
    assert run_inline(HybridIndex(vectors, Listed()).search(evolve(QUERY, text="?!"))) == [
        evolve(A, similarity=0.3)
    ]


def test_speakers_come_from_the_keyword_index() -> None:
    hybrid = HybridIndex(Listed(), Listed(speakers=["Ann"]))
    assert run_inline(hybrid.speakers(LedgerId("user:ann"))) == ["Ann"]
