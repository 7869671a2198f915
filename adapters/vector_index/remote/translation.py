"""Translate filters to conditions.

A filter without an equivalent becomes a wider condition, and the domain's evaluator then checks
each candidate. A translation is never narrower than the filter.
"""

from __future__ import annotations

from attrs import frozen

from remembrancer.adapters.vector_index.remote.clamped_times import FURTHEST, clamped
from remembrancer.adapters.vector_index.remote.conditions import (
    Condition,
    Within,
    all_of,
    any_of,
    marked,
    not_so,
)
from remembrancer.adapters.vector_index.remote.tokens import equals, exists
from remembrancer.domain.filters.ast import (
    TIME_FIELDS,
    Contains,
    Eq,
    Exists,
    Filter,
    Gt,
    Gte,
    IContains,
    In,
    Lt,
    Lte,
    comparable,
)
from remembrancer.domain.filters.normal_form import (
    Conjunction,
    Disjunction,
    Literal,
    NormalForm,
    PositiveLeaf,
    normal_form,
)

MARKS = "marks"
"""Name of the property with the tokens of a document."""


@frozen(kw_only=True)
class Translated:
    """``exact``: the condition is equivalent to the filter; otherwise it is wider."""

    condition: Condition
    exact: bool


def translate(where: Filter) -> Translated:
    """The narrowest condition that all rows of a filter fulfil."""
    return _translated(normal_form(where))


def _translated(where: NormalForm) -> Translated:
    match where:
        case Literal():
            return _literal(where)
        case Conjunction() | Disjunction():
            parts = [_translated(part) for part in where.parts]
            join = all_of if isinstance(where, Conjunction) else any_of
            return Translated(
                condition=join(part.condition for part in parts),
                exact=all(part.exact for part in parts),
            )


def time_property(field: str) -> str:
    """Return the name of the property of a built-in time field."""
    return f"time_{field}"


def _literal(where: Literal) -> Translated:
    found = _holding(where.leaf)
    if where.holds:
        return found
    if not found.exact:
        return Translated(condition=True, exact=False)
    return Translated(condition=not_so(found.condition), exact=True)


def _holding(where: PositiveLeaf) -> Translated:
    match where:
        case Exists():
            return Translated(condition=marked(MARKS, [exists(where.field)]), exact=True)
        case Eq() | In():
            return _equal(where)
        case Contains() if where.field == "entities" or not isinstance(where.value, str):
            # On a list, Contains equals Eq; on a single value that is not a string, it is false.
            equal = _equal(Eq(field=where.field, value=where.value))
            return Translated(condition=equal.condition, exact=where.field == "entities")
        case Gt() | Gte() | Lt() | Lte() if _time(where.field, where.value) is not None:
            return _ordered(where)
        case Contains() | IContains() | Gt() | Gte() | Lt() | Lte():
            return Translated(condition=marked(MARKS, [exists(where.field)]), exact=False)


def _equal(where: Eq | In) -> Translated:
    wanted = [value for value in where.wanted if value is not None]
    times = [value[1] for value in wanted if where.field in TIME_FIELDS and value[0] == "time"]
    tokens = [
        equals(where.field, value)
        for value in wanted
        if not (where.field in TIME_FIELDS and value[0] == "time")
    ]
    conditions = [marked(MARKS, tokens), *(_at(where.field, time) for time in sorted(times))]
    return Translated(
        condition=any_of(conditions), exact=all(abs(time) < FURTHEST for time in times)
    )


def _at(field: str, microseconds: int) -> Condition:
    held = clamped(microseconds)
    return Within(field=time_property(field), least=held, most=held)


def _ordered(where: Gt | Gte | Lt | Lte) -> Translated:
    moment = _time(where.field, where.value)
    assert moment is not None, "the caller has looked"
    held, exact = clamped(moment), abs(moment) < FURTHEST
    # Times beyond the limits are stored at the limits: there, "after" must become "at or after".
    strictly = int(exact)
    match where:
        case Gt():
            bounds = Within(field=time_property(where.field), least=held + strictly)
        case Gte():
            bounds = Within(field=time_property(where.field), least=held)
        case Lt():
            bounds = Within(field=time_property(where.field), most=held - strictly)
        case Lte():
            bounds = Within(field=time_property(where.field), most=held)
    return Translated(condition=bounds, exact=exact)


def _time(field: str, value: object) -> int | None:
    """Return a value in microseconds, if the field holds times and the value is one."""
    compared = comparable(value)
    if field not in TIME_FIELDS or compared is None or compared[0] != "time":
        return None
    microseconds: int = compared[1]
    return microseconds
