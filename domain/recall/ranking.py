"""Fuse the signals of each hit into one score, and order the hits.

Pure, in two steps: ``rank`` knows the hits, the query and the leads of the graph; ``in_turn`` also
knows the facts of the best hits, hence who answered whom. No candidates are added.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta

from attrs import Attribute, evolve, field, frozen

from remembrancer.domain.conversation import Role
from remembrancer.domain.errors import InvalidRequest
from remembrancer.domain.facts.fact import Fact, FactId, FactKey, Interval
from remembrancer.domain.ports.vector_index import Hit
from remembrancer.domain.recall.documents import SAME_CONVERSATION
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

QUESTION_MARKS = ("?", "\uff1f", "\u061f", "\u037e")
"""At the end of a fact that asks: Latin, full width, Arabic, Greek."""

OWN_SIMILARITY = 0.4
"""Cosine from which a hit without a word of the question is one of its own: a paraphrase."""

BELOW = 0.99
"""How far below a fact with the words of the question a neighbour stays that borrows them."""

_ASSISTANT = Role.ASSISTANT.value


def _check_weight(_weights: object, attribute: Attribute[float], value: float) -> None:
    if not 0 <= value < float("inf"):
        raise InvalidRequest(
            f"recall.{attribute.name}", f"expected a finite number of at least 0, got {value!r}"
        )


def _check_share(_weights: object, attribute: Attribute[float], value: float) -> None:
    if not 0 <= value <= 1:
        raise InvalidRequest(
            f"recall.{attribute.name}", f"expected a number from 0 to 1, got {value!r}"
        )


@frozen(kw_only=True)
class Weights:
    """The weight of each signal, relative to the others, and of what is known of conversations.

    ``keyword``, ``context``, ``similarity``, ``speaker``, ``temporal``, ``entities`` and
    ``recency`` are the weights of a mean, which is the score. What follows changes it, each by a
    share in [0, 1]:

    ``assistant`` is the factor of what an assistant said, unless the question addresses it: 1
    makes no difference, 0 ranks it last. ``borrowed`` is the factor of a hit that only the words
    of neighbours led to, if these are no facts, such as deleted ones. ``session`` moves a hit
    towards the best one of the same conversation, in proportion to its own score. ``question`` is
    the factor of a fact that asks, and ``answer`` moves a fact towards 1, by that share of the
    score of the question that it follows.

    The defaults are round numbers from plateaus: those of the mean by two-fold cross-validation
    over the conversations of LoCoMo's development half, the others on three of its conversations
    and, for ``assistant``, on ten invented ones; ADR 63 has both. ``entities`` made no difference
    there; ``recency`` was not measured.

    Raises:
        InvalidRequest: a weight is negative or not finite, or a share is not in [0, 1].
    """

    keyword: float = field(default=1.0, validator=_check_weight)
    context: float = field(default=1.5, validator=_check_weight)
    similarity: float = field(default=0.5, validator=_check_weight)
    speaker: float = field(default=0.25, validator=_check_weight)
    temporal: float = field(default=0.5, validator=_check_weight)
    entities: float = field(default=0.25, validator=_check_weight)
    recency: float = field(default=0.5, validator=_check_weight)
    assistant: float = field(default=0.55, validator=_check_share)
    borrowed: float = field(default=0.7, validator=_check_share)
    session: float = field(default=0.5, validator=_check_share)
    question: float = field(default=0.85, validator=_check_share)
    answer: float = field(default=0.4, validator=_check_share)


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
    ``LED`` times the bearing of the lead. Other scores do not change. What the assistant said is
    then weighed by ``Weights.assistant``, if the question does not address it.

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
    own = [_raised(sums[row] / total if total else 0.0, led[row], LED) for row in range(len(hits))]
    roles = {} if query.to_assistant else _roles(hits, weights)
    for row, role in roles.items():
        own[row] *= role
    ranked = []
    for row, hit in enumerate(hits):
        behind = {name: column[row] for name, column in known.items()}
        if (way := led[row]) is not None:
            behind["graph"] = way
        if row in roles:
            behind["assistant"] = roles[row]
        ranked.append(Ranked(hit=hit, score=own[row], signals=behind))
    return _ordered(ranked)


def in_turn(
    ranked: Sequence[Ranked], facts: Mapping[FactKey, Fact], *, weights: Weights = Weights()
) -> list[Ranked]:
    """Order hits again by what they say of each other.

    In a conversation (facts said within ``SAME_CONVERSATION`` of the next one):

    * A hit that only its neighbours' words lead to stays below the hits with words of their own;
      without such a hit, what matched was a message whose fact is gone, and the score falls by
      ``Weights.borrowed``. A fact in a slot is found by the words of its question and keeps it.
    * A hit moves towards the best one, which it can't pass: a conversation is about one thing.
    * A question tells little. The answer after a question that matches is what was looked for,
      though it shares no word with it: a fact answers the one just before it among ``ranked``, if
      that one asks, and another speaker said it in the same scope.

    Args:
        ranked: hits, in any order.
        facts: their facts.
        weights: ``borrowed``, ``session``, ``question`` and ``answer`` count.
    """
    again = [item for session in _sessions(ranked) for item in _in_session(session, facts, weights)]
    return _ordered(again)


def _in_session(
    session: Sequence[Ranked], facts: Mapping[FactKey, Fact], weights: Weights
) -> Iterator[Ranked]:
    """The hits of one conversation with their new scores, in the order in which they were said."""
    own = max((item.score for item in session if not _borrows(item)), default=None)
    moved = [_below(own, item, facts[item.hit.key], weights) for item in session]
    most = max(item.score for item in moved)
    before: Ranked | None = None
    for item in sorted(moved, key=lambda item: _turn(facts[item.hit.key])):
        fact = facts[item.hit.key]
        signals: dict[str, float] = {}
        score = item.score
        if most > score:
            signals["session"] = most
            score = min(most, score + weights.session * score * (most - score))
        told = score
        if before is not None and _replies(fact, facts[before.hit.key]):
            signals["answer"] = before.score
            score = _raised(score, before.score, weights.answer)
        asks = fact.text.rstrip().endswith(QUESTION_MARKS)
        if asks:
            signals["question"] = weights.question
            score *= weights.question
        if signals:
            item = Ranked(hit=item.hit, score=score, signals={**item.signals, **signals})
        yield item
        before = Ranked(hit=item.hit, score=told, signals={}) if asks else None


def _below(own: float | None, item: Ranked, fact: Fact, weights: Weights) -> Ranked:
    """A hit with borrowed words, below the best score of a hit with ``own`` words."""
    if not _borrows(item):
        return item
    if own is not None:
        return evolve(item, score=min(item.score, BELOW * own))
    if fact.slot is not None:
        return item
    signals = {**item.signals, "borrowed": weights.borrowed}
    return evolve(item, score=item.score * weights.borrowed, signals=signals)


def _borrows(item: Ranked) -> bool:
    """Whether no signal of its own led to a hit, only the words of its neighbours."""
    return (
        item.signals.get("keyword") == 0.0
        and item.signals.get("similarity", 0.0) < OWN_SIMILARITY
        and "graph" not in item.signals
    )


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


def _ordered(ranked: list[Ranked]) -> list[Ranked]:
    ranked.sort(key=lambda one: one.hit.key)
    ranked.sort(key=lambda one: (one.score, one.hit.occurred_at), reverse=True)
    return ranked


def _raised(score: float, signal: float | None, share: float) -> float:
    # Rounding must neither lower the score nor lift it above 1.
    if signal is None:
        return score
    return min(1.0, max(score, score + (1.0 - score) * share * signal))


def _roles(hits: Sequence[Hit], weights: Weights) -> dict[int, float]:
    """The factors of the hits that an assistant said."""
    return {row: weights.assistant for row, hit in enumerate(hits) if hit.speaker == _ASSISTANT}


def _sessions(ranked: Sequence[Ranked]) -> Iterator[list[Ranked]]:
    """The hits by conversation: those that follow each other in time."""
    session: list[Ranked] = []
    for item in sorted(ranked, key=lambda item: item.hit.occurred_at):
        if session and item.hit.occurred_at - session[-1].hit.occurred_at > SAME_CONVERSATION:
            yield session
            session = []
        session.append(item)
    if session:
        yield session


def _turn(fact: Fact) -> tuple[datetime, datetime, FactKey]:
    # Facts of one append have ids in the order of their messages.
    return (fact.occurred_at, fact.created_at, fact.key)


def _replies(fact: Fact, asked: Fact) -> bool:
    return fact.speaker != asked.speaker and fact.scope == asked.scope


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
