"""The order in which hits are returned."""

from __future__ import annotations

from collections.abc import Iterable

from remembrancer.domain.ports.vector_index import Hit

DIGITS = 6
"""Decimals of a signal. Components have no more than seven digits, and what comes after them
depends on the order of additions: without rounding, equal documents would not be ties.
"""


def strongest_first(hits: Iterable[Hit]) -> list[Hit]:
    """Best first by the mean of the known signals, ties by key."""
    return sorted(hits, key=lambda hit: (-hit.strength, hit.key))
