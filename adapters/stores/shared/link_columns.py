"""Graph links in SQL tables: the columns of a link, and a view as a ``WHERE`` condition."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

from remembrancer.adapters.damage import decoding
from remembrancer.adapters.stores.shared.scripts import Row
from remembrancer.adapters.stores.shared.visibility import timely
from remembrancer.domain.epoch_micros import (
    bounds_of,
    interruptions_from,
    interval_from,
    optional_microseconds,
    optional_moment,
)
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
        optional_microseconds(link.valid.start),
        optional_microseconds(link.valid.end),
        optional_microseconds(link.recorded.start),
        optional_microseconds(link.recorded.end),
        optional_microseconds(link.expires_at),
        link.fact_id,
        listed(bounds_of(link.interruptions)) if link.interruptions else None,
    )


def fields_of(row: Row, unlisted: Callable[[Any], Sequence[int]]) -> dict[str, Any]:
    """The fields of a link in a row that begins like ``row_of``.

    Args:
        row: the row.
        unlisted: the inverse of ``listed``.
    """
    return {
        "position": row[0],
        "ended_by": row[1],
        "scope": _scope(*row[2:6]),
        "valid": interval_from(row[6], row[7]),
        "recorded": interval_from(row[8], row[9]),
        "expires_at": optional_moment(row[10]),
        "fact_id": row[11],
        "interruptions": () if row[12] is None else interruptions_from(unlisted(row[12])),
    }


def visible(view: View, bounds: str) -> tuple[str, tuple[object, ...]]:
    """``View.sees`` as a condition on ``SHARED``; the caller adds the condition on the ledger.

    Args:
        view: what is seen.
        bounds: see ``visibility.timely``.
    """
    ids = view.scope.ids()
    clauses, moments = timely(
        now=view.now, as_of=view.as_of, valid_at=view.valid_at, bounds=bounds, ended=view.ended
    )
    return " AND ".join([*(f"{name} = %s" for name in ids), *clauses]), (*ids.values(), *moments)


@lru_cache(maxsize=1024)
def _scope(
    user_id: str | None, agent_id: str | None, run_id: str | None, app_id: str | None
) -> Scope:
    with decoding("the graph's tables, columns user_id to app_id", checked=True):
        return Scope(user_id=user_id, agent_id=agent_id, run_id=run_id, app_id=app_id)
