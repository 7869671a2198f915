"""Scope and visibility of facts as SQL conditions, for SQLite and PostgreSQL."""

from __future__ import annotations

from collections.abc import Sequence

from remembrancer.domain.epoch_micros import to_microseconds
from remembrancer.domain.facts.fact import Interval
from remembrancer.domain.ports.fact_store import FactQuery
from remembrancer.domain.scope import Scope


def covered(scope: Scope) -> tuple[list[str], list[object]]:
    """``Scope.covers`` as conditions on the columns of facts.

    Args:
        scope: the scope that must cover the facts.

    Returns:
        Conditions to join with ``AND``, and their parameters in order.
    """
    ids = scope.ids()
    clauses = [
        "ledger_id = (SELECT id FROM ledger WHERE name = %s)",
        *(f"{name} = %s" for name in ids),
    ]
    return clauses, [scope.ledger, *ids.values()]


def bounds_of(interruptions: Sequence[Interval]) -> list[int]:
    """The starts and ends of interruptions, in order, in microseconds since 1970."""
    moments = [moment for gap in interruptions for moment in (gap.start, gap.end)]
    return [to_microseconds(moment) for moment in moments if moment is not None]


def outside_gaps(bounds: str) -> str:
    """The condition that a moment is not in an interruption: an even number of bounds before it.

    Args:
        bounds: a table expression with the starts and ends of all interruptions as ``value``, from
            the column ``gaps``, which is null if there are none.
    """
    passed = f"SELECT count(*) FROM {bounds} WHERE value <= %s"
    return f"(gaps IS NULL OR (({passed}) & 1) = 0)"


def visible(query: FactQuery, bounds: str) -> tuple[list[str], list[object]]:
    """``Scope.covers`` and ``Fact.visible`` as conditions; see ``covered`` and ``outside_gaps``."""
    clauses, parameters = covered(query.scope)
    if query.as_of is None:
        clauses.append("recorded_to IS NULL")
    else:
        clauses.append("recorded_from <= %s AND (recorded_to IS NULL OR recorded_to > %s)")
        parameters.extend([to_microseconds(query.as_of)] * 2)
    moment = to_microseconds(query.now)
    clauses.append("status IN ('active', 'superseded') AND (expires_at IS NULL OR expires_at > %s)")
    parameters.append(moment)
    if query.valid_at is None:
        clauses.append("(valid_to IS NULL OR valid_to > %s)")
        parameters.append(moment)
    else:
        clauses.append(
            "(valid_from IS NULL OR valid_from <= %s) AND (valid_to IS NULL OR valid_to > %s) "
            f"AND {outside_gaps(bounds)}"
        )
        parameters.extend([to_microseconds(query.valid_at)] * 3)
    return clauses, parameters
