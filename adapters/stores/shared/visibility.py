"""Scope and visibility of facts as SQL conditions, for SQLite and PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import TypeAlias

from remembrancer.domain.epoch_micros import to_microseconds
from remembrancer.domain.facts.fact import ListedStatus
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
    conditions = [_known(as_of), _unexpired(now)]
    if valid_at is not None:
        conditions.append(_holding(valid_at, bounds))
    elif not ended:
        conditions.append(_ongoing(now))
    return _joined(conditions)


Condition: TypeAlias = tuple[str, list[object]]


def _known(as_of: datetime | None) -> Condition:
    if as_of is None:
        return "recorded_to IS NULL", []
    moment = to_microseconds(as_of)
    return "recorded_from <= %s AND (recorded_to IS NULL OR recorded_to > %s)", [moment] * 2


def _unexpired(now: datetime) -> Condition:
    return "(expires_at IS NULL OR expires_at > %s)", [to_microseconds(now)]


def _ongoing(now: datetime) -> Condition:
    return "(valid_to IS NULL OR valid_to > %s)", [to_microseconds(now)]


def _holding(valid_at: datetime, bounds: str) -> Condition:
    # Outside of the interruptions, an even number of their bounds has passed.
    passed = f"SELECT count(*) FROM {bounds} WHERE value <= %s"
    clause = (
        "(valid_from IS NULL OR valid_from <= %s) AND (valid_to IS NULL OR valid_to > %s) "
        f"AND (gaps IS NULL OR (({passed}) & 1) = 0)"
    )
    return clause, [to_microseconds(valid_at)] * 3


def _joined(conditions: Iterable[Condition]) -> tuple[list[str], list[object]]:
    clauses: list[str] = []
    parameters: list[object] = []
    for clause, values in conditions:
        clauses.append(clause)
        parameters += values
    return clauses, parameters


_BELIEVED = "status IN ('active', 'superseded')"


def listed(query: FactQuery, bounds: str) -> tuple[list[str], list[object]]:
    """``Scope.covers`` and ``Fact.listed`` as conditions; see ``covered`` and ``timely``."""
    in_scope, ids = covered(query.scope)
    in_time, moments = _in_status(query, bounds)
    return [*in_scope, *in_time], [*ids, *moments]


def _in_status(query: FactQuery, bounds: str) -> tuple[list[str], list[object]]:
    now = query.now
    if query.status in (None, ListedStatus.ACTIVE, ListedStatus.RIVAL):
        clauses, moments = timely(
            now=now, as_of=query.as_of, valid_at=query.valid_at, bounds=bounds
        )
        rival = ["rivals > 0"] if query.status is ListedStatus.RIVAL else []
        return [_BELIEVED, *rival, *clauses], moments
    conditions = [_known(query.as_of)]
    if query.valid_at is not None:
        conditions.append(_holding(query.valid_at, bounds))
    if query.status is ListedStatus.RETRACTED:
        conditions.append(("status = 'retracted'", []))
    elif query.status is ListedStatus.EXPIRED:
        past = f"(status = 'expired' OR ({_BELIEVED} AND expires_at <= %s))"
        conditions.append((past, [to_microseconds(now)]))
    else:
        conditions += [(_BELIEVED, []), _unexpired(now)]
        conditions.append(("valid_to <= %s", [to_microseconds(now)]))
    return _joined(conditions)
