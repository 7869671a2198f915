"""Translate filters to SQL conditions for SQLite, with the same result as ``matches`` on every row.

The translation is independent of tables: the caller gives the SQL expression of each field, and
must have called ``register_functions`` on the connection.

Most of a filter becomes plain SQL with json1 functions, for SQLite 3.38 or newer. Where SQLite
would give another result than Python, the condition calls ``matches`` as an SQL function: for
documents with an escaped NUL (SQLite truncates strings or keys there, depending on the release),
for keys that a JSON path can't contain, and for lists compared with numbers. SQLite's precision
with decimals depends on the platform's long double, so Python parses those.
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
from remembrancer.domain.filters.evaluate import matches
from remembrancer.domain.filters.normal_form import (
    Conjunction,
    Disjunction,
    Literal,
    NormalForm,
    PositiveLeaf,
    normal_form,
)
from remembrancer.domain.filters.parse import MAX_NODES

# JSON encoders never escape these characters. SQLite compares a path with keys as they are
# written, including escapes, so Python must look up any other key.
_PLAIN_KEY: Final = re.compile(r"[ !#-\[\]-~]+")

# SQLite limits the depth of an expression to 1,000; each term of a flat AND adds one.
_GROUP: Final = 32

# SQLite's parser has a stack of 100 entries. A nested condition takes three entries, but only one
# if it comes first; so conditions that need more entries than this are written first.
_SHALLOW: Final = 12

_EVALUATED: Final[dict[str, type[PositiveLeaf]]] = {
    kind.__name__: kind for kind in (Eq, Gt, Gte, Lt, Lte, In, Contains, IContains, Exists)
}
_ORDERS: Final[dict[type[PositiveLeaf], str]] = {Gt: ">", Gte: ">=", Lt: "<", Lte: "<="}


def to_sql(where: Filter, columns: Mapping[str, str], document: str) -> tuple[str, list[object]]:
    """Translate a filter.

    Args:
        where: the filter.
        columns: the SQL expression of each built-in field; ``NULL`` if the field is absent.
            Times are integers (microseconds since 1970 in UTC), ``entities`` is the text of a JSON
            array, all others are text with the default collation. A column that has the name of
            one of ``json_each`` (``key``, ``value``, ``type``, ...) must be qualified.
        document: the column or function call with the metadata as text of a JSON object; ``NULL``
            if there is none. It is evaluated several times per comparison.

    Returns:
        An expression that is 0 or 1 on every row and can be joined with ``AND``, and the values of
        its ``?`` parameters in order.
    """
    condition = _Translation(columns=columns, document=document).condition(normal_form(where))
    return condition.sql, list(condition.parameters)


def register_functions(connection: sqlite3.Connection) -> None:
    """Register the SQL functions that conditions call on a connection."""
    connection.create_function("casefold", 1, _casefold, deterministic=True)
    connection.create_function("exact_double", 1, float, deterministic=True)
    connection.create_function("json_matches", 2, _json_matches, deterministic=True)


def _casefold(text: str | None) -> str | None:
    return None if text is None else text.casefold()


def _json_matches(document: str | None, leaf: str) -> bool:
    where = _decoded(leaf)
    root = where.field.partition(".")[0]
    return matches(where, {} if document is None else {root: json.loads(document)})


def _encoded(where: PositiveLeaf) -> str:
    # A time becomes None: neither is equal to any JSON value.
    return json.dumps([type(where).__name__, attrs.asdict(where)], default=lambda _: None)


@lru_cache(maxsize=MAX_NODES)
def _decoded(leaf: str) -> PositiveLeaf:
    name, arguments = json.loads(leaf)
    return _EVALUATED[name](**arguments)


@attrs.frozen
class _Condition:
    """An SQL condition; ``stack``: entries of the parser's stack it needs beyond a leaf."""

    sql: str
    parameters: tuple[object, ...] = ()
    stack: int = 0


_TRUE: Final = _Condition("1")
_FALSE: Final = _Condition("0")


@attrs.frozen(kw_only=True)
class _Translation:
    columns: Mapping[str, str]
    document: str

    def condition(self, where: NormalForm) -> _Condition:
        match where:
            case Conjunction():
                return _joined([self.condition(part) for part in where.parts], "AND")
            case Disjunction():
                return _joined([self.condition(part) for part in where.parts], "OR")
            case Literal():
                leaf = self.leaf(where.leaf)
                return leaf if where.holds else _Condition(f"NOT {leaf.sql}", leaf.parameters)

    def leaf(self, where: PositiveLeaf) -> _Condition:
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


def _operands(where: PositiveLeaf, kind: str) -> tuple[object, ...]:
    """The operands of a leaf that have a kind (see ``comparable``)."""
    match where:
        case In():
            values: tuple[object, ...] = where.values
        case IContains():
            values = (where.value.casefold(),)
        case Exists():
            values = ()
        case _:
            values = (where.value,)
    found = (comparable(value) for value in values)
    return tuple(each[1] for each in found if each is not None and each[0] == kind)


def _on_column(where: PositiveLeaf, column: str) -> _Condition:
    """A leaf on a column of times or text. ``IS NOT NULL`` prevents a NULL result."""
    if isinstance(where, Exists):
        return _Condition(f"({column} IS NOT NULL)")
    is_time = where.field in TIME_FIELDS
    operands = _operands(where, "time" if is_time else "string")
    if not operands or (is_time and isinstance(where, (Contains, IContains))):
        return _FALSE
    test = _test(where, column, operands)
    return _Condition(f"({column} IS NOT NULL AND {test})", operands)


def _test(where: PositiveLeaf, value: str, operands: tuple[object, ...]) -> str:
    """The comparison of a scalar with operands of the same type."""
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


def _on_json(where: PositiveLeaf, document: str, keys: Sequence[str]) -> _Condition:
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


def _by_type(where: PositiveLeaf, document: str, path: str, in_python: _Condition) -> _Condition:
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


def _scalars(where: PositiveLeaf, document: str, path: str) -> Iterator[_Condition]:
    """The branches for strings, numbers and booleans."""
    value = f"json_extract({document}, ?)"
    if strings := _operands(where, "string"):
        yield _Condition(f"WHEN 'text' THEN {_test(where, value, strings)}", (path, *strings))
    if isinstance(where, (Contains, IContains)):
        return
    if numbers := _operands(where, "number"):
        # json_extract returns an integer beyond 64 bits as a rounded double.
        exact = f"exact_double({document} -> ?)"
        integer = f"iif(typeof({value}) = 'integer', {value}, {exact})"
        yield _Condition(
            f"WHEN 'integer' THEN {_test(where, integer, numbers)}", (path,) * 3 + numbers
        )
        yield _Condition(f"WHEN 'real' THEN {_test(where, exact, numbers)}", (path, *numbers))
    if type(where) not in _ORDERS:
        for boolean in set(_operands(where, "boolean")):
            yield _Condition(f"WHEN '{'true' if boolean else 'false'}' THEN 1")


def _lists(
    where: PositiveLeaf, document: str, path: str, in_python: _Condition
) -> Iterator[_Condition]:
    """The branch for a list: true if an element equals an operand."""
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
