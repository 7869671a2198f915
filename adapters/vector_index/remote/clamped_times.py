"""Times as the servers hold them: whole microseconds since 1970, in UTC.

They hold or compare numbers as doubles, which are exact up to 2**53 microseconds from 1970 (the
years 1684 to 2255). Times beyond, and the open sides of intervals, are held at the limits.
"""

from __future__ import annotations

from datetime import datetime

from remembrancer.domain.epoch_micros import to_microseconds

UNBOUNDED = 2**53 - 1
"""Stands for the open side of an interval."""

FURTHEST = UNBOUNDED - 1
"""Stands for all times further away, on either side of 1970."""


def clamped(microseconds: int) -> int:
    """A time as the server holds it."""
    return max(-FURTHEST, min(FURTHEST, microseconds))


def is_exact(moment: datetime) -> bool:
    """Whether comparisons with what the server holds mean what they say."""
    return abs(to_microseconds(moment)) < FURTHEST


def held_start(start: datetime | None) -> int:
    """The beginning of an interval."""
    return -UNBOUNDED if start is None else clamped(to_microseconds(start))


def held_end(end: datetime | None) -> int:
    """The end of an interval."""
    return UNBOUNDED if end is None else clamped(to_microseconds(end))
