"""Times as integers: microseconds since 1970-01-01 UTC, the form that is hashed and stored."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta

from remembrancer.domain.facts.fact import Interval

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def to_microseconds(moment: datetime) -> int:
    """Convert an aware datetime, without loss."""
    return (moment - _EPOCH) // _MICROSECOND


def from_microseconds(value: int) -> datetime:
    """Convert back to a datetime in UTC, without loss."""
    return _EPOCH + value * _MICROSECOND


def optional_microseconds(moment: datetime | None) -> int | None:
    """``to_microseconds``; ``None`` stays ``None``, as for an open end."""
    return None if moment is None else to_microseconds(moment)


def optional_moment(value: int | None) -> datetime | None:
    """``from_microseconds``; ``None`` stays ``None``."""
    return None if value is None else from_microseconds(value)


def interval_from(start: int | None, end: int | None) -> Interval:
    """An interval from its bounds."""
    # Without the calls: a walk of the graph makes hundreds.
    return Interval(
        start=None if start is None else from_microseconds(start),
        end=None if end is None else from_microseconds(end),
    )


def bounds_of(interruptions: Iterable[Interval]) -> list[int]:
    """The starts and ends of interruptions (in order, closed on both sides), one after the other.
    A moment is outside of all of them if an even number of bounds is not later than it.
    """
    moments = [moment for gap in interruptions for moment in (gap.start, gap.end)]
    return [to_microseconds(moment) for moment in moments if moment is not None]


def interruptions_from(bounds: Sequence[int]) -> tuple[Interval, ...]:
    """The inverse of ``bounds_of``."""
    return tuple(map(interval_from, bounds[::2], bounds[1::2]))
