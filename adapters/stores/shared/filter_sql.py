"""Translate filters to SQL conditions: the part that SQLite and PostgreSQL have in common.

``FilterSql`` walks the filter and compares columns. Each store adds its types, its text functions
and its access to JSON.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Final

import attrs

from remembrancer.domain.filters.ast import (
    BUILT_IN_FIELDS,
    TIME_FIELDS,
    Contains,
    Exists,
    Filter,
    Gt,
    Gte,
    IContains,
    Lt,
    Lte,
)
from remembrancer.domain.filters.normal_form import (
    Conjunction,
    Disjunction,
    Literal,
    NormalForm,
    PositiveLeaf,
    normal_form,
)

_ORDERS: Final[dict[type[PositiveLeaf], str]] = {Gt: ">", Gte: ">=", Lt: "<", Lte: "<="}

# SQLite limits the depth of an expression to 1,000; each term of a flat AND adds one.
_GROUP: Final = 32

# SQLite's parser has a stack of 100 entries. A nested condition takes three entries, but only one
# if it comes first; so conditions that need more entries than this are written first.
_SHALLOW: Final = 12


@attrs.frozen
class Condition:
    """An SQL condition; ``stack``: entries of SQLite's parser stack it needs beyond a leaf."""

    sql: str
    parameters: tuple[object, ...] = ()
    stack: int = 0


TRUE: Final = Condition("true")
FALSE: Final = Condition("false")


@attrs.frozen(kw_only=True)
class FilterSql(ABC):
    """Translates filters on the rows of one table; see the ``to_sql`` of each store."""

    columns: Mapping[str, str]
    document: str

    position: ClassVar[str]
    """The function that returns where a text occurs in another, 0 if it does not."""

    casefold: ClassVar[str]
    """The function that equals Python's ``str.casefold``."""

    marks: ClassVar[Mapping[str, str]]
    """The mark of a parameter, by its kind (see ``comparable``)."""

    def translate(self, where: Filter) -> tuple[str, list[object]]:
        """The condition and the values of its parameters in order."""
        condition = self._condition(normal_form(where))
        return condition.sql, list(condition.parameters)

    @abstractmethod
    def on_json(self, where: PositiveLeaf, document: str, keys: Sequence[str]) -> Condition:
        """A leaf on the value at a path of a JSON document."""

    @abstractmethod
    def member(self, value: str, operands: Sequence[object], kind: str) -> Condition:
        """Whether a scalar equals one of several operands of its kind."""

    def test(
        self, where: PositiveLeaf, value: str, operands: tuple[Any, ...], kind: str
    ) -> Condition:
        """The comparison of a scalar with the leaf's operands of its kind."""
        mark = self.marks[kind]
        match where:
            case Contains():
                sql = f"{self.position}({value}, {mark}) > 0"
            case IContains():
                sql = f"{self.position}({self.casefold}({value}), {mark}) > 0"
            case Gt() | Gte() | Lt() | Lte():
                sql = f"{value} {_ORDERS[type(where)]} {mark}"
            case _:
                return self.member(value, operands, kind)
        return Condition(sql, operands)

    def _condition(self, where: NormalForm) -> Condition:
        match where:
            case Conjunction():
                return _joined([self._condition(part) for part in where.parts], "AND")
            case Disjunction():
                return _joined([self._condition(part) for part in where.parts], "OR")
            case Literal():
                leaf = self._leaf(where.leaf)
                return leaf if where.holds else Condition(f"NOT {leaf.sql}", leaf.parameters)

    def _leaf(self, where: PositiveLeaf) -> Condition:
        if where.field == "entities":
            return self.on_json(where, self.columns["entities"], [])
        if where.field in BUILT_IN_FIELDS:
            return self._on_column(where, self.columns[where.field])
        return self.on_json(where, self.document, where.field.split(".")[1:])

    def _on_column(self, where: PositiveLeaf, column: str) -> Condition:
        """A leaf on a column of times or text. ``IS NOT NULL`` prevents a result of ``NULL``."""
        if isinstance(where, Exists):
            return Condition(f"({column} IS NOT NULL)")
        kind = "time" if where.field in TIME_FIELDS else "string"
        operands = scalar_operands(where, kind)
        if not operands:
            return FALSE
        test = self.test(where, column, operands, kind)
        return Condition(f"({column} IS NOT NULL AND {test.sql})", test.parameters)


def scalar_operands(where: PositiveLeaf, kind: str) -> tuple[Any, ...]:
    """The operands that a scalar of a kind (see ``comparable``) is compared with."""
    if isinstance(where, Contains | IContains) and kind != "string":
        return ()
    if type(where) in _ORDERS and kind == "boolean":
        return ()
    return _operands(where, kind)


def element_operands(where: PositiveLeaf, kind: str) -> tuple[Any, ...]:
    """The operands that one element of a list must equal, for ``IContains`` after case folding."""
    return () if type(where) in _ORDERS else _operands(where, kind)


def _operands(where: PositiveLeaf, kind: str) -> tuple[Any, ...]:
    match where:
        case Exists():
            return ()
        case IContains():
            return (where.folded,) if kind == "string" else ()
        case _:
            return tuple(each[1] for each in where.wanted if each and each[0] == kind)


def _joined(parts: Sequence[Condition], word: str) -> Condition:
    if not parts:
        return TRUE if word == "AND" else FALSE
    while len(parts) > _GROUP:
        parts = [_group(parts[at : at + _GROUP], word) for at in range(0, len(parts), _GROUP)]
    return _group(parts, word)


def _group(parts: Sequence[Condition], word: str) -> Condition:
    first, *rest = sorted(parts, key=lambda part: -max(part.stack, _SHALLOW))
    return Condition(
        f"({f' {word} '.join(part.sql for part in (first, *rest))})",
        tuple(value for part in (first, *rest) for value in part.parameters),
        max([first.stack + 1, *(part.stack + 3 for part in rest)]),
    )
