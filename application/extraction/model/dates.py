"""ISO 8601 dates in a model's answer, full or partial: a year, month, day, or date and time."""

from __future__ import annotations

import re
from datetime import UTC, datetime, tzinfo

from remembrancer.domain.facts.fact import Interval

_PARTIAL = re.compile(r"(\d{4})(?:-(\d{2})(?:-(\d{2}))?)?\Z")
_DAY_SECONDS = 86_400


def span_of(text: str | None, zone: tzinfo | None) -> Interval | None:
    """The half-open interval that a date covers, in UTC.

    Args:
        text: ``2023``, ``2023-05``, ``2023-05-08`` or ``2023-05-08T13:56+02:00``.
        zone: time zone of dates without one; ``None`` means UTC.

    Returns:
        ``None`` if there is no such date. Start and end of a date with a time are equal.
    """
    if text is None:
        return None
    zone = zone or UTC
    try:
        partial = _PARTIAL.match(text.strip())
        if partial is not None:
            return _days(*partial.groups(), zone=zone)
        moment = datetime.fromisoformat(text.strip())
        moment = moment if moment.tzinfo is not None else moment.replace(tzinfo=zone)
        moment = moment.astimezone(UTC)
    except (ValueError, OverflowError):
        return None
    return Interval(start=moment, end=moment)


def _days(year: str, month: str | None, day: str | None, *, zone: tzinfo) -> Interval:
    start = datetime(int(year), int(month or 1), int(day or 1), tzinfo=zone)
    if day is not None:
        end = datetime.fromtimestamp(start.timestamp() + _DAY_SECONDS, UTC)
    elif month is not None:
        end = datetime(int(year) + (month == "12"), int(month) % 12 + 1, 1, tzinfo=zone)
    else:
        end = datetime(int(year) + 1, 1, 1, tzinfo=zone)
    return Interval(start=start.astimezone(UTC), end=end.astimezone(UTC))
