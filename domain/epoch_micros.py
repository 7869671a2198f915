"""Times as integers: microseconds since 1970-01-01 UTC, the form that is hashed and stored."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def to_microseconds(moment: datetime) -> int:
    """Convert an aware datetime, without loss."""
    return (moment - _EPOCH) // _MICROSECOND


def from_microseconds(value: int) -> datetime:
    """Convert back to a datetime in UTC, without loss."""
    return _EPOCH + value * _MICROSECOND
