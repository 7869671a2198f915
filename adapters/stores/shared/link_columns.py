"""Graph links in SQL tables: the columns of a link, and a view as a ``WHERE`` condition."""

from __future__ import annotations

from datetime import datetime
from functools import lru_cache
from typing import Any

from remembrancer.adapters.stores.shared.scripts import Row
from remembrancer.domain.epoch_micros import from_microseconds, to_microseconds
from remembrancer.domain.facts.fact import Interval
from remembrancer.domain.graph.graph import Link, View
from remembrancer.domain.scope import Scope

SHARED = (
    "user_id, agent_id, run_id, app_id, valid_from, valid_to, recorded_from, recorded_to, "
    "expires_at, fact_id"
)
"""The columns that all links have, after the two with the positions of events."""

FIRST = 2 + len(SHARED.split(", "))
"""The index of the first column that only one kind of link has."""


def row_of(link: Link) -> tuple[object, ...]:
    """The values of two positions and ``SHARED``; times in microseconds since 1970 in UTC."""
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
    )


def fields_of(row: Row) -> dict[str, Any]:
    """The fields of a link in a row that begins like ``row_of``."""
    return {
        "position": row[0],
        "ended_by": row[1],
        "scope": _scope(*row[2:6]),
        "valid": _interval(row[6], row[7]),
        "recorded": _interval(row[8], row[9]),
        "expires_at": _moment(row[10]),
        "fact_id": row[11],
    }


def visible(view: View) -> tuple[str, tuple[object, ...]]:
    """``View.sees`` as a condition on ``SHARED``; the caller adds the condition on the ledger."""
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
            "(valid_from IS NULL OR valid_from <= %s) AND (valid_to IS NULL OR valid_to > %s)"
        )
        moments += [to_microseconds(view.valid_at)] * 2
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
