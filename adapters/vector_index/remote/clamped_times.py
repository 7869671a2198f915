"""Times as stored on the servers: integer microseconds since 1970, in UTC, clamped.

Servers store or compare numbers as doubles, which are exact up to 2**53 microseconds from 1970
(years 1684 to 2255). Times beyond, and open ends of intervals, are clamped to the limits.
"""

from __future__ import annotations

from datetime import datetime

from remembrancer.domain.epoch_micros import to_microseconds

UNBOUNDED = 2**53 - 1
"""Stored for the open end of an interval."""

FURTHEST = UNBOUNDED - 1
"""Stored (with its sign) for all times at or beyond this distance from 1970."""


def clamped(microseconds: int) -> int:
    """Return a time, in microseconds, as stored on the server."""
    return max(-FURTHEST, min(FURTHEST, microseconds))


def is_exact(moment: datetime) -> bool:
    """Return whether a time is within the limits, so that comparisons on the server are exact."""
    return abs(to_microseconds(moment)) < FURTHEST


def held_start(start: datetime | None) -> int:
    """Return the stored start of an interval."""
    return -UNBOUNDED if start is None else clamped(to_microseconds(start))


def held_end(end: datetime | None) -> int:
    """Return the stored end of an interval."""
    return UNBOUNDED if end is None else clamped(to_microseconds(end))
