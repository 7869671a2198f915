"""Evaluate filters: ``matches`` defines the meaning, every engine must return the same rows.

A filter narrows a read by attributes of facts. The scope is not a filter: it is a separate
argument, and a filter can't widen it.

The meaning, where filter languages usually differ:

* **Absent.** A field that is missing, holds ``None`` or holds an empty list is absent. For an
  absent field only ``Ne``, ``NotIn`` and ``Not`` can be true. ``{"x": None}`` tests for absence.
* **Two-valued.** ``Ne`` is the negation of ``Eq``, ``NotIn`` that of ``In``; there is no third
  truth value.
* **Types.** Booleans, numbers, strings and times are never equal to, before or after a value of
  another type: ``True`` is not ``1`` and ``"1"`` is not ``1``. No comparison raises.
* **Numbers** compare by value: ``1`` equals ``1.0``. An integer outside of 64 bits has the value
  of the nearest double.
* **Strings** are equal, and ordered, by code points; nothing is normalised.
* **Booleans** have no order.
* **Lists.** ``Eq``, ``In``, ``Contains`` and ``IContains`` are true for a list that has an
  element equal to the operand (``IContains``: ignoring case). Lists have no order. Nested lists
  and objects equal nothing.
* **Contains** on a string is a substring; ``IContains`` is the same on casefolded strings.
* **Paths.** A dot is always a separator: ``metadata.place.city`` reaches into objects, never into
  lists. A key that contains a dot can't be filtered by.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from typing import Any

from remembrancer.domain.filters.ast import (
    And,
    Comparable,
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
    Scalar,
    comparable,
)


def matches(where: Filter, attributes: Mapping[str, Any]) -> bool:
    """Whether a filter holds for a fact.

    Args:
        where: the filter.
        attributes: the fields of one fact: built-in fields by name (times as aware datetimes,
            ``entities`` as a list or tuple) and the user's own under ``metadata``.
    """
    match where:
        case And():
            return all(matches(part, attributes) for part in where.parts)
        case Or():
            return any(matches(part, attributes) for part in where.parts)
        case Not():
            return not matches(where.part, attributes)
        case _:
            return _holds(where, _value(where.field, attributes))


def _value(path: str, attributes: Mapping[str, Any]) -> object:
    value: object = attributes
    for part in path.split("."):
        # dict is a Mapping, too; tested first, since a test against an abstract class is slow.
        if not isinstance(value, (dict, Mapping)):
            return None
        value = value.get(part)
    return value


def _holds(where: Leaf, value: object) -> bool:
    match where:
        case Eq() | In():
            return _equals_one(value, where.wanted)
        case Ne() | NotIn():
            return not _equals_one(value, where.wanted)
        case Gt():
            return _ordered(operator.gt, value, where.value)
        case Gte():
            return _ordered(operator.ge, value, where.value)
        case Lt():
            return _ordered(operator.lt, value, where.value)
        case Lte():
            return _ordered(operator.le, value, where.value)
        case Contains():
            return _contains(value, where)
        case IContains():
            return _contains_casefolded(value, where.folded)
        case Exists():
            return value is not None and value != [] and value != ()


def _equals_one(value: object, wanted: frozenset[Comparable | None]) -> bool:
    if isinstance(value, (list, tuple)):
        return any(comparable(element) in wanted for element in value)
    return comparable(value) in wanted


def _contains(value: object, where: Contains) -> bool:
    if isinstance(value, str):
        return isinstance(where.value, str) and where.value in value
    return isinstance(value, (list, tuple)) and _equals_one(value, where.wanted)


def _contains_casefolded(value: object, wanted: str) -> bool:
    if isinstance(value, str):
        return wanted in value.casefold()
    return isinstance(value, (list, tuple)) and any(
        isinstance(element, str) and element.casefold() == wanted for element in value
    )


def _ordered(test: Callable[[Any, Any], bool], value: object, operand: Scalar) -> bool:
    left, right = comparable(value), comparable(operand)
    if left is None or right is None or left[0] != right[0] or left[0] == "boolean":
        return False
    return test(left[1], right[1])
