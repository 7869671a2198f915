"""Translation of filters to SQL conditions that select exactly the rows that ``matches`` accepts.

Independent of tables: the caller passes the SQL expressions of the fields, stores metadata as
``searchable`` encodes it, and has created the function of ``create_casefold``. All operators are
translated; none is left for the evaluator.

To agree with Python: ``jsonb`` stores numbers as decimals, so a double is stored and compared by
all digits of its exact value; strings are compared in the collation "C", by code points; case
folding is Python's ``str.casefold``.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from functools import cache
from typing import Any, ClassVar, Final

import msgspec

from remembrancer.adapters.stores.shared.filter_sql import (
    FALSE,
    Condition,
    FilterSql,
    element_operands,
    scalar_operands,
)
from remembrancer.domain.filters.ast import TEXT_FIELDS, Exists, Filter, IContains, comparable
from remembrancer.domain.filters.normal_form import PositiveLeaf

_READ: Final = {
    "string": "(({} #>> '{{}}') COLLATE \"C\")",
    "number": "{}::numeric",
    "boolean": "{}::boolean",
}
"""Expressions that read a ``jsonb`` scalar, by its type."""

_BLOCK: Final = 150
"""Characters that one ``translate`` call maps. Its search is linear, so a text goes only through
the blocks that it has characters of.
"""

_encoder: Final = msgspec.json.Encoder(decimal_format="number")


def searchable(metadata: Mapping[str, object]) -> str:
    """Encode metadata for a ``jsonb`` column so that filters can compare it."""
    return _encoder.encode(_exact(metadata)).decode()


def _exact(value: object) -> object:
    if isinstance(value, Mapping):
        return {key: _exact(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_exact(part) for part in value]
    if isinstance(value, float | int) and not isinstance(value, bool):
        return _number(value)
    return value


def _number(value: float) -> int | Decimal:
    """A number with all of its digits. An integer beyond the range of doubles stays an integer."""
    known = comparable(value)
    assert known is not None
    exact = Decimal(known[1])
    return exact if exact.is_finite() and isinstance(known[1], float) else int(value)


@cache
def _folded() -> dict[str, str]:
    """All characters beyond ASCII that ``str.casefold`` changes. There are a million to ask."""
    return {
        character: character.casefold()
        for character in map(chr, range(128, sys.maxunicode + 1))
        if character.casefold() != character
    }


def create_casefold(schema: str, _partitions: int) -> list[str]:
    """DDL of the function ``remembrancer_casefold``, equal to this Python's ``str.casefold``."""
    folded = _folded()
    single = [character for character, to in folded.items() if len(to) == 1]
    blocks = [single[at : at + _BLOCK] for at in range(0, len(single), _BLOCK)]
    several = [character for character, to in folded.items() if len(to) > 1]
    steps = [
        f"IF text ~ '[{''.join(several)}]' THEN "
        + " ".join(f"text := replace(text, '{one}', '{folded[one]}');" for one in several)
        + " END IF;",
        *(
            f"IF text ~ '[{''.join(block)}]' THEN text := translate(text, '{''.join(block)}', "
            f"'{''.join(folded[one] for one in block)}'); END IF;"
            for block in blocks
        ),
    ]
    body = " ".join(steps)
    return [
        f"""
        CREATE FUNCTION {schema}.remembrancer_casefold(text text) RETURNS text
        LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
        BEGIN
            text := lower(text COLLATE "C");
            IF octet_length(text) = length(text) THEN
                RETURN text;
            END IF;
            {body}
            RETURN text;
        END $$
        """
    ]


def to_sql(where: Filter, columns: Mapping[str, str], document: str) -> tuple[str, list[object]]:
    """Translate a filter.

    Args:
        where: the filter.
        columns: the SQL expression of each built-in field, ``NULL`` if absent. Times are
            ``bigint`` (microseconds since 1970 in UTC), ``entities`` is a ``jsonb`` array, the
            others are ``text``.
        document: the SQL expression of the metadata, a ``jsonb`` object (see ``searchable``);
            ``NULL`` if there is none.

    Returns:
        An expression that is true or false on every row and can be combined by ``AND``, and the
        values of its ``%s`` parameters in order.
    """
    in_c = {name: f'({sql}) COLLATE "C"' for name, sql in columns.items() if name in TEXT_FIELDS}
    return _PostgresFilter(columns={**columns, **in_c}, document=document).translate(where)


class _PostgresFilter(FilterSql):
    position: ClassVar[str] = "strpos"
    casefold: ClassVar[str] = "remembrancer_casefold"
    marks: ClassVar[Mapping[str, str]] = {
        "time": "%s::bigint",
        "string": "%s::text",
        "number": "%s::numeric",
        "boolean": "%s::boolean",
    }

    def member(self, value: str, operands: Sequence[object], kind: str) -> Condition:
        return Condition(f"{value} = ANY({self.marks[kind]}[])", (list(operands),))

    def on_json(self, where: PositiveLeaf, document: str, keys: Sequence[str]) -> Condition:
        # The operator "->" with a text operand applies to objects only.
        value = document + " -> %s::text" * len(keys)
        branches = list(self._branches(where))
        if not branches:
            return FALSE
        case = _case("it", branches)
        return Condition(
            f"(SELECT {case.sql} FROM (SELECT {value} AS it) AS leaf)", (*case.parameters, *keys)
        )

    def _branches(self, where: PositiveLeaf) -> Iterator[Condition]:
        if isinstance(where, Exists):
            yield Condition(
                "WHEN 'array' THEN jsonb_array_length(it) > 0 "
                "WHEN 'string' THEN true WHEN 'number' THEN true WHEN 'boolean' THEN true "
                "WHEN 'object' THEN true"
            )
            return
        for kind, read in _READ.items():
            if operands := scalar_operands(where, kind):
                test = self.test(where, read.format("it"), _exactly(operands, kind), kind)
                yield Condition(f"WHEN '{kind}' THEN {test.sql}", test.parameters)
        if elements := list(self._elements(where)):
            case = _case("element", elements)
            yield Condition(
                "WHEN 'array' THEN EXISTS (SELECT FROM jsonb_array_elements(it) AS each (element) "
                f"WHERE {case.sql})",
                case.parameters,
            )

    def _elements(self, where: PositiveLeaf) -> Iterator[Condition]:
        for kind, read in _READ.items():
            if operands := element_operands(where, kind):
                value = read.format("element")
                if isinstance(where, IContains):
                    value = f"{self.casefold}({value})"
                equal = self.member(value, _exactly(operands, kind), kind)
                yield Condition(f"WHEN '{kind}' THEN {equal.sql}", equal.parameters)


def _exactly(operands: tuple[Any, ...], kind: str) -> tuple[Any, ...]:
    return tuple(map(Decimal, operands)) if kind == "number" else operands


def _case(value: str, branches: Sequence[Condition]) -> Condition:
    """A condition by the JSON type of a value."""
    return Condition(
        f"CASE jsonb_typeof({value}) {' '.join(each.sql for each in branches)} ELSE false END",
        tuple(part for each in branches for part in each.parameters),
    )
