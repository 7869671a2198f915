"""Scope and visibility of facts as SQL conditions, for SQLite and PostgreSQL."""

from __future__ import annotations

from datetime import datetime

from remembrancer.domain.epoch_micros import to_microseconds
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


def timely(
    *,
    now: datetime,
    as_of: datetime | None,
    valid_at: datetime | None,
    bounds: str,
    ended: bool = False,
) -> tuple[list[str], list[object]]:
    """The times of ``Fact.visible`` and ``View.sees`` as conditions; see ``covered``.

    Args:
        now: see ``Fact.visible``.
        as_of: see ``Fact.visible``.
        valid_at: see ``Fact.visible``.
        bounds: a table expression with the starts and ends of all interruptions as ``value``, from
            the column ``gaps``, which is null if there are none.
        ended: whether rows that have ended by ``now`` are included if ``valid_at`` is ``None``.
    """
    clauses: list[str] = []
    moments: list[datetime] = []
    if as_of is None:
        clauses.append("recorded_to IS NULL")
    else:
        clauses.append("recorded_from <= %s AND (recorded_to IS NULL OR recorded_to > %s)")
        moments += [as_of] * 2
    clauses.append("(expires_at IS NULL OR expires_at > %s)")
    moments.append(now)
    if valid_at is not None:
        # Outside of the interruptions, an even number of their bounds has passed.
        passed = f"SELECT count(*) FROM {bounds} WHERE value <= %s"
        clauses.append(
            "(valid_from IS NULL OR valid_from <= %s) AND (valid_to IS NULL OR valid_to > %s) "
            f"AND (gaps IS NULL OR (({passed}) & 1) = 0)"
        )
        moments += [valid_at] * 3
    elif not ended:
        clauses.append("(valid_to IS NULL OR valid_to > %s)")
        moments.append(now)
    return clauses, [to_microseconds(moment) for moment in moments]


def visible(query: FactQuery, bounds: str) -> tuple[list[str], list[object]]:
    """``Scope.covers`` and ``Fact.visible`` as conditions; see ``covered`` and ``timely``."""
    in_scope, ids = covered(query.scope)
    in_time, moments = timely(
        now=query.now, as_of=query.as_of, valid_at=query.valid_at, bounds=bounds
    )
    return [*in_scope, "status IN ('active', 'superseded')", *in_time], [*ids, *moments]
