"""Fuse the signals of each hit into one score, and order the hits.

Pure. The input is the hits, the query and the leads of the graph, never a text or a store. No
candidates are added.
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
"""Half-life of the temporal signal, by the distance between a hit and a date in the query.

People mention on Thursday what happened on Sunday. On LoCoMo any value up to 60 days does equally
well.
"""

LED = 0.8
"""How far a path in the graph, if the question mentions every step of it, raises a score towards 1.

With 0.8 a fact that shares no word with the question ranks just above facts that share half of its
words, and below facts that share all of them.
"""


def _check_weight(_weights: object, attribute: Attribute[float], value: float) -> None:
    if not 0 <= value < float("inf"):
        raise InvalidRequest(
            f"weights.{attribute.name}", f"expected a finite number of at least 0, got {value!r}"
        )


@frozen(kw_only=True)
class Weights:
    """The weight of each signal, relative to the others.

    The defaults are round numbers from the plateau found by two-fold cross-validation over the
    conversations of LoCoMo's development half: there recall@10 changes by less than a point.
    ``entities`` made no difference there; ``recency`` was not measured.

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
    """A hit with its score in [0, 1] and the signals, each in [0, 1], behind it.

    ``signals`` holds only signals that apply to the query and that the index returned.
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
    """Score and order ``hits``, best first; ties by the later ``occurred_at``, then by key.

    The score is the weighted mean of the signals that apply to the query: speaker only if it
    names one, temporal only if it mentions a date, recency only if asked for, the others only if
    the index returned them for at least one hit. A signal that is missing for a hit counts as 0.
    No signal is scaled by the best hit of the same query, so scores are comparable between queries
    and a threshold means the same for all of them.

    The graph can only raise a score: for a fact that it leads to, the score moves towards 1 by
    ``LED`` times the bearing of the lead. Other scores do not change.

    Args:
        now: the time from which ages are counted; required with ``recency_half_life``.
        recency_half_life: the age at which the recency signal is 0.5; ``None`` turns it off.
        graph: the bearing of each fact that the graph leads to, in [0, 1].

    Raises:
        InvalidRequest: ``recency_half_life`` is not positive, or comes without ``now``.
    """
    if recency_half_life is not None and recency_half_life <= timedelta(0):
        raise InvalidRequest("recency_half_life", f"must be positive, got {recency_half_life}")
    if recency_half_life is not None and now is None:
        raise InvalidRequest(
            "now", "is required with recency_half_life; pass the time of the query"
        )
    signals = {
        name: values
        for name, values in _signals(hits, query, now, recency_half_life).items()
        if any(value is not None for value in values)
    }
    shares = [getattr(weights, name) for name in signals]
    total = 0.0
    sums = [0.0] * len(hits)
    columns = [[value or 0.0 for value in values] for values in signals.values()]
    # Summed term by term in a fixed order: a perfect hit reaches the total exactly, and no sum
    # falls when one of its terms rises.
    for share, column in zip(shares, columns, strict=True):
        total += share
        sums = [sum_ + share * value for sum_, value in zip(sums, column, strict=True)]
    known = dict(zip(signals, columns, strict=True))
    led = [_clamped((graph or {}).get(hit.key[0])) for hit in hits]
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
    """Order ``ranked`` by the relevances of a reranker; ties keep their order.

    The relevance becomes the score and the signal ``rerank``; the old score becomes the signal
    ``fused``.

    Args:
        ranked: best first.
        relevances: one for each of ``ranked``, in [0, 1].
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
    """All signals of all hits, clamped to [0, 1]; ``None`` if a hit does not have it."""
    signals = {
        "keyword": [_clamped(hit.keyword) for hit in hits],
        "context": [_clamped(hit.context) for hit in hits],
        "similarity": [_clamped(hit.similarity) for hit in hits],
        "entities": [_clamped(hit.entities) for hit in hits],
    }
    if query.names:
        signals["speaker"] = [
            None if hit.speaker is None else float(hit.speaker in query.names) for hit in hits
        ]
    if query.spans:
        signals["temporal"] = [_temporal(hit, query.spans) for hit in hits]
    if now is not None and recency_half_life is not None:
        signals["recency"] = [_decay(now - hit.occurred_at, recency_half_life) for hit in hits]
    return signals


def _raised(score: float, led: float | None) -> float:
    # Rounding must neither lower the score nor lift it above 1.
    return score if led is None else min(1.0, max(score, score + (1.0 - score) * LED * led))


def _clamped(value: float | None) -> float | None:
    if value is None or 0.0 <= value <= 1.0:
        return value
    return 0.0 if value < 0.0 else 1.0


def _temporal(hit: Hit, spans: Sequence[Interval]) -> float:
    """How near the hit is to the dates of the query: 1 inside one, halved every half-life away.

    The time of the statement and the start of the valid time both count; the nearer one decides.
    """
    nearness = max(_nearness(hit.occurred_at, span) for span in spans)
    if hit.valid.start is None or nearness == 1.0:
        return nearness
    return max(nearness, *(_nearness(hit.valid.start, span) for span in spans))


def _nearness(moment: datetime, span: Interval) -> float:
    if span.start is not None and moment < span.start:
        return _decay(span.start - moment, TEMPORAL_HALF_LIFE)
    if span.end is not None and moment >= span.end:
        return _decay(moment - span.end, TEMPORAL_HALF_LIFE)
    return 1.0


def _decay(distance: timedelta, half_life: timedelta) -> float:
    """1 at a distance of 0 or less, 0.5 at ``half_life``, 0.25 at twice that."""
    halvings: float = distance / half_life
    return 1.0 if halvings <= 0.0 else 0.5**halvings
