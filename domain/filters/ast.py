"""Syntax tree of the filter language. ``parse`` builds it, ``evaluate`` defines its meaning."""

from __future__ import annotations

import math
from collections.abc import Iterable
from datetime import datetime
from functools import cached_property
from typing import Any, Final, TypeAlias

import attrs

from remembrancer.domain.epoch_micros import to_microseconds

TIME_FIELDS: Final = frozenset(
    {"created_at", "updated_at", "occurred_at", "valid_from", "valid_to", "expires_at"}
)
TEXT_FIELDS: Final = frozenset({"fact_id", "kind", "status", "speaker", "text"})
BUILT_IN_FIELDS: Final = TIME_FIELDS | TEXT_FIELDS | {"entities"}

Scalar: TypeAlias = str | int | float | bool | datetime
Comparable: TypeAlias = tuple[str, Any]


def comparable(value: object) -> Comparable | None:
    """The type and value that are compared; ``None`` for a value that equals nothing.

    Returns:
        ``("boolean", bool)``, ``("number", int | float)``, ``("string", str)`` or ``("time",
        int)``, microseconds since 1970 in UTC. Two scalars are equal exactly if these pairs are.
    """
    if isinstance(value, bool):
        return ("boolean", value)
    if isinstance(value, int):
        return ("number", value if -(2**63) <= value < 2**63 else _nearest_double(value))
    if isinstance(value, float):
        return ("number", value)
    if isinstance(value, str):
        return ("string", value)
    if isinstance(value, datetime) and value.utcoffset() is not None:
        return ("time", to_microseconds(value))
    return None


def _nearest_double(value: int) -> float:
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf


@attrs.frozen(kw_only=True)
class And:
    """Every part holds."""

    parts: tuple[Filter, ...]


@attrs.frozen(kw_only=True)
class Or:
    """At least one part holds."""

    parts: tuple[Filter, ...]


@attrs.frozen(kw_only=True)
class Not:
    """The part does not hold."""

    part: Filter


def _comparables(values: Iterable[object]) -> tuple[Comparable | None, ...]:
    return tuple(comparable(value) for value in values)


# In Python True == 1: without ``eq`` two different filters would be equal, and would share an entry
# in a cache that is keyed by filters.
@attrs.frozen(kw_only=True)
class _OneValue:
    field: str
    value: Scalar = attrs.field(eq=comparable)

    @cached_property
    def wanted(self) -> frozenset[Comparable | None]:
        """The value in its comparable form."""
        return frozenset({comparable(self.value)} - {None})


@attrs.frozen(kw_only=True)
class _ManyValues:
    field: str
    values: tuple[Scalar, ...] = attrs.field(eq=_comparables)

    @cached_property
    def wanted(self) -> frozenset[Comparable | None]:
        """The values in their comparable form."""
        return frozenset(_comparables(self.values)) - {None}


@attrs.frozen(kw_only=True)
class Eq(_OneValue):
    """The field, or an element of it, equals the value."""


@attrs.frozen(kw_only=True)
class Ne(_OneValue):
    """The negation of ``Eq``."""


@attrs.frozen(kw_only=True)
class Gt(_OneValue):
    """The field is greater than the value, and of its type."""


@attrs.frozen(kw_only=True)
class Gte(_OneValue):
    """The field is greater than the value or equal to it, and of its type."""


@attrs.frozen(kw_only=True)
class Lt(_OneValue):
    """The field is less than the value, and of its type."""


@attrs.frozen(kw_only=True)
class Lte(_OneValue):
    """The field is less than the value or equal to it, and of its type."""


@attrs.frozen(kw_only=True)
class In(_ManyValues):
    """The field, or an element of it, equals one of the values. No values match nothing."""


@attrs.frozen(kw_only=True)
class NotIn(_ManyValues):
    """The negation of ``In``."""


@attrs.frozen(kw_only=True)
class Contains(_OneValue):
    """The field is a string with the value in it, or a list with an element equal to it."""


@attrs.frozen(kw_only=True)
class IContains:
    """``Contains`` for a string, after casefolding both sides."""

    field: str
    value: str

    @cached_property
    def folded(self) -> str:
        """The value, casefolded."""
        return self.value.casefold()


@attrs.frozen(kw_only=True)
class Exists:
    """The field is not absent (see ``evaluate``)."""

    field: str


Leaf: TypeAlias = Eq | Ne | Gt | Gte | Lt | Lte | In | NotIn | Contains | IContains | Exists
Filter: TypeAlias = And | Or | Not | Leaf


def fields(where: Filter) -> frozenset[str]:
    """The full paths of all fields that a filter names."""
    match where:
        case And() | Or():
            return frozenset().union(*(fields(part) for part in where.parts))
        case Not():
            return fields(where.part)
        case _:
            return frozenset({where.field})
