"""Order of hits, and rounding of their signals."""

from __future__ import annotations

from collections.abc import Iterable

from remembrancer.domain.ports.vector_index import Hit

DIGITS = 6
"""Decimals of a signal. Float32 components have about seven digits, and further digits depend on
the order of additions: without rounding, equal documents would not be ties.
"""


def strongest_first(hits: Iterable[Hit]) -> list[Hit]:
    """Sort hits by the mean of their known signals, highest first, ties by key."""
    return sorted(hits, key=lambda hit: (-hit.strength, hit.key))
