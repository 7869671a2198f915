"""Many signals about a candidate, one score: how the hits of an index become an answer.

Pure. It sees the hits, the query and where the graph leads, never a text or a store, and adds no
candidates.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from attrs import Attribute, evolve, field, frozen

from remembrancer.domain.errors import InvalidRequest
from remembrancer.domain.facts.fact import FactId, Interval
from remembrancer.domain.ports.vector_index import Hit
from remembrancer.domain.recall.query import Query

TEMPORAL_HALF_LIFE = timedelta(days=14)
"""How fast a date in the query stops mattering to what was said before or after it.

People tell on Thursday what happened on Sunday. On LoCoMo anything up to 60 days does equally well.
"""

LED = 0.8
"""How far a way through the graph that the question spells out raises a score towards 1.

With 0.8 a fact that shares no word with the question comes out just above those that share half of
its words with it, and below those that share all.
"""


def _check_weight(_weights: object, attribute: Attribute[float], value: float) -> None:
    if not 0 <= value < float("inf"):
        raise InvalidRequest(
            f"weights.{attribute.name}", f"expected a finite number of at least 0, got {value!r}"
        )


@frozen(kw_only=True)
class Weights:
    """How much each signal counts, relative to the others.

    The defaults are round numbers from the plateau that two-fold cross-validation over the
    conversations of LoCoMo's development half found: there recall@10 moves by less than a point.
    ``entities`` made no difference on it, ``recency`` is not measured by it.

    Raises:
        InvalidRequest: a weight is negative or not finite.
    """

    keyword: float = field(default=1.0, validator=_check_weight)
    context: float = field(default=1.5, validator=_check_weight)
    similarity: float = field(default=0.5, validator=_check_weight)
    speaker: float = field(default=0.25, validator=_check_weight)
    temporal: float = field(default=0.5, validator=_check_weight)
    entities: float = field(default=0.25, validator=_check_weight)
    recency: float = field(default=0.5, validator=_check_weight)


@frozen(kw_only=True)
class Ranked:
    """A hit with its score in [0, 1] and the signals, each in [0, 1], that made it.

    ``signals`` holds only what the query asked for and the index could tell.
    """

    hit: Hit
    score: float
    signals: Mapping[str, float]


def rank(
    hits: Sequence[Hit],
    query: Query,
    *,
    weights: Weights = Weights(),
    now: datetime | None = None,
    recency_half_life: timedelta | None = None,
    graph: Mapping[FactId, float] | None = None,
) -> list[Ranked]:
    """Order ``hits``, best first; ties by the later ``occurred_at``, then by key.

    The score is the weighted mean of the signals that apply to the query: speaker only if it
    names one, temporal only if it mentions a date, recency only if asked for, the rest only if
    the index knows it for at least one hit. A hit without a signal that applies counts 0 there.
    No signal is scaled by the best hit of the same query, so scores compare between queries and
    a threshold means the same for all of them.

    The graph only raises: where it leads to a fact, it takes ``LED`` of what the score lacks, times
    how much of the way the question speaks of. That it leads elsewhere tells nothing against one.

    Args:
        now: the moment that ages are counted from; needed with ``recency_half_life`` only.
        recency_half_life: the age at which the recency signal has fallen to a half; ``None``
            leaves it out.
        graph: of the facts that the graph leads to, how much of the way the question speaks of, in
            [0, 1].

    Raises:
        InvalidRequest: ``recency_half_life`` is not positive, or comes without ``now``.
    """
    if recency_half_life is not None and recency_half_life <= timedelta(0):
        raise InvalidRequest("recency_half_life", "must be positive")
    if recency_half_life is not None and now is None:
        raise InvalidRequest("now", "is needed to weigh recency; pass the moment of the query")
    signals = {
        name: values
        for name, values in _signals(hits, query, now, recency_half_life).items()
        if any(value is not None for value in values)
    }
    shares = [getattr(weights, name) for name in signals]
    total = 0.0
    sums = [0.0] * len(hits)
    columns = [[value or 0.0 for value in values] for values in signals.values()]
    # Added one by one in a fixed order: a perfect hit comes to the total exactly, and no sum
    # falls when a term of it rises.
    for share, column in zip(shares, columns, strict=True):
        total += share
        sums = [sum_ + share * value for sum_, value in zip(sums, column, strict=True)]
    known = dict(zip(signals, columns, strict=True))
    led = [_cut((graph or {}).get(hit.key[0])) for hit in hits]
    ranked = [
        Ranked(
            hit=hit,
            score=_raised(sums[row] / total if total else 0.0, led[row]),
            signals={
                **{name: column[row] for name, column in known.items()},
                **({} if (way := led[row]) is None else {"graph": way}),
            },
        )
        for row, hit in enumerate(hits)
    ]
    ranked.sort(key=lambda one: one.hit.key)
    ranked.sort(key=lambda one: (one.score, one.hit.occurred_at), reverse=True)
    return ranked


def reordered(ranked: Sequence[Ranked], relevances: Sequence[float]) -> list[Ranked]:
    """Order what was ranked by what a reranker thinks of it, ties as they were.

    The relevance takes the score's place; the score that it had goes on as the signal ``fused``
    beside the signal ``rerank``.

    Args:
        ranked: best first.
        relevances: of each, in [0, 1].
    """
    again = [
        evolve(
            item,
            score=relevance,
            signals={**item.signals, "fused": item.score, "rerank": relevance},
        )
        for item, relevance in zip(ranked, relevances, strict=True)
    ]
    return sorted(again, key=lambda item: -item.score)


def _signals(
    hits: Sequence[Hit], query: Query, now: datetime | None, recency_half_life: timedelta | None
) -> dict[str, list[float | None]]:
    """Every signal of every hit, cut to [0, 1]; ``None`` where it is not known or not asked for."""
    signals = {
        "keyword": [_cut(hit.keyword) for hit in hits],
        "context": [_cut(hit.context) for hit in hits],
        "similarity": [_cut(hit.similarity) for hit in hits],
        "entities": [_cut(hit.entities) for hit in hits],
    }
    if query.names:
        signals["speaker"] = [
            None if hit.speaker is None else float(hit.speaker in query.names) for hit in hits
        ]
    if query.spans:
        signals["temporal"] = [_temporal(hit, query.spans) for hit in hits]
    if now is not None and recency_half_life is not None:
        signals["recency"] = [_halved(now - hit.occurred_at, recency_half_life) for hit in hits]
    return signals


def _raised(score: float, led: float | None) -> float:
    # Never below what it was, nor above 1, whatever the rounding.
    return score if led is None else min(1.0, max(score, score + (1.0 - score) * LED * led))


def _cut(value: float | None) -> float | None:
    if value is None or 0.0 <= value <= 1.0:
        return value
    return 0.0 if value < 0.0 else 1.0


def _temporal(hit: Hit, spans: Sequence[Interval]) -> float:
    """How near the hit is to the dates of the query: 1 inside one, halved every half-life away.

    What counts is when it was said, and when it began to hold if that is known.
    """
    nearness = max(_nearness(hit.occurred_at, span) for span in spans)
    if hit.valid.start is None or nearness == 1.0:
        return nearness
    return max(nearness, *(_nearness(hit.valid.start, span) for span in spans))


def _nearness(moment: datetime, span: Interval) -> float:
    if span.start is not None and moment < span.start:
        return _halved(span.start - moment, TEMPORAL_HALF_LIFE)
    if span.end is not None and moment >= span.end:
        return _halved(moment - span.end, TEMPORAL_HALF_LIFE)
    return 1.0


def _halved(distance: timedelta, half_life: timedelta) -> float:
    """1 at no distance (or a negative one), 0.5 at ``half_life``, 0.25 at twice that."""
    halvings: float = distance / half_life
    return 1.0 if halvings <= 0.0 else 0.5**halvings
