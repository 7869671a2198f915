"""ISO dates in a model's answer, whole or in part: a year, a month, a day, or a moment."""

from __future__ import annotations

import re
from datetime import UTC, datetime, tzinfo

from remembrancer.domain.facts.fact import Interval

_PARTIAL = re.compile(r"(\d{4})(?:-(\d{2})(?:-(\d{2}))?)?\Z")
_DAY_SECONDS = 86_400


def span_of(text: str | None, zone: tzinfo | None) -> Interval | None:
    """The span that a date covers, from its first moment to just after its last.

    Args:
        text: ``2023``, ``2023-05``, ``2023-05-08`` or ``2023-05-08T13:56+02:00``.
        zone: where days begin, and that of moments without one; ``None`` means UTC.

    Returns:
        ``None`` where there is no such date. A moment covers no time: both ends are the same.
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
