"""The fusion of signals into one score, and the resulting order."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from math import inf, nan

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from remembrancer.domain.errors import InvalidRequest
from remembrancer.domain.facts.fact import FactId, Interval
from remembrancer.domain.ports.vector_index import Hit
from remembrancer.domain.recall.query import Query, understand
from remembrancer.domain.recall.ranking import TEMPORAL_HALF_LIFE, Ranked, Weights, rank

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
    with pytest.raises(InvalidRequest, match=r"weights\.context: expected a finite number"):
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
