"""Damaged payloads, rows and answers of engines are typed errors with a place."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from random import Random
from typing import Any

import psycopg
import pytest
from psycopg import errors

from remembrancer import AdapterUnavailable, IntegrityError, InvalidRequest, Memory
from remembrancer.adapters.damage import decoding
from remembrancer.adapters.stores.memory.vector_index import InMemoryVectorIndex
from remembrancer.adapters.stores.postgres import failures as postgres_failures
from remembrancer.adapters.stores.shared.codec import EventCodec
from remembrancer.adapters.stores.shared.event_rows import decoded
from remembrancer.adapters.stores.sqlite import failures as sqlite_failures
from remembrancer.adapters.vector_index.remote.rows import row_of
from remembrancer.domain.events import EventId
from remembrancer.domain.ports.vector_index import Hit, IndexQuery
from remembrancer.domain.recorded import is_sealed
from remembrancer.domain.scope import LedgerId
from remembrancer.domain.upcasting import EventRegistry
from remembrancer.testing.depth import scaled
from tests.helpers.damage import mangled

ANN: dict[str, Any] = {"user_id": "ann"}
LEDGER = LedgerId("user:ann")
TYPES = sorted(EventRegistry.of().types)


@pytest.mark.parametrize("type_name", TYPES)
def test_damaged_payload_decodes_or_raises_an_integrity_error_with_its_position(
    type_name: str,
) -> None:
    random, codec = Random(type_name), EventCodec()
    version = EventRegistry.of().types[type_name].schema_version
    errors: list[IntegrityError] = []
    for _ in range(scaled(200)):
        payload: Any = mangled(b'{"fact_id":"f1","occurred_at":"2024-01-01T00:00:00Z"}', random)
        stored_version = random.choice((version, 1, 0, 2**40))
        if is_sealed(payload):
            continue
        # Some damage makes another valid payload; the chain tells.
        try:
            codec.decode(payload, type_name, stored_version, 7, LEDGER, EventId("e"))
        except IntegrityError as error:
            errors.append(error)
    assert errors
    assert all("position 7" in str(error) for error in errors)


def test_damaged_column_of_an_event_names_its_position() -> None:
    row: list[Any] = [
        *(5, "user:ann", b"h", 1, b"e", 1_700_000_000_000_000, b"c", None, "api"),
        *("EventErased", 1, b"{}", b"s", b"d", b"p", b"x"),
    ]
    for column, value in ((5, 2**62), (5, "x"), (2, 1), (6, None), (9, None), (11, None)):
        damaged = [*row[:column], value, *row[column + 1 :]]
        with pytest.raises(IntegrityError, match="position 5"):
            decoded([damaged], EventCodec(), bytes.hex)


@pytest.mark.parametrize(
    "row", [None, 1, "", "{}", "[]", '["f"]', "[1,2", '["f",1,null,1,2,3,4,5,7]', b"\xff"]
)
def test_damaged_row_of_an_external_engine_is_an_integrity_error(row: Any) -> None:
    with pytest.raises(IntegrityError, match="the index: what is stored"), decoding("the index"):
        row_of({"row": row})


def test_typed_errors_pass_a_decoding_boundary() -> None:
    with pytest.raises(InvalidRequest, match="text"), decoding("the index"):
        raise InvalidRequest("text", "is empty")


def test_damaged_values_with_checks_of_their_own_are_no_invalid_request() -> None:
    with pytest.raises(IntegrityError, match="row 3"), decoding("row 3", checked=True):
        raise InvalidRequest("user_id", "is empty")


class Garbled(InMemoryVectorIndex):
    """An external index that answers what can't be decoded."""

    def search(self, query: IndexQuery) -> list[Hit]:
        with decoding("garbled"):
            raise UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte")


def test_search_falls_back_when_the_answer_of_an_engine_is_damaged() -> None:
    with Memory(overrides={"vector_index": Garbled()}) as memory:
        memory.add("I like tea.", **ANN)
        found = memory.search("tea", **ANN)
        assert [hit.text for hit in found] == ["I like tea."]
        assert found.degraded == ("vector_index",)


# Permanent failures


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT * FROM missing",
        "SELECT missing FROM held",
        "SELECT json_extract('{', '$.a')",
        "INSERT INTO held VALUES (1)",
        "INSERT INTO held VALUES (NULL)",
        "SELECT abs(-9223372036854775808)",
    ],
)
def test_permanent_failure_of_sqlite_is_not_called_unavailable(statement: str) -> None:
    connection = sqlite3.connect(":memory:")
    connection.executescript(
        "CREATE TABLE held (one PRIMARY KEY NOT NULL); INSERT INTO held VALUES (1)"
    )
    with pytest.raises(IntegrityError, match=r"a\.db"), sqlite_failures.translating("a.db"):
        connection.execute(statement)
    connection.close()


def test_locked_database_is_still_called_unavailable(tmp_path: Path) -> None:
    holder = sqlite3.connect(tmp_path / "a.db", isolation_level=None)
    other = sqlite3.connect(tmp_path / "a.db", isolation_level=None, timeout=0)
    holder.execute("BEGIN EXCLUSIVE")
    with pytest.raises(AdapterUnavailable), sqlite_failures.translating("a.db"):
        other.execute("BEGIN IMMEDIATE")
    holder.close()
    other.close()


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (errors.UndefinedTable, IntegrityError),
        (errors.UndefinedColumn, IntegrityError),
        (errors.UndefinedFunction, IntegrityError),
        (errors.InvalidSchemaName, IntegrityError),
        (errors.DatatypeMismatch, IntegrityError),
        (errors.NotNullViolation, IntegrityError),
        (errors.DataCorrupted, IntegrityError),
        (errors.InsufficientPrivilege, InvalidRequest),
        (errors.InvalidCatalogName, InvalidRequest),
        (errors.InvalidPassword, InvalidRequest),
        (errors.UniqueViolation, AdapterUnavailable),
        (errors.QueryCanceled, AdapterUnavailable),
        (errors.AdminShutdown, AdapterUnavailable),
        (psycopg.OperationalError, AdapterUnavailable),
    ],
)
def test_failures_of_postgres_are_told_apart(error: type[psycopg.Error], kind: type) -> None:
    assert type(postgres_failures.translated(error("said"))) in (kind, *kind.__subclasses__())
