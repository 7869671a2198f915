"""An index of meanings beside one of words: who is asked what, and what a hit then knows."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from datetime import UTC, datetime

from attrs import evolve

from remembrancer.application.recall.hybrid_index import HybridIndex
from remembrancer.domain.facts.fact import FactId
from remembrancer.domain.ports.vector_index import Hit, IndexQuery
from remembrancer.domain.scope import LedgerId, Scope
from remembrancer.runtime.sync_bridge import run_inline

NOON = datetime(2024, 5, 3, 12, tzinfo=UTC)
QUERY = IndexQuery(scope=Scope(user_id="ann"), text="tea", vector=array("f", [1.0]), now=NOON)
A, B, C = (Hit(key=(FactId(name), 1), occurred_at=NOON) for name in "abc")


class Listed:
    """Answers every question with the same hits, and remembers the questions."""

    def __init__(self, *hits: Hit, speakers: Sequence[str] = ()) -> None:
        self.hits = list(hits)
        self.names = speakers
        self.asked: list[IndexQuery] = []

    async def search(self, query: IndexQuery) -> list[Hit]:
        self.asked.append(query)
        return self.hits

    async def speakers(self, ledger: LedgerId) -> Sequence[str]:
        return self.names


def test_each_part_is_asked_for_what_it_knows() -> None:
    meaning, words = Listed(), Listed()
    run_inline(HybridIndex(meaning, words).search(QUERY))
    assert meaning.asked == [evolve(QUERY, text=None)]
    assert words.asked == [evolve(QUERY, vector=None)]


def test_a_part_that_is_asked_for_nothing_is_not_asked() -> None:
    meaning, words = Listed(A), Listed(B)
    joined = HybridIndex(meaning, words)
    assert run_inline(joined.search(evolve(QUERY, vector=None))) == [B]
    assert run_inline(joined.search(evolve(QUERY, text=None))) == [A]
    assert (len(meaning.asked), len(words.asked)) == (1, 1)


def test_a_hit_of_both_has_the_signals_of_both() -> None:
    meaning = Listed(evolve(A, similarity=0.5))
    words = Listed(evolve(A, keyword=0.7, context=0.1, entities=1.0, speaker="Ann"))
    (hit,) = run_inline(HybridIndex(meaning, words).search(QUERY))
    assert hit == evolve(words.hits[0], similarity=0.5)


def test_hits_of_one_are_joined_strongest_first() -> None:
    meaning = Listed(evolve(A, similarity=0.3), evolve(B, similarity=0.9))
    words = Listed(evolve(C, keyword=0.8, context=0.0))
    hits = run_inline(HybridIndex(meaning, words).search(QUERY))
    assert hits == [
        evolve(C, keyword=0.8, context=0.0),
        evolve(B, similarity=0.9, keyword=0.0, context=0.0),
        evolve(A, similarity=0.3, keyword=0.0, context=0.0),
    ]


def test_marks_alone_are_no_words() -> None:
    meaning = Listed(evolve(A, similarity=0.3))
    assert run_inline(HybridIndex(meaning, Listed()).search(evolve(QUERY, text="?!"))) == [
        evolve(A, similarity=0.3)
    ]


def test_speakers_are_those_of_the_words() -> None:
    joined = HybridIndex(Listed(), Listed(speakers=["Ann"]))
    assert run_inline(joined.speakers(LedgerId("user:ann"))) == ["Ann"]
