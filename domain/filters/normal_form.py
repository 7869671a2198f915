"""Negation normal form, for translators: no ``Ne`` or ``NotIn``, negation only of leaves."""

from __future__ import annotations

from typing import TypeAlias

from attrs import frozen

from remembrancer.domain.filters.ast import (
    And,
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
    Ne,
    Not,
    NotIn,
    Or,
)

PositiveLeaf: TypeAlias = Eq | Gt | Gte | Lt | Lte | In | Contains | IContains | Exists


@frozen
class Literal:
    """A leaf, or its negation if ``holds`` is false."""

    leaf: PositiveLeaf
    holds: bool


@frozen
class Conjunction:
    """Every part holds."""

    parts: tuple[NormalForm, ...]


@frozen
class Disjunction:
    """At least one part holds."""

    parts: tuple[NormalForm, ...]


NormalForm: TypeAlias = Conjunction | Disjunction | Literal


def normal_form(where: Filter, *, holds: bool = True) -> NormalForm:
    """The normal form of a filter, or of its negation if ``holds`` is false."""
    match where:
        case Not():
            return normal_form(where.part, holds=not holds)
        case And() | Or():
            parts = tuple(normal_form(part, holds=holds) for part in where.parts)
            return Conjunction(parts) if isinstance(where, And) is holds else Disjunction(parts)
        case Ne():
            return Literal(Eq(field=where.field, value=where.value), not holds)
        case NotIn():
            return Literal(In(field=where.field, values=where.values), not holds)
        case _:
            return Literal(where, holds)
