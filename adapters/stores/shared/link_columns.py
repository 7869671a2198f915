"""Graph links in SQL tables: the columns of a link, and a view as a ``WHERE`` condition."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any

from remembrancer.adapters.stores.shared.scripts import Row
from remembrancer.adapters.stores.shared.visibility import bounds_of, outside_gaps
from remembrancer.domain.epoch_micros import from_microseconds, to_microseconds
from remembrancer.domain.facts.fact import Interval
from remembrancer.domain.graph.graph import Link, View
from remembrancer.domain.scope import Scope

SHARED = (
    "user_id, agent_id, run_id, app_id, valid_from, valid_to, recorded_from, recorded_to, "
    "expires_at, fact_id, gaps"
)
"""The columns that all links have, after the two with the positions of events."""

FIRST = 2 + len(SHARED.split(", "))
"""The index of the first column that only one kind of link has."""


def row_of(link: Link, listed: Callable[[Sequence[int]], object]) -> tuple[object, ...]:
    """The values of two positions and ``SHARED``; times in microseconds since 1970 in UTC.

    Args:
        link: the link.
        listed: makes one value of a list.
    """
    scope = link.scope
    return (
        link.position,
        link.ended_by,
        scope.user_id,
        scope.agent_id,
        scope.run_id,
        scope.app_id,
        microseconds(link.valid.start),
        microseconds(link.valid.end),
        microseconds(link.recorded.start),
        microseconds(link.recorded.end),
        microseconds(link.expires_at),
        link.fact_id,
        listed(bounds_of(link.interruptions)) if link.interruptions else None,
    )


def fields_of(row: Row, unlisted: Callable[[Any], Sequence[int]]) -> dict[str, Any]:
    """The fields of a link in a row that begins like ``row_of``.

    Args:
        row: the row.
        unlisted: the inverse of ``listed``.
    """
    bounds = list(map(from_microseconds, unlisted(row[12]))) if row[12] is not None else []
    return {
        "position": row[0],
        "ended_by": row[1],
        "scope": _scope(*row[2:6]),
        "valid": _interval(row[6], row[7]),
        "recorded": _interval(row[8], row[9]),
        "expires_at": _moment(row[10]),
        "fact_id": row[11],
        "interruptions": tuple(
            Interval(start=start, end=end)
            for start, end in zip(bounds[::2], bounds[1::2], strict=True)
        ),
    }


def visible(view: View, bounds: str) -> tuple[str, tuple[object, ...]]:
    """``View.sees`` as a condition on ``SHARED``; the caller adds the condition on the ledger.

    Args:
        view: what is seen.
        bounds: see ``visibility.outside_gaps``.
    """
    ids = view.scope.ids()
    clauses, parameters = [f"{name} = %s" for name in ids], [*ids.values()]
    moments: list[int] = []
    if view.as_of is None:
        clauses.append("recorded_to IS NULL")
    else:
        clauses.append("recorded_from <= %s AND (recorded_to IS NULL OR recorded_to > %s)")
        moments += [to_microseconds(view.as_of)] * 2
    clauses.append("(expires_at IS NULL OR expires_at > %s)")
    moments.append(to_microseconds(view.now))
    if view.valid_at is not None:
        clauses.append(
            "(valid_from IS NULL OR valid_from <= %s) AND (valid_to IS NULL OR valid_to > %s) "
            f"AND {outside_gaps(bounds)}"
        )
        moments += [to_microseconds(view.valid_at)] * 3
    elif not view.ended:
        clauses.append("(valid_to IS NULL OR valid_to > %s)")
        moments.append(to_microseconds(view.now))
    return " AND ".join(clauses), (*parameters, *moments)


def microseconds(moment: datetime | None) -> int | None:
    """A time as stored: microseconds since 1970 in UTC; ``None`` for an open end."""
    return None if moment is None else to_microseconds(moment)


@lru_cache(maxsize=1024)
def _scope(
    user_id: str | None, agent_id: str | None, run_id: str | None, app_id: str | None
) -> Scope:
    return Scope(user_id=user_id, agent_id=agent_id, run_id=run_id, app_id=app_id)


def _interval(start: int | None, end: int | None) -> Interval:
    return Interval(
        start=None if start is None else from_microseconds(start),
        end=None if end is None else from_microseconds(end),
    )


def _moment(value: int | None) -> datetime | None:
    return None if value is None else from_microseconds(value)
