"""The fusion of signals into one score, and the resulting order."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from math import inf, nan
from typing import Any

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from remembrancer.domain.errors import InvalidRequest
from remembrancer.domain.facts.fact import Fact, FactId, FactKey, Interval
from remembrancer.domain.ports.vector_index import Hit
from remembrancer.domain.recall.query import Query, understand
from remembrancer.domain.recall.ranking import (
    TEMPORAL_HALF_LIFE,
    Ranked,
    Weights,
    in_turn,
    rank,
)
from remembrancer.domain.scope import Scope

MAY = datetime(2023, 5, 8, 12, tzinfo=UTC)
PLAIN = understand("painting")
ABOUT_CAROLINE = understand("What does Caroline paint?", speakers=["Caroline", "Mel"])
MEASURED = ("keyword", "context", "similarity", "entities")

unit = st.floats(min_value=0, max_value=1)
moments = st.integers(min_value=-5_000, max_value=5_000).map(
    lambda days: MAY + timedelta(days=days)
)
queries = st.sampled_from(
    [PLAIN, ABOUT_CAROLINE, understand("in May 2023"), understand("8 May 2023 or 2024")]
)
weights = st.builds(Weights, **dict.fromkeys(("speaker", "temporal", *MEASURED), unit))


def hit(name: str = "a", **signals: object) -> Hit:
    known = {"occurred_at": MAY, "keyword": 0.5, **signals}
    return Hit(key=(FactId(name), 1), **known)  # type: ignore[arg-type]


@st.composite
def hits(draw: st.DrawFn) -> list[Hit]:
    """Hits that all have the same signals, as those of one engine do."""
    return [
        hit(
            str(number),
            occurred_at=draw(moments),
            speaker=draw(st.sampled_from(["Caroline", "Mel"])),
            **{name: draw(unit) for name in MEASURED},
        )
        for number in range(draw(st.integers(min_value=1, max_value=6)))
    ]


def order(ranked: list[Ranked]) -> list[str]:
    return [one.hit.key[0] for one in ranked]


def test_no_hits_give_an_empty_ranking() -> None:
    assert rank([], PLAIN) == []


def test_score_is_the_weighted_mean_of_the_known_signals() -> None:
    (ranked,) = rank(
        [hit(keyword=1.0, similarity=0.25)], PLAIN, weights=Weights(keyword=1, similarity=2)
    )

    assert ranked.score == pytest.approx((1 * 1.0 + 2 * 0.25) / 3)
    assert ranked.signals == {"keyword": 1.0, "similarity": 0.25}


def test_perfect_hit_scores_one() -> None:
    best = hit(keyword=1.7, context=1.2, similarity=1.0, entities=1.0, speaker="Caroline")

    (ranked,) = rank([best], ABOUT_CAROLINE)

    assert ranked.score == 1.0


def test_negative_similarity_counts_as_0() -> None:
    (ranked,) = rank([hit(similarity=-0.9)], PLAIN)

    assert ranked.signals["similarity"] == 0.0


def test_missing_similarity_counts_as_0() -> None:
    ranked = rank([hit("late", similarity=None), hit("there", similarity=0.1)], PLAIN)

    assert order(ranked) == ["there", "late"]
    assert ranked[1].signals["similarity"] == 0.0


def test_hit_of_the_named_speaker_ranks_first() -> None:
    ranked = rank([hit("m", speaker="Mel"), hit("c", speaker="Caroline")], ABOUT_CAROLINE)

    assert order(ranked) == ["c", "m"]


def test_speaker_does_not_count_if_the_query_names_nobody() -> None:
    first, second = rank([hit("m", speaker="Mel"), hit("c", speaker="Caroline")], PLAIN)

    assert first.score == second.score
    assert "speaker" not in first.signals


def test_hits_rank_by_distance_to_the_date_in_the_query() -> None:
    ranked = rank(
        [
            hit("month before", occurred_at=MAY - timedelta(days=30)),
            hit("next day", occurred_at=MAY + timedelta(days=1)),
            hit("that day", occurred_at=MAY),
        ],
        understand("on 8 May 2023"),
    )

    assert order(ranked) == ["that day", "next day", "month before"]


def test_temporal_signal_is_half_after_the_half_life() -> None:
    end_of_day = datetime(2023, 5, 9, tzinfo=UTC)

    (ranked,) = rank(
        [hit(occurred_at=end_of_day + TEMPORAL_HALF_LIFE)], understand("on 8 May 2023")
    )

    assert ranked.signals["temporal"] == pytest.approx(0.5)


def test_temporal_signal_uses_valid_start_if_it_is_nearer() -> None:
    told_later = hit(occurred_at=datetime(2030, 1, 1, tzinfo=UTC), valid=Interval(start=MAY))

    (ranked,) = rank([told_later], understand("in 2023"))

    assert ranked.signals["temporal"] == 1.0


def test_recency_counts_only_if_requested() -> None:
    now = MAY + timedelta(days=10)
    old, new = hit("old", occurred_at=MAY, keyword=0.6), hit("new", occurred_at=now)

    plain = rank([old, new], PLAIN, now=now)
    recent = rank([old, new], PLAIN, now=now, recency_half_life=timedelta(days=10))

    assert order(plain) == ["old", "new"]
    assert order(recent) == ["new", "old"]
    assert recent[1].signals["recency"] == pytest.approx(0.5)


def test_ties_are_ordered_by_later_time_then_by_key() -> None:
    tied = [hit("b"), hit("a"), hit("later", occurred_at=MAY + timedelta(days=1))]

    assert order(rank(tied, PLAIN)) == ["later", "a", "b"]


def test_hits_without_any_signal_score_zero() -> None:
    (ranked,) = rank([hit(keyword=None)], PLAIN)

    assert (ranked.score, ranked.signals) == (0.0, {})


def test_weights_of_zero_leave_every_score_at_zero() -> None:
    (ranked,) = rank([hit()], PLAIN, weights=Weights(keyword=0))

    assert ranked.score == 0.0


@pytest.mark.parametrize("value", [-0.1, nan, inf])
def test_negative_or_infinite_weight_is_refused(value: float) -> None:
    with pytest.raises(InvalidRequest, match=r"recall\.context: expected a finite number"):
        Weights(context=value)


def test_recency_without_now_or_with_half_life_0_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="now: is required"):
        rank([hit()], PLAIN, recency_half_life=timedelta(days=1))
    with pytest.raises(InvalidRequest, match="recency_half_life: must be positive, got 0:00:00"):
        rank([hit()], PLAIN, now=MAY, recency_half_life=timedelta(0))


@given(hits(), queries, weights)
def test_scores_are_between_0_and_1_in_descending_order(
    found: list[Hit], query: Query, weighing: Weights
) -> None:
    scores = [one.score for one in rank(found, query, weights=weighing)]

    assert all(0 <= score <= 1 for score in scores)
    assert scores == sorted(scores, reverse=True)


@given(hits(), queries, weights, st.sampled_from(MEASURED), unit)
def test_higher_signal_never_lowers_its_score_or_changes_others(
    found: list[Hit], query: Query, weighing: Weights, signal: str, value: float
) -> None:
    before = {one.hit.key: one.score for one in rank(found, query, weights=weighing)}
    better = evolve(found[0], **{signal: max(value, getattr(found[0], signal))})

    after = {one.hit.key: one.score for one in rank([better, *found[1:]], query, weights=weighing)}

    assert after[better.key] >= before[better.key]
    assert all(after[one.key] == before[one.key] for one in found[1:])


@given(hits(), queries, weights)
def test_score_does_not_depend_on_the_other_hits(
    found: list[Hit], query: Query, weighing: Weights
) -> None:
    together = {one.hit.key: one.score for one in rank(found, query, weights=weighing)}

    for one in found:
        (alone,) = rank([one], query, weights=weighing)
        assert alone.score == together[one.key]


@given(hits(), queries, st.data())
def test_ranking_does_not_depend_on_the_order_of_the_hits(
    found: list[Hit], query: Query, data: st.DataObject
) -> None:
    shuffled = data.draw(st.permutations(found))

    assert rank(shuffled, query) == rank(found, query)


@given(hits(), queries, st.dictionaries(st.sampled_from("012345").map(FactId), unit))
def test_graph_raises_the_scores_of_its_leads_and_no_others(
    found: list[Hit], query: Query, graph: dict[FactId, float]
) -> None:
    before = {one.hit.key: one.score for one in rank(found, query)}
    for one in rank(found, query, graph=graph):
        led = graph.get(one.hit.key[0])
        assert one.signals.get("graph") == led
        if not led:
            assert one.score == before[one.hit.key]
        else:
            assert before[one.hit.key] <= one.score <= 1.0


def test_full_graph_lead_without_keyword_ranks_between_half_and_all_keywords() -> None:
    led, half, all_ = hit("a", keyword=0.0), hit("b", keyword=0.5), hit("c", keyword=1.0)
    assert order(rank([led, half, all_], PLAIN, graph={FactId("a"): 1.0})) == ["c", "a", "b"]


def test_what_an_assistant_said_counts_less_unless_it_is_asked_for() -> None:
    said = [hit("user", speaker="user"), hit("assistant", speaker="assistant")]
    about_user, to_assistant = understand("my name"), understand("What did you recommend?")

    ordinary, asked = rank(said, about_user), rank(said, to_assistant)

    assert order(ordinary) == ["user", "assistant"]
    assert ordinary[1].score == pytest.approx(0.55 * ordinary[0].score)
    assert ordinary[1].signals["assistant"] == 0.55
    assert asked[0].score == asked[1].score


@pytest.mark.parametrize(
    "question",
    ["What did you say?", "the assistant's advice", "Was hast du empfohlen?", "¿Qué dijiste tú?"],
)
def test_questions_to_the_assistant_are_recognised(question: str) -> None:
    assert understand(question).to_assistant


@pytest.mark.parametrize("question", ["Where do I live?", "youth", "Quand est-ce que j'ai payé ?"])
def test_other_questions_are_not_to_the_assistant(question: str) -> None:
    assert not understand(question).to_assistant


@pytest.mark.parametrize("share", ["assistant", "borrowed", "session", "question", "answer"])
@pytest.mark.parametrize("value", [-0.1, 1.1, nan])
def test_share_outside_of_0_and_1_is_refused(share: str, value: float) -> None:
    with pytest.raises(InvalidRequest, match=rf"recall\.{share}: expected a number from 0 to 1"):
        Weights(**{share: value})


ANN = Scope(user_id="ann")


def told(
    name: str,
    text: str,
    score: float,
    *,
    minute: int = 0,
    speaker: str = "Caroline",
    scope: Scope = ANN,
    slot: str | None = None,
    **signals: float,
) -> tuple[Ranked, Fact]:
    said = MAY + timedelta(minutes=minute)
    fact = Fact(
        fact_id=FactId(name),
        version=1,
        scope=scope,
        text=text,
        speaker=speaker,
        slot=slot,
        occurred_at=said,
        created_at=MAY,
        recorded=Interval(start=MAY),
    )
    found = Hit(key=fact.key, occurred_at=said, speaker=speaker)
    return Ranked(hit=found, score=score, signals=signals), fact


def turned(*pairs: tuple[Ranked, Fact], **shares: float) -> dict[str, Ranked]:
    facts = {fact.key: fact for _, fact in pairs}
    ranked = in_turn([one for one, _ in pairs], facts, weights=Weights(**shares))
    return {one.hit.key[0]: one for one in ranked}


def test_answer_after_a_question_that_matches_outranks_it() -> None:
    asked = told("1", "Where did you camp?", 0.5)
    answer = told("2", "At the lake.", 0.2, minute=1, speaker="Mel")

    found = turned(asked, answer, session=0)

    assert found["1"].score == pytest.approx(0.5 * 0.85)
    assert found["1"].signals == {"question": 0.85}
    assert found["2"].score == pytest.approx(0.2 + 0.8 * 0.4 * 0.5)
    assert found["2"].signals["answer"] == 0.5


@pytest.mark.parametrize(
    "other",
    [
        {"speaker": "Caroline"},
        {"minute": 61, "speaker": "Mel"},
        {"minute": 1, "speaker": "Mel", "scope": Scope(user_id="ann", run_id="7")},
    ],
    ids=["the same speaker", "an hour later", "in another run"],
)
def test_no_answer_to_a_question_is(other: dict[str, Any]) -> None:
    found = turned(
        told("1", "Where did you camp?", 0.5), told("2", "At the lake.", 0.2, **other), session=0
    )

    assert found["2"].score == 0.2


def test_fact_moves_towards_the_best_one_of_its_conversation_and_never_past_it() -> None:
    best, near = told("1", "I camp.", 0.6), told("2", "At the lake.", 0.4, minute=30)
    elsewhere = told("3", "I swim.", 0.4, minute=500)

    found = turned(best, near, elsewhere)

    assert found["1"].score == 0.6
    assert found["2"].score == pytest.approx(0.4 + 0.5 * 0.4 * 0.2)
    assert found["2"].signals == {"session": 0.6}
    assert found["3"].score == 0.4


def test_neighbour_that_borrows_the_words_of_a_fact_stays_below_it() -> None:
    fact = told("1", "I adopted a parrot.", 0.4, keyword=0.8)
    neighbour = told("2", "Since Monday.", 0.5, minute=1, keyword=0.0, similarity=0.1)

    found = turned(fact, neighbour)

    assert found["2"].score < found["1"].score


def test_hit_falls_if_the_fact_with_its_words_is_gone() -> None:
    alone = told("2", "Since Monday.", 0.5, keyword=0.0, similarity=0.1)

    found = turned(alone)

    assert found["2"].score == pytest.approx(0.7 * 0.5)
    assert found["2"].signals["borrowed"] == 0.7


@pytest.mark.parametrize(
    "own",
    [
        {"keyword": 0.0, "similarity": 0.6},
        {"keyword": 0.0, "graph": 0.5},
        {"keyword": 0.1},
        {"similarity": 0.1},
    ],
    ids=["a paraphrase", "led to by the graph", "a word", "an index without words"],
)
def test_hit_with_a_signal_of_its_own_borrows_nothing(own: dict[str, Any]) -> None:
    assert turned(told("2", "Since Monday.", 0.5, **own))["2"].score == 0.5


def test_answer_to_the_question_of_a_slot_borrows_nothing() -> None:
    moved = told("2", "I moved to Berlin.", 0.5, keyword=0.0, slot="ann/residence")

    assert turned(moved)["2"].score == 0.5


pairs = st.lists(
    st.tuples(
        st.sampled_from(["Where?", "There."]), unit, st.integers(0, 200), st.sampled_from("AB")
    ),
    max_size=8,
).map(
    lambda drawn: [
        told(str(number), text, score, minute=minute, speaker=speaker)
        for number, (text, score, minute, speaker) in enumerate(drawn)
    ]
)


@given(pairs, st.data())
def test_turns_keep_all_hits_in_descending_order_of_scores_whatever_their_order(
    drawn: list[tuple[Ranked, Fact]], data: st.DataObject
) -> None:
    facts: dict[FactKey, Fact] = {fact.key: fact for _, fact in drawn}
    ranked = [one for one, _ in drawn]

    found = in_turn(ranked, facts)

    assert {one.hit.key for one in found} == set(facts)
    assert all(0 <= one.score <= 1 for one in found)
    assert [one.score for one in found] == sorted((one.score for one in found), reverse=True)
    assert in_turn(data.draw(st.permutations(ranked)), facts) == found


@given(pairs)
def test_shares_without_effect_leave_every_score(drawn: list[tuple[Ranked, Fact]]) -> None:
    found = turned(*drawn, session=0, question=1, answer=0)

    assert all(found[one.hit.key[0]].score == one.score for one, _ in drawn)
