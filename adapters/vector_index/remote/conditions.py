"""Conditions that every engine can be asked: tokens, and numbers within bounds.

The words of one engine are left to its adapter, which renders them.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeAlias

from attrs import frozen


@frozen
class Marked:
    """The list ``field`` holds one of ``tokens`` (at least one is given)."""

    field: str
    tokens: tuple[str, ...]


@frozen(kw_only=True)
class Within:
    """The number ``field`` is at least ``least`` and at most ``most``, where given."""

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
"""``True`` lets everything through, ``False`` nothing; neither is ever a part of another."""


def all_of(conditions: Iterable[Condition]) -> Condition:
    """All of them, as simply as possible."""
    parts: list[Condition] = []
    for condition in conditions:
        if condition is False:
            return False
        if condition is not True:
            parts.append(condition)
    return True if not parts else parts[0] if len(parts) == 1 else AllOf(tuple(parts))


def any_of(conditions: Iterable[Condition]) -> Condition:
    """At least one of them, as simply as possible."""
    parts: list[Condition] = []
    for condition in conditions:
        if condition is True:
            return True
        if condition is not False:
            parts.append(condition)
    return False if not parts else parts[0] if len(parts) == 1 else AnyOf(tuple(parts))


def not_so(condition: Condition) -> Condition:
    """The negation."""
    return (not condition) if isinstance(condition, bool) else NotSo(condition)


def marked(field: str, tokens: Iterable[str]) -> Condition:
    """Where a list holds one of some tokens; nowhere if there are none."""
    found = tuple(sorted(set(tokens)))
    return Marked(field, found) if found else False
