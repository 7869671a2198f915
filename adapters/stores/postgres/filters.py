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
from typing import Final

import attrs
import msgspec

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
from remembrancer.domain.filters.normal_form import (
    Conjunction,
    Disjunction,
    Literal,
    NormalForm,
    PositiveLeaf,
    normal_form,
)

_ORDERS: Final[dict[type[PositiveLeaf], str]] = {Gt: ">", Gte: ">=", Lt: "<", Lte: "<="}
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


def create_casefold(schema: str, _partitions: int) -> list[str]:
    """DDL of the function ``remembrancer_casefold``, equal to this Python's ``str.casefold``."""
    folded = {
        character: character.casefold()
        for character in map(chr, range(128, sys.maxunicode + 1))
        if character.casefold() != character
    }
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
    condition = _Translation(columns=columns, document=document).condition(normal_form(where))
    return condition.sql, list(condition.parameters)


@attrs.frozen
class _Condition:
    sql: str
    parameters: tuple[object, ...] = ()


_TRUE: Final = _Condition("true")
_FALSE: Final = _Condition("false")


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
    return _Condition(
        f"({f' {word} '.join(part.sql for part in parts)})",
        tuple(value for part in parts for value in part.parameters),
    )


def _operands(where: PositiveLeaf, kind: str) -> list[object]:
    """The operands of a leaf that are of one kind (see ``comparable``)."""
    match where:
        case In():
            values: tuple[object, ...] = where.values
        case IContains():
            values = (where.folded,)
        case Exists():
            values = ()
        case _:
            values = (where.value,)
    found = [known[1] for value in values if (known := comparable(value)) and known[0] == kind]
    return [Decimal(value) for value in found] if kind == "number" else found


def _on_column(where: PositiveLeaf, column: str) -> _Condition:
    """A leaf on a column of times or text. ``IS NOT NULL`` prevents a result of ``NULL``."""
    if isinstance(where, Exists):
        return _Condition(f"({column} IS NOT NULL)")
    is_time = where.field in TIME_FIELDS
    operands = _operands(where, "time" if is_time else "string")
    if not operands or (is_time and isinstance(where, Contains | IContains)):
        return _FALSE
    test = _test(where, column, operands, "bigint" if is_time else "text")
    return _Condition(f"({column} IS NOT NULL AND {test.sql})", test.parameters)


def _test(where: PositiveLeaf, value: str, operands: Sequence[object], kind: str) -> _Condition:
    """A leaf on a scalar of the type of the operands."""
    if kind == "text":
        value = f'({value}) COLLATE "C"'
    match where:
        case Contains():
            return _Condition(f"strpos({value}, %s::text) > 0", tuple(operands))
        case IContains():
            return _Condition(
                f"strpos(remembrancer_casefold({value}), %s::text) > 0", tuple(operands)
            )
        case Gt() | Gte() | Lt() | Lte():
            return _Condition(f"{value} {_ORDERS[type(where)]} %s::{kind}", tuple(operands))
        case _:
            return _Condition(f"{value} = ANY(%s::{kind}[])", (list(operands),))


def _on_json(where: PositiveLeaf, document: str, keys: Sequence[str]) -> _Condition:
    """A leaf on the value at a path of a JSON document."""
    # The operator "->" with a text operand applies to objects only.
    value = document + " -> %s::text" * len(keys)
    branches = list(_branches(where))
    if not branches:
        return _FALSE
    return _Condition(
        f"(SELECT CASE jsonb_typeof(it) {' '.join(each.sql for each in branches)} "
        f"ELSE false END FROM (SELECT {value} AS it) AS leaf)",
        (*(part for each in branches for part in each.parameters), *keys),
    )


def _branches(where: PositiveLeaf) -> Iterator[_Condition]:
    if isinstance(where, Exists):
        yield _Condition(
            "WHEN 'array' THEN jsonb_array_length(it) > 0 "
            "WHEN 'string' THEN true WHEN 'number' THEN true WHEN 'boolean' THEN true "
            "WHEN 'object' THEN true"
        )
        return
    yield from _scalars(where, "it")
    if type(where) in _ORDERS:
        return
    # One element of a list must be equal; for IContains, equal after case folding.
    equal = IContains if isinstance(where, IContains) else Eq
    elements = list(_scalars(where, "element", equal=equal))
    if elements:
        yield _Condition(
            "WHEN 'array' THEN EXISTS (SELECT FROM jsonb_array_elements(it) AS each (element) "
            f"WHERE CASE jsonb_typeof(element) {' '.join(each.sql for each in elements)} "
            "ELSE false END)",
            tuple(part for each in elements for part in each.parameters),
        )


def _scalars(
    where: PositiveLeaf, it: str, equal: type[PositiveLeaf] | None = None
) -> Iterator[_Condition]:
    """Branches for strings, numbers and booleans; for elements of a list if ``equal`` is given."""
    strings = _operands(where, "string")
    if strings:
        text = f"({it} #>> '{{}}')"
        if equal is None:
            test = _test(where, text, strings, "text")
        else:
            folded = f"remembrancer_casefold({text})" if equal is IContains else text
            test = _Condition(f'{folded} COLLATE "C" = ANY(%s::text[])', (strings,))
        yield _Condition(f"WHEN 'string' THEN {test.sql}", test.parameters)
    if isinstance(where, IContains) or (isinstance(where, Contains) and equal is None):
        return
    if numbers := _operands(where, "number"):
        test = (
            _test(where, f"{it}::numeric", numbers, "numeric")
            if equal is None
            else _Condition(f"{it}::numeric = ANY(%s::numeric[])", (numbers,))
        )
        yield _Condition(f"WHEN 'number' THEN {test.sql}", test.parameters)
    if type(where) not in _ORDERS and (booleans := set(_operands(where, "boolean"))):
        yield _Condition(
            f"WHEN 'boolean' THEN {it}::boolean = ANY(%s::boolean[])", (list(booleans),)
        )
