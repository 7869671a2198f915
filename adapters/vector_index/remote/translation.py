"""Filters as conditions.

What has no equivalent becomes a wider condition that lets all candidates through, and the
domain's own evaluator decides on each of them. A translation is never narrower than the filter.
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
    And,
    Contains,
    Eq,
    Exists,
    Filter,
    Gt,
    Gte,
    IContains,
    In,
    Leaf,
    Lt,
    Lte,
    Ne,
    Not,
    NotIn,
    Or,
    comparable,
)

MARKS = "marks"
"""The property with the tokens of a document."""


@frozen(kw_only=True)
class Translated:
    """``exact``: the condition means what the filter means; otherwise it lets more through."""

    condition: Condition
    exact: bool


def translate(where: Filter, *, negated: bool = False) -> Translated:
    """The narrowest condition that lets through all that a filter, or its negation, does."""
    match where:
        case Not():
            return translate(where.part, negated=not negated)
        case And() | Or():
            parts = [translate(part, negated=negated) for part in where.parts]
            join = all_of if isinstance(where, And) is not negated else any_of
            return Translated(
                condition=join(part.condition for part in parts),
                exact=all(part.exact for part in parts),
            )
        case Ne():
            return _leaf(Eq(field=where.field, value=where.value), negated=not negated)
        case NotIn():
            return _leaf(In(field=where.field, values=where.values), negated=not negated)
        case _:
            return _leaf(where, negated=negated)


def time_property(field: str) -> str:
    """The property that holds a built-in time."""
    return f"time_{field}"


def _leaf(where: Leaf, *, negated: bool) -> Translated:
    found = _holding(where)
    if not negated:
        return found
    if not found.exact:
        return Translated(condition=True, exact=False)
    return Translated(condition=not_so(found.condition), exact=True)


def _holding(where: Leaf) -> Translated:
    """Where a leaf that negates nothing holds."""
    match where:
        case Exists():
            return Translated(condition=marked(MARKS, [exists(where.field)]), exact=True)
        case Eq() | In():
            return _equal(where)
        case Contains() if where.field == "entities" or not isinstance(where.value, str):
            # Of a list, Contains is Eq; of a single value that is no string, it never holds.
            equal = _equal(Eq(field=where.field, value=where.value))
            return Translated(condition=equal.condition, exact=where.field == "entities")
        case Gt() | Gte() | Lt() | Lte() if _time(where.field, where.value) is not None:
            return _ordered(where)
        case Contains() | IContains() | Gt() | Gte() | Lt() | Lte():
            return Translated(condition=marked(MARKS, [exists(where.field)]), exact=False)
        case Ne() | NotIn():
            raise AssertionError("translate turns these into negations")


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
    # A time beyond the limits is held at them, so that there "after" has to mean "at or after".
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
    """The microseconds of a value, where the field holds times."""
    compared = comparable(value)
    if field not in TIME_FIELDS or compared is None or compared[0] != "time":
        return None
    microseconds: int = compared[1]
    return microseconds
