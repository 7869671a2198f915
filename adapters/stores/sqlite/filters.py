"""Filters as SQL: a condition for SQLite that holds for exactly the rows that ``matches`` takes.

It does not know any table: the caller says which expressions hold the fields, and must have
called ``register_functions`` on the connection.

Most of a filter becomes plain SQL on json1 functions, and runs on SQLite 3.38 or newer. Where
SQLite does not see what Python sees, the condition calls the evaluator itself, as an SQL function:
for documents with an escaped NUL in them (SQLite cuts strings or keys there, which of them depends
on the release), for keys that a JSON path can't name, and for lists that are compared with numbers.
How exactly SQLite reads decimals depends on the platform's long double, so Python reads those.
"""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Final

import attrs

from remembrancer.domain.filters.ast import (
    BUILT_IN_FIELDS,
    MAX_NODES,
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
    matches,
)

# Every JSON encoder writes these characters as they are. SQLite compares a path with keys as they
# are written, escapes and all, so any other key has to be found in Python.
_PLAIN_KEY: Final = re.compile(r"[ !#-\[\]-~]+")

# SQLite refuses an expression more than 1,000 operators deep, which a flat AND of many terms is.
_GROUP: Final = 32

# SQLite's parser has a stack of 100 entries. A nested condition takes three of them, but only one
# if it comes first; so conditions that need more than this are written first.
_SHALLOW: Final = 12

_EVALUATED: Final[dict[str, type[Leaf]]] = {
    kind.__name__: kind for kind in (Eq, Gt, Gte, Lt, Lte, In, Contains, IContains, Exists)
}
_ORDERS: Final[dict[type[Leaf], str]] = {Gt: ">", Gte: ">=", Lt: "<", Lte: "<="}


def to_sql(where: Filter, columns: Mapping[str, str], document: str) -> tuple[str, list[object]]:
    """Translate a filter.

    Args:
        where: the filter.
        columns: for each built-in field the SQL expression that holds it, ``NULL`` if absent.
            Times are integers (microseconds since 1970 in UTC), ``entities`` is the text of a JSON
            array, the others are text with the default collation. Columns that are named like one
            of ``json_each`` (``key``, ``value``, ``type``, ...) must be qualified.
        document: the column, or function call, that gives the text of the JSON object that holds
            the metadata; ``NULL`` if there is none. It is evaluated several times a comparison.

    Returns:
        An expression that is 0 or 1 on every row and can stand beside an ``AND``, and the values
        of its ``?`` parameters in order.
    """
    condition = _Translation(columns=columns, document=document).condition(where, holds=True)
    return condition.sql, list(condition.parameters)


def register_functions(connection: sqlite3.Connection) -> None:
    """Give a connection the SQL functions that conditions call."""
    connection.create_function("casefold", 1, _casefold, deterministic=True)
    connection.create_function("exact_double", 1, float, deterministic=True)
    connection.create_function("json_matches", 2, _json_matches, deterministic=True)


def _casefold(text: str | None) -> str | None:
    return None if text is None else text.casefold()


def _json_matches(document: str | None, leaf: str) -> bool:
    where = _decoded(leaf)
    root = where.field.partition(".")[0]
    return matches(where, {} if document is None else {root: json.loads(document)})


def _encoded(where: Leaf) -> str:
    # A time becomes None: either equals nothing that JSON can hold.
    return json.dumps([type(where).__name__, attrs.asdict(where)], default=lambda _: None)


@lru_cache(maxsize=MAX_NODES)
def _decoded(leaf: str) -> Leaf:
    name, arguments = json.loads(leaf)
    return _EVALUATED[name](**arguments)


@attrs.frozen
class _Condition:
    """``stack`` is what it adds to the parser's stack, beyond what a leaf needs."""

    sql: str
    parameters: tuple[object, ...] = ()
    stack: int = 0


_TRUE: Final = _Condition("1")
_FALSE: Final = _Condition("0")


@attrs.frozen(kw_only=True)
class _Translation:
    columns: Mapping[str, str]
    document: str

    def condition(self, where: Filter, *, holds: bool) -> _Condition:
        """The condition that ``where`` holds, or that it does not.

        Negations move down to the leaves, where they cost the parser nothing.
        """
        match where:
            case Not():
                return self.condition(where.part, holds=not holds)
            case And() | Or():
                parts = [self.condition(part, holds=holds) for part in where.parts]
                return _joined(parts, "AND" if isinstance(where, And) is holds else "OR")
            case Ne():
                return self.condition(Eq(field=where.field, value=where.value), holds=not holds)
            case NotIn():
                return self.condition(In(field=where.field, values=where.values), holds=not holds)
            case _:
                leaf = self.leaf(where)
                return leaf if holds else _Condition(f"NOT {leaf.sql}", leaf.parameters)

    def leaf(self, where: Leaf) -> _Condition:
        if where.field == "entities":
            return _on_json(where, self.columns["entities"], [])
        if where.field in BUILT_IN_FIELDS:
            return _on_column(where, self.columns[where.field])
        return _on_json(where, self.document, where.field.split(".")[1:])


def _joined(parts: Sequence[_Condition], word: str) -> _Condition:
    if not parts:
        return _TRUE if word == "AND" else _FALSE
    while len(parts) > _GROUP:
        parts = [_group(parts[at : at + _GROUP], word) for at in range(0, len(parts), _GROUP)]
    return _group(parts, word)


def _group(parts: Sequence[_Condition], word: str) -> _Condition:
    first, *rest = sorted(parts, key=lambda part: -max(part.stack, _SHALLOW))
    return _Condition(
        f"({f' {word} '.join(part.sql for part in (first, *rest))})",
        tuple(value for part in (first, *rest) for value in part.parameters),
        max([first.stack + 1, *(part.stack + 3 for part in rest)]),
    )


def _operands(where: Leaf, kind: str) -> tuple[object, ...]:
    """Those operands of a leaf that are of one kind (see ``comparable``)."""
    match where:
        case In() | NotIn():
            values: tuple[object, ...] = where.values
        case IContains():
            values = (where.value.casefold(),)
        case Exists():
            values = ()
        case _:
            values = (where.value,)
    found = (comparable(value) for value in values)
    return tuple(each[1] for each in found if each is not None and each[0] == kind)


def _on_column(where: Leaf, column: str) -> _Condition:
    """A leaf on a column of times or text. ``IS NOT NULL`` keeps the third truth value out."""
    if isinstance(where, Exists):
        return _Condition(f"({column} IS NOT NULL)")
    is_time = where.field in TIME_FIELDS
    operands = _operands(where, "time" if is_time else "string")
    if not operands or (is_time and isinstance(where, (Contains, IContains))):
        return _FALSE
    test = _test(where, column, operands)
    return _Condition(f"({column} IS NOT NULL AND {test})", operands)


def _test(where: Leaf, value: str, operands: tuple[object, ...]) -> str:
    """A leaf on a scalar of the type of the operands."""
    match where:
        case Contains():
            return f"instr({value}, ?) > 0"
        case IContains():
            return f"instr(casefold({value}), ?) > 0"
        case Gt() | Gte() | Lt() | Lte():
            return f"{value} {_ORDERS[type(where)]} ?"
        case _:
            return f"{value} IN ({_marks(operands)})"


def _marks(values: Sequence[object]) -> str:
    return ", ".join("?" * len(values))


def _on_json(where: Leaf, document: str, keys: Sequence[str]) -> _Condition:
    """A leaf on the value at a path of a JSON document."""
    in_python = _Condition(f"json_matches({document}, ?)", (_encoded(where),))
    if not all(_PLAIN_KEY.fullmatch(key) for key in keys):
        return in_python
    path = "$" + "".join(f'."{key}"' for key in keys)
    in_sql = _by_type(where, document, path, in_python)
    return _Condition(
        f"iif(instr({document}, '\\u0000') > 0, {in_python.sql}, {in_sql.sql})",
        (*in_python.parameters, *in_sql.parameters),
    )


def _by_type(where: Leaf, document: str, path: str, in_python: _Condition) -> _Condition:
    if isinstance(where, Exists):
        return _Condition(
            f"CASE ifnull(json_type({document}, ?), 'null') WHEN 'null' THEN 0 "
            f"WHEN 'array' THEN json_array_length({document}, ?) > 0 ELSE 1 END",
            (path, path),
        )
    branches = [*_scalars(where, document, path), *_lists(where, document, path, in_python)]
    if not branches:
        return _FALSE
    return _Condition(
        f"CASE json_type({document}, ?) {' '.join(each.sql for each in branches)} ELSE 0 END",
        (path, *(value for each in branches for value in each.parameters)),
    )


def _scalars(where: Leaf, document: str, path: str) -> Iterator[_Condition]:
    """The branches for strings, numbers and booleans."""
    value = f"json_extract({document}, ?)"
    if strings := _operands(where, "string"):
        yield _Condition(f"WHEN 'text' THEN {_test(where, value, strings)}", (path, *strings))
    if isinstance(where, (Contains, IContains)):
        return
    if numbers := _operands(where, "number"):
        # An integer that does not fit in 64 bits comes out of json_extract as a rounded double.
        exact = f"exact_double({document} -> ?)"
        integer = f"iif(typeof({value}) = 'integer', {value}, {exact})"
        yield _Condition(
            f"WHEN 'integer' THEN {_test(where, integer, numbers)}", (path,) * 3 + numbers
        )
        yield _Condition(f"WHEN 'real' THEN {_test(where, exact, numbers)}", (path, *numbers))
    if type(where) not in _ORDERS:
        for boolean in set(_operands(where, "boolean")):
            yield _Condition(f"WHEN '{'true' if boolean else 'false'}' THEN 1")


def _lists(where: Leaf, document: str, path: str, in_python: _Condition) -> Iterator[_Condition]:
    """The branch for a list, which holds if one of its elements equals an operand."""
    if type(where) in _ORDERS:
        return
    strings, booleans = _operands(where, "string"), set(_operands(where, "boolean"))
    if _operands(where, "number"):
        yield _Condition(f"WHEN 'array' THEN {in_python.sql}", in_python.parameters)
    elif strings or booleans:
        value = "casefold(element.value)" if isinstance(where, IContains) else "element.value"
        tests = [f"element.type = '{'true' if boolean else 'false'}'" for boolean in booleans]
        if strings:
            tests.append(f"(element.type = 'text' AND {value} IN ({_marks(strings)}))")
        yield _Condition(
            f"WHEN 'array' THEN EXISTS (SELECT 1 FROM json_each({document}, ?) AS element "
            f"WHERE {' OR '.join(tests)})",
            (path, *strings),
        )
