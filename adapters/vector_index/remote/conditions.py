"""Conditions that every engine supports: tokens in lists, and ranges of numbers.

Each adapter translates them to the filter language of its engine.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeAlias

from attrs import frozen


@frozen
class Marked:
    """The list ``field`` contains one of ``tokens`` (at least one)."""

    field: str
    tokens: tuple[str, ...]


@frozen(kw_only=True)
class Within:
    """The number ``field`` is in [``least``, ``most``]; ``None`` means no bound."""

    field: str
    least: int | None = None
    most: int | None = None


@frozen
class AllOf:
    """Every part holds."""

    parts: tuple[Condition, ...]


@frozen
class AnyOf:
    """At least one part holds."""

    parts: tuple[Condition, ...]


@frozen
class NotSo:
    """The part does not hold."""

    part: Condition


Condition: TypeAlias = Marked | Within | AllOf | AnyOf | NotSo | bool
"""``True`` matches everything, ``False`` nothing; neither is a part of another condition."""


def all_of(conditions: Iterable[Condition]) -> Condition:
    """Return the conjunction, simplified."""
    parts: list[Condition] = []
    for condition in conditions:
        if condition is False:
            return False
        if condition is not True:
            parts.append(condition)
    return True if not parts else parts[0] if len(parts) == 1 else AllOf(tuple(parts))


def any_of(conditions: Iterable[Condition]) -> Condition:
    """Return the disjunction, simplified."""
    parts: list[Condition] = []
    for condition in conditions:
        if condition is True:
            return True
        if condition is not False:
            parts.append(condition)
    return False if not parts else parts[0] if len(parts) == 1 else AnyOf(tuple(parts))


def not_so(condition: Condition) -> Condition:
    """Return the negation."""
    return (not condition) if isinstance(condition, bool) else NotSo(condition)


def marked(field: str, tokens: Iterable[str]) -> Condition:
    """Return ``Marked``, or ``False`` without tokens."""
    found = tuple(sorted(set(tokens)))
    return Marked(field, found) if found else False
