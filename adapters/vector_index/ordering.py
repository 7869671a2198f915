"""The order in which hits are returned."""

from __future__ import annotations

from collections.abc import Iterable

from memledger.domain.ports.vector_index import Hit

DIGITS = 6
"""Decimals of a signal. Components have no more than seven digits, and what comes after them
depends on the order of additions: without rounding, equal documents would not be ties.
"""


def strength(hit: Hit) -> float:
    """The mean of the signals that are known for a hit, 0 if there is none."""
    known = [
        signal
        for signal in (hit.similarity, hit.keyword, hit.context, hit.entities)
        if signal is not None
    ]
    return sum(known) / len(known) if known else 0.0


def strongest_first(hits: Iterable[Hit]) -> list[Hit]:
    """Best first by the mean of the known signals, ties by key."""
    return sorted(hits, key=lambda hit: (-strength(hit), hit.key))
