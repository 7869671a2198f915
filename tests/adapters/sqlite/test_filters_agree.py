"""SQLite and the evaluator select the same rows, for any filter and any facts."""

from __future__ import annotations

import json
import math
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from remembrancer.adapters.stores.sqlite.filters import register_functions, to_sql
from remembrancer.domain.epoch_micros import to_microseconds
from remembrancer.domain.filters.ast import (
    BUILT_IN_FIELDS,
    TIME_FIELDS,
    And,
    Contains,
    Eq,
    Filter,
    Gt,
    In,
    Or,
)
from remembrancer.domain.filters.evaluate import matches
from remembrancer.domain.filters.parse import MAX_DEPTH, MAX_NODES, parse_filter
from remembrancer.testing.depth import scaled
from remembrancer.testing.filters import HOSTILE_NUMBERS, HOSTILE_TEXTS, attributes, filters

NAMES = sorted(BUILT_IN_FIELDS)
COLUMNS = {name: f"fact.{name}" for name in NAMES}
MOMENT = datetime(2026, 5, 3, tzinfo=UTC)
SCALARS = [*HOSTILE_TEXTS, *HOSTILE_NUMBERS, True, False]


@pytest.fixture(scope="module")
def database() -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    register_functions(connection)
    types = (f"{name} {'INTEGER' if name in TIME_FIELDS else 'TEXT'}" for name in NAMES)
    connection.execute(f"CREATE TABLE fact (id INTEGER PRIMARY KEY, {', '.join(types)}, body TEXT)")
    yield connection
    connection.close()


def store(
    database: sqlite3.Connection,
    records: Sequence[Mapping[str, Any]],
    *,
    ensure_ascii: bool = False,
) -> None:
    def column(name: str, value: Any) -> Any:
        if value is not None and name in TIME_FIELDS:
            return to_microseconds(value)
        if value is not None and name == "entities":
            return json.dumps(value, ensure_ascii=ensure_ascii)
        return value

    database.execute("DELETE FROM fact")
    database.executemany(
        f"INSERT INTO fact VALUES ({', '.join('?' * (len(NAMES) + 2))})",
        [
            (
                number,
                *(column(name, record.get(name)) for name in NAMES),
                json.dumps(record["metadata"], ensure_ascii=ensure_ascii)
                if "metadata" in record
                else None,
            )
            for number, record in enumerate(records)
        ],
    )


def found(database: sqlite3.Connection, where: Filter) -> list[int]:
    """The rows that the condition selects. Asserts that it is 0 or 1 on each row."""
    condition, values = to_sql(where, COLUMNS, "fact.body")
    truths = database.execute(f"SELECT {condition} FROM fact ORDER BY id", values).fetchall()
    assert {truth for (truth,) in truths} <= {0, 1}
    rows = database.execute(
        f"SELECT id FROM fact WHERE {condition} AND id >= 0 ORDER BY id", values
    ).fetchall()
    assert [number for (number,) in rows] == [at for at, (truth,) in enumerate(truths) if truth]
    return [number for (number,) in rows]


def expected(records: Sequence[Mapping[str, Any]], where: Filter) -> list[int]:
    return [number for number, record in enumerate(records) if matches(where, record)]


def parsed(raw: dict[str, Any]) -> Filter:
    where = parse_filter(raw)
    assert where is not None
    return where


@st.composite
def questions(draw: st.DrawFn) -> tuple[list[dict[str, Any]], list[Filter]]:
    """Some records, and filters on them."""
    records = draw(st.lists(attributes(), min_size=1, max_size=6))
    return records, draw(st.lists(filters(records), min_size=1, max_size=8))


@settings(max_examples=scaled(300), suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(question=questions(), ensure_ascii=st.booleans())
def test_sqlite_selects_the_same_rows_as_the_evaluator(
    database: sqlite3.Connection,
    question: tuple[list[dict[str, Any]], list[Filter]],
    ensure_ascii: bool,
) -> None:
    records, wheres = question
    store(database, records, ensure_ascii=ensure_ascii)
    for where in wheres:
        assert found(database, where) == expected(records, where)


@pytest.mark.parametrize(
    "name",
    ["eq", "ne", "gt", "gte", "lt", "lte", "in", "nin", "contains", "icontains"],
)
def test_every_operator_agrees_on_all_pairs_of_hostile_values(
    database: sqlite3.Connection, name: str
) -> None:
    values: list[Any] = [
        *SCALARS,
        *([value] for value in SCALARS),
        [None, [1], {}],
        [1, "b", True],
        None,
        {},
    ]
    records = [{"metadata": {"a": value}} for value in values]
    store(database, [*records, {"metadata": {}}, {}])
    for operand in SCALARS:
        if name in ("gt", "gte", "lt", "lte") and isinstance(operand, bool):
            continue
        if name == "icontains" and not isinstance(operand, str):
            continue
        where = parsed({"a": {name: [operand] if name in ("in", "nin") else operand}})
        assert found(database, where) == expected([*records, {"metadata": {}}, {}], where)


def test_text_and_entities_filters_agree_on_all_pairs_of_hostile_texts(
    database: sqlite3.Connection,
) -> None:
    records = [{"text": text, "entities": [text, "z"]} for text in HOSTILE_TEXTS]
    store(database, records)
    for operand in HOSTILE_TEXTS:
        for field in ("text", "entities"):
            for name in ("eq", "ne", "contains", "icontains"):
                where = parsed({field: {name: operand}})
                assert found(database, where) == expected(records, where)
        for name in ("gt", "gte", "lt", "lte"):
            where = parsed({"text": {name: operand}})
            assert found(database, where) == expected(records, where)


def test_text_after_a_nul_is_compared_although_sqlite_cuts_json_strings_there(
    database: sqlite3.Connection,
) -> None:
    records: list[dict[str, Any]] = [
        {"metadata": {"a": "x\0y"}},
        {"metadata": {"a": ["x\0y"]}},
        {"metadata": {"a": "x\\u0000y"}},
        {"metadata": {"a": "x", "b\0": 1}},
        {"metadata": {"a": {"b\0c": "x"}}},
        {"entities": ["x\0y"]},
    ]
    store(database, records)
    for field in ("a", "entities", "b", "a.b"):
        for test in ({"eq": "x"}, {"contains": "y"}, {"icontains": "Y"}, {"exists": True}):
            where = parsed({field: test})
            assert found(database, where) == expected(records, where)


def test_decimals_are_compared_to_the_last_digit(database: sqlite3.Connection) -> None:
    values = [0.1 + 0.2, 5e-324, 1.7976931348623157e308, 9007199254740993.0, 123456789.12345679]
    records = [
        {"metadata": {"a": close}}
        for value in values
        for close in (value, math.nextafter(value, 0), math.nextafter(value, 1))
    ]
    store(database, records)
    for record in records:
        for name in ("eq", "lt", "gt"):
            where = parsed({"a": {name: record["metadata"]["a"]}})
            assert found(database, where) == expected(records, where)


@pytest.mark.parametrize(
    "where",
    [
        And(parts=()),
        Or(parts=()),
        In(field="metadata.a", values=()),
        Gt(field="metadata.a", value=False),
        Eq(field="metadata.a", value=MOMENT),
        Eq(field="metadata.clé", value=MOMENT),
        Contains(field="created_at", value=MOMENT),
    ],
    ids=str,
)
def test_filters_that_the_parser_never_returns_agree(
    database: sqlite3.Connection, where: Filter
) -> None:
    records: list[dict[str, Any]] = [
        {"metadata": {"a": True, "clé": "2026-05-03"}, "created_at": MOMENT},
        {"metadata": {"a": None}},
    ]
    store(database, records)
    assert found(database, where) == expected(records, where)


def widest() -> dict[str, Any]:
    return {"OR": [{"a": {"icontains": str(number)}} for number in range(MAX_NODES - 1)]}


def longest() -> dict[str, Any]:
    return {"a": {"nin": [*range(400), *map(str, range(MAX_NODES - 401))]}}


def deepest(*, nested_first: bool) -> dict[str, Any]:
    where: dict[str, Any] = {"a": ["x", 1, True]}
    for level in range(MAX_DEPTH - 1):
        pair = [where, {"a": ["y", 2, False]}] if nested_first else [{"a": ["y", 2.5]}, where]
        where = {("AND", "OR", "NOT")[level % 3]: pair}
    return where


def bushiest(levels: int) -> dict[str, Any]:
    """A full binary tree: the shape that needs the largest parser stack."""
    if levels == 0:
        return {"a": {"icontains": "x"}}
    return {("AND", "OR")[levels % 2]: [bushiest(levels - 1), bushiest(levels - 1)]}


def deepest_and_bushiest() -> dict[str, Any]:
    where = bushiest(8)
    for level in range(MAX_DEPTH - 9):
        where = {("AND", "OR")[level % 2]: [{"a": ["y", 2.5, True]}, where]}
    return where


@pytest.mark.parametrize(
    "raw",
    [
        widest(),
        longest(),
        deepest(nested_first=True),
        deepest(nested_first=False),
        bushiest(8),
        deepest_and_bushiest(),
    ],
    ids=["widest", "longest", "deepest", "deepest last", "bushiest", "deepest and bushiest"],
)
def test_largest_allowed_filters_are_within_the_limits_of_sqlite(
    database: sqlite3.Connection, raw: dict[str, Any]
) -> None:
    records: list[dict[str, Any]] = [{"metadata": {"a": "x1"}}, {"metadata": {"a": 2.5}}, {}]
    store(database, records)
    where = parsed(raw)
    assert found(database, where) == expected(records, where)
