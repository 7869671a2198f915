"""Graph links in SQL tables: their shared columns, and a view as a ``WHERE`` condition."""

from __future__ import annotations

from datetime import datetime

from remembrancer.domain.epoch_micros import to_microseconds
from remembrancer.domain.graph.graph import Link, View


def row_of(link: Link) -> tuple[object, ...]:
    """The values of the columns that all links have: two positions, the scope, the times in
    microseconds since 1970 in UTC, and the id of the source fact.
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
    )


def visible(view: View, mark: str) -> tuple[str, tuple[object, ...]]:
    """``View.sees`` as a condition on the columns that ``row_of`` fills.

    Args:
        view: the view; the caller adds the condition on its ledger.
        mark: the SQL parameter placeholder, ``?`` or ``%s``.
    """
    ids = view.scope.ids()
    clauses, parameters = [f"{name} = {mark}" for name in ids], [*ids.values()]
    moments: list[int] = []
    if view.as_of is None:
        clauses.append("recorded_to IS NULL")
    else:
        clauses.append(f"recorded_from <= {mark} AND (recorded_to IS NULL OR recorded_to > {mark})")
        moments += [to_microseconds(view.as_of)] * 2
    clauses.append(f"(expires_at IS NULL OR expires_at > {mark})")
    moments.append(to_microseconds(view.now))
    if view.valid_at is not None:
        clauses.append(
            f"(valid_from IS NULL OR valid_from <= {mark}) "
            f"AND (valid_to IS NULL OR valid_to > {mark})"
        )
        moments += [to_microseconds(view.valid_at)] * 2
    elif not view.ended:
        clauses.append(f"(valid_to IS NULL OR valid_to > {mark})")
        moments.append(to_microseconds(view.now))
    return " AND ".join(clauses), (*parameters, *moments)


def microseconds(moment: datetime | None) -> int | None:
    """A time as stored: microseconds since 1970 in UTC; ``None`` for an open end."""
    return None if moment is None else to_microseconds(moment)
