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
from typing import ClassVar, Final

import attrs

from remembrancer.adapters.stores.shared.filter_sql import (
    FALSE,
    Condition,
    FilterSql,
    element_operands,
    scalar_operands,
)
from remembrancer.domain.filters.ast import (
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
)
from remembrancer.domain.filters.evaluate import matches
from remembrancer.domain.filters.normal_form import PositiveLeaf
from remembrancer.domain.filters.parse import MAX_NODES

# JSON encoders never escape these characters. SQLite compares a path with keys as they are
# written, including escapes, so Python must look up any other key.
_PLAIN_KEY: Final = re.compile(r"[ !#-\[\]-~]+")

_EVALUATED: Final[dict[str, type[PositiveLeaf]]] = {
    kind.__name__: kind for kind in (Eq, Gt, Gte, Lt, Lte, In, Contains, IContains, Exists)
}


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
    return _SqliteFilter(columns=columns, document=document).translate(where)


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


class _SqliteFilter(FilterSql):
    position: ClassVar[str] = "instr"
    casefold: ClassVar[str] = "casefold"
    marks: ClassVar[Mapping[str, str]] = dict.fromkeys(("time", "string", "number"), "?")

    def member(self, value: str, operands: Sequence[object], kind: str) -> Condition:
        marks = ", ".join([self.marks[kind]] * len(operands))
        return Condition(f"{value} IN ({marks})", tuple(operands))

    def on_json(self, where: PositiveLeaf, document: str, keys: Sequence[str]) -> Condition:
        in_python = Condition(f"json_matches({document}, ?)", (_encoded(where),))
        if not all(_PLAIN_KEY.fullmatch(key) for key in keys):
            return in_python
        path = "$" + "".join(f'."{key}"' for key in keys)
        in_sql = self._by_type(where, document, path, in_python)
        return Condition(
            f"iif(instr({document}, '\\u0000') > 0, {in_python.sql}, {in_sql.sql})",
            (*in_python.parameters, *in_sql.parameters),
        )

    def _by_type(
        self, where: PositiveLeaf, document: str, path: str, in_python: Condition
    ) -> Condition:
        if isinstance(where, Exists):
            return Condition(
                f"CASE ifnull(json_type({document}, ?), 'null') WHEN 'null' THEN 0 "
                f"WHEN 'array' THEN json_array_length({document}, ?) > 0 ELSE 1 END",
                (path, path),
            )
        branches = [
            *self._scalars(where, document, path),
            *self._lists(where, document, path, in_python),
        ]
        if not branches:
            return FALSE
        return Condition(
            f"CASE json_type({document}, ?) {' '.join(each.sql for each in branches)} ELSE 0 END",
            (path, *(value for each in branches for value in each.parameters)),
        )

    def _scalars(self, where: PositiveLeaf, document: str, path: str) -> Iterator[Condition]:
        """The branches for strings, numbers and booleans."""
        value = f"json_extract({document}, ?)"
        # json_extract returns an integer beyond 64 bits as a rounded double.
        exact = f"exact_double({document} -> ?)"
        integer = f"iif(typeof({value}) = 'integer', {value}, {exact})"
        for json_type, kind, read, paths in (
            ("text", "string", value, (path,)),
            ("integer", "number", integer, (path,) * 3),
            ("real", "number", exact, (path,)),
        ):
            if operands := scalar_operands(where, kind):
                test = self.test(where, read, operands, kind)
                yield Condition(f"WHEN '{json_type}' THEN {test.sql}", paths + test.parameters)
        for boolean in scalar_operands(where, "boolean"):
            yield Condition(f"WHEN {_json_type(boolean)} THEN 1")

    def _lists(
        self, where: PositiveLeaf, document: str, path: str, in_python: Condition
    ) -> Iterator[Condition]:
        """The branch for a list: true if an element equals an operand."""
        if element_operands(where, "number"):
            yield Condition(f"WHEN 'array' THEN {in_python.sql}", in_python.parameters)
            return
        tests = [
            Condition(f"element.type = {_json_type(boolean)}")
            for boolean in element_operands(where, "boolean")
        ]
        if strings := element_operands(where, "string"):
            value = "casefold(element.value)" if isinstance(where, IContains) else "element.value"
            equal = self.member(value, strings, "string")
            tests.append(Condition(f"(element.type = 'text' AND {equal.sql})", equal.parameters))
        if tests:
            yield Condition(
                f"WHEN 'array' THEN EXISTS (SELECT 1 FROM json_each({document}, ?) AS element "
                f"WHERE {' OR '.join(test.sql for test in tests)})",
                (path, *(value for test in tests for value in test.parameters)),
            )


def _json_type(boolean: object) -> str:
    return "'true'" if boolean else "'false'"
