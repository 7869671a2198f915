"""Damaged rows of PostgreSQL, sealed logs and projection states raise typed errors in every call.

``adapters/sqlite/test_damage.py`` has the same for files of SQLite.
"""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from random import Random
from typing import Any

import psycopg
import pytest
from psycopg import sql

from remembrancer import (
    AdapterUnavailable,
    Erased,
    IntegrityError,
    InvalidRequest,
    Memory,
    RemembrancerError,
    load_settings,
)
from remembrancer.adapters.stores.postgres.settings import PostgresSettings
from remembrancer.testing.depth import scaled
from tests.engines.flapping import FlappingIndex
from tests.helpers.damage import ANN, INTEGERS, mangled, met, tell

pytestmark = pytest.mark.slow

UNCHECKED = {"projection", "schema_version"}
"""Another fingerprint, a checkpoint that is behind and another version are no damage."""


# PostgreSQL


def of_type(kind: str, value: Any, random: Random) -> Any:
    """A damaged value that a column of this type can hold."""
    match kind:
        case "bigint" | "integer" | "smallint":
            most = {"bigint": 63, "integer": 31, "smallint": 15}[kind]
            return random.choice([number for number in INTEGERS if abs(number) < 2**most])
        case "bytea":
            return (
                bytes(Random(random.random()).randbytes(3))
                if value is None
                else _bytes(mangled(value, random))
            )
        case "boolean":
            return not value
        case "double precision" | "real":
            return random.choice([float("nan"), float("inf"), -1.0, 1e308])
        case "text":
            return _text(mangled(value or "", random))
        case _:
            return value


def _bytes(value: Any) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode()


def _text(value: Any) -> str:
    text = value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
    return text.replace("\0", "0")


def damage_postgres(settings: PostgresSettings, random: Random) -> str | None:
    """Change a value; returns its place, ``None`` if the schema does not allow it."""
    with psycopg.connect(settings.dsn, autocommit=True) as connection:
        columns = connection.execute(
            "SELECT table_name, column_name, data_type FROM information_schema.columns "
            "WHERE table_schema = %s ORDER BY 1, 2",
            (settings.schema,),
        ).fetchall()
        table, column, kind = random.choice([each for each in columns if each[0] not in UNCHECKED])
        names = {
            "table": sql.Identifier(settings.schema, table),
            "column": sql.Identifier(column),
        }
        rows = connection.execute(
            sql.SQL("SELECT ctid, {column} FROM {table}").format(**names)
        ).fetchall()
        if not rows:
            return None
        place, value = random.choice(rows)
        try:
            connection.execute(
                sql.SQL("UPDATE {table} SET {column} = %s WHERE ctid = %s").format(**names),
                (of_type(kind, value, random), place),
            )
        except psycopg.Error:
            return None
    return f"{table}.{column}"


@pytest.mark.parametrize("seed", range(scaled(12)))
def test_damaged_rows_of_postgresql_raise_integrity_errors(
    postgres: PostgresSettings, seed: int
) -> None:
    random = Random(seed)
    log = {"provider": "postgres", "dsn": postgres.dsn, "schema": postgres.schema}
    settings = load_settings({"audit_log": log}, environment={})
    with Memory(settings=settings) as memory:
        tell(memory)
        fact_id = memory.get_all(**ANN)[0].fact_id
        while (place := damage_postgres(postgres, random)) is None:
            pass
        errors = met(memory, fact_id)
    for error in errors:
        assert isinstance(error, IntegrityError), (place, error, error.__notes__)


# Sealed logs


@pytest.fixture(scope="module")
def sealed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an encrypted log and its vault."""
    folder = tmp_path_factory.mktemp("sealed")
    with opened_sealed(folder) as memory:
        tell(memory)
    with closing(sqlite3.connect(folder / "app.db", isolation_level=None)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return folder


def opened_sealed(folder: Path) -> Memory:
    config = {
        "audit_log": {"path": str(folder / "app.db"), "durability": "normal"},
        "key_vault": {"provider": "sqlite", "path": str(folder / "keys.db")},
    }
    return Memory(settings=load_settings(config, environment={}))


def damage_file(path: Path, tables: tuple[str, ...], random: Random) -> str | None:
    """Change a value in one of the tables of a file; see ``damage_postgres``."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        places = [
            (table, column)
            for table in tables
            for (column,) in connection.execute("SELECT name FROM pragma_table_info(?)", (table,))
        ]
        table, column = random.choice(places)
        rows = connection.execute(f'SELECT "{column}" FROM "{table}"').fetchall()
        if not rows:
            return None
        (value,) = random.choice(rows)
        try:
            connection.execute(
                f'UPDATE "{table}" SET "{column}" = ? WHERE "{column}" IS ?',
                (mangled(value, random), value),
            )
        except sqlite3.IntegrityError:
            return None
    return f"{table}.{column}"


def tables_of(path: Path) -> tuple[str, ...]:
    with closing(sqlite3.connect(path)) as connection:
        rows = connection.execute(
            "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
        ).fetchall()
    return tuple(sorted(name for (name,) in rows))


@pytest.mark.parametrize("name", ["app.db", "keys.db"])
@pytest.mark.parametrize("seed", range(scaled(20)))
def test_damaged_sealed_logs_and_vaults_raise_typed_errors(
    sealed: Path, tmp_path: Path, name: str, seed: int
) -> None:
    random = Random(seed)
    for each in ("app.db", "keys.db"):
        shutil.copy(sealed / each, tmp_path / each)
    tables = ("event", "ledger", "request") if name == "app.db" else tables_of(tmp_path / name)
    with opened_sealed(tmp_path) as memory:
        fact_id = memory.get_all(**ANN)[0].fact_id
    while (place := damage_file(tmp_path / name, tables, random)) is None:
        pass
    try:
        with opened_sealed(tmp_path) as memory:
            errors = met(memory, fact_id)
    except RemembrancerError as error:
        errors = [error]
    # A key that is not there, or another one, is told as such: also that of a ledger whose name was
    # changed to another name
    here = name == "app.db" and place != "ledger.name"
    allowed = (IntegrityError,) if here else (IntegrityError, Erased, InvalidRequest)
    for error in errors:
        assert isinstance(error, allowed), (place, error, getattr(error, "__notes__", ""))


# Projection states


def bad(document: Any) -> bool:
    return "green" in document.text


@pytest.mark.parametrize("seed", range(scaled(20)))
def test_damaged_projection_states_raise_typed_errors(tmp_path: Path, seed: int) -> None:
    random = Random(seed)
    index = FlappingIndex()
    index.bad = bad
    path = tmp_path / "app.db"
    config = {
        "audit_log": {"path": str(path), "durability": "normal"},
        "projections": {"wait": 0.05},
    }
    settings = load_settings(config, environment={})

    def opened() -> Memory:
        return Memory(settings=settings, overrides={"vector_index": index})

    with opened() as memory:
        memory.add("I like green tea. I live in Paris.", **ANN)
        assert memory.run_worker(once=True).partitions
        while (place := damage_file(path, ("feed", "dead_letter", "worker"), random)) is None:
            pass
        calls: tuple[Callable[[], object], ...] = (
            lambda: memory.stats(),
            lambda: memory.add("I like black tea.", **ANN),
            lambda: memory.search("tea", **ANN),
            lambda: memory.dead_letters(),
            lambda: memory.run_worker(once=True),
            lambda: memory.rebuild("vector_index"),
        )
        for call in calls:
            try:
                call()
            except (IntegrityError, AdapterUnavailable):
                # A lease that another worker seems to hold is no damage
                pass
            except InvalidRequest as error:
                # Nor is another fingerprint
                if "rebuild" not in str(error):
                    raise AssertionError(place) from error
        # And the log's own database still answers
        assert len(memory.get_all(**ANN)) > 0
