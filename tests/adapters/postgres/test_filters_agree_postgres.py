"""PostgreSQL and the evaluator select the same rows, for any filter and any facts."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from remembrancer.adapters.stores.postgres.filters import create_casefold, searchable, to_sql
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
from tests.engines.postgres_server import PostgresServer

NAMES = sorted(BUILT_IN_FIELDS)
COLUMNS = {name: f"fact.{name}" for name in NAMES}
TYPES = {
    **dict.fromkeys(NAMES, "text"),
    **dict.fromkeys(TIME_FIELDS, "bigint"),
    "entities": "jsonb",
}
MOMENT = datetime(2026, 5, 3, tzinfo=UTC)
SCALARS = [*HOSTILE_TEXTS, *HOSTILE_NUMBERS, True, False]
Database = psycopg.Connection[Any]


@pytest.fixture(scope="module")
def database(postgres_server: PostgresServer) -> Iterator[Database]:
    with psycopg.connect(postgres_server.dsn, autocommit=True) as connection:
        for statement in create_casefold("pg_temp", 1):
            connection.execute(statement.encode())
        types = ", ".join(f"{name} {TYPES[name]}" for name in NAMES)
        connection.execute(f"CREATE TEMP TABLE fact (id int, {types}, body jsonb)".encode())
        # A function in the temporary schema is only found by its qualified name.
        yield connection


def store(database: Database, records: Sequence[Mapping[str, Any]]) -> None:
    def column(name: str, value: Any) -> Any:
        if value is not None and name in TIME_FIELDS:
            return to_microseconds(value)
        if value is not None and name == "entities":
            return json.dumps(value)
        return value

    database.execute("TRUNCATE fact")
    with database.cursor() as cursor:
        cursor.executemany(
            f"INSERT INTO fact VALUES ({', '.join(['%s'] * (len(NAMES) + 2))})".encode(),
            [
                (
                    number,
                    *(column(name, record.get(name)) for name in NAMES),
                    searchable(record["metadata"]) if "metadata" in record else None,
                )
                for number, record in enumerate(records)
            ],
        )


def found(database: Database, where: Filter) -> list[int]:
    """The rows that the condition selects. Asserts that it is true or false on each row."""
    condition, values = to_sql(where, COLUMNS, "fact.body")
    sql = f"SELECT {condition} FROM fact ORDER BY id".replace(
        "remembrancer_casefold(", "pg_temp.remembrancer_casefold("
    )
    truths = database.execute(sql.encode(), values or None).fetchall()
    assert {truth for (truth,) in truths} <= {True, False}
    return [at for at, (truth,) in enumerate(truths) if truth]


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


@settings(max_examples=scaled(200), suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(question=questions())
def test_postgres_selects_the_same_rows_as_the_evaluator(
    database: Database, question: tuple[list[dict[str, Any]], list[Filter]]
) -> None:
    records, wheres = question
    store(database, records)
    for where in wheres:
        assert found(database, where) == expected(records, where)


@pytest.mark.parametrize(
    "name",
    ["eq", "ne", "gt", "gte", "lt", "lte", "in", "nin", "contains", "icontains"],
)
def test_every_operator_agrees_on_all_pairs_of_hostile_values(
    database: Database, name: str
) -> None:
    values: list[Any] = [
        *SCALARS,
        *([value] for value in SCALARS),
        [None, [1], {}],
        [1, "b", True],
        10**400,
        None,
        {},
    ]
    records = [*({"metadata": {"a": value}} for value in values), {"metadata": {}}, {}]
    store(database, records)
    for operand in SCALARS:
        if name in ("gt", "gte", "lt", "lte") and isinstance(operand, bool):
            continue
        if name == "icontains" and not isinstance(operand, str):
            continue
        where = parsed({"a": {name: [operand] if name in ("in", "nin") else operand}})
        assert found(database, where) == expected(records, where)


def test_text_and_entities_filters_agree_on_all_pairs_of_hostile_texts(
    database: Database,
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


def test_casefold_equals_python_casefold_for_every_character(database: Database) -> None:
    characters = [
        chr(code) for code in range(1, sys.maxunicode + 1) if not 0xD800 <= code <= 0xDFFF
    ]
    texts = ["".join(characters[at : at + 4000]) for at in range(0, len(characters), 4000)]
    for text in texts:
        (folded,) = database.execute(
            "SELECT pg_temp.remembrancer_casefold(%s)", (text,)
        ).fetchall()[0]
        assert folded == text.casefold()


def test_decimals_are_compared_to_the_last_digit(database: Database) -> None:
    values = [0.1 + 0.2, 5e-324, 1.7976931348623157e308, 9007199254740993.0, 1.2345678901234568e18]
    records: list[dict[str, Any]] = [
        {"metadata": {"a": close}}
        for value in values
        for close in (value, math.nextafter(value, 0), math.nextafter(value, 1))
    ]
    # This double is written with the digits of another integer.
    records.append({"metadata": {"a": 1234567890123456800}})
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
def test_filters_that_the_parser_never_returns_agree(database: Database, where: Filter) -> None:
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


def deepest() -> dict[str, Any]:
    where: dict[str, Any] = {"a": ["x", 1, True]}
    for level in range(MAX_DEPTH - 1):
        where = {("AND", "OR", "NOT")[level % 3]: [{"a": ["y", 2.5]}, where]}
    return where


@pytest.mark.parametrize(
    "raw", [widest(), longest(), deepest()], ids=["widest", "longest", "deepest"]
)
def test_largest_allowed_filters_are_within_the_limits_of_postgres(
    database: Database, raw: dict[str, Any]
) -> None:
    records: list[dict[str, Any]] = [{"metadata": {"a": "x1"}}, {"metadata": {"a": 2.5}}, {}]
    store(database, records)
    where = parsed(raw)
    assert found(database, where) == expected(records, where)
