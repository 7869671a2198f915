"""A damaged SQLite file raises typed errors that name the place, in every call."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from random import Random

import pytest

from remembrancer import (
    AdapterUnavailable,
    IntegrityError,
    InvalidRequest,
    Memory,
    RemembrancerError,
    load_settings,
)
from remembrancer.testing.depth import scaled
from tests.helpers.damage import ANN, mangled, met, tell

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file that is not damaged."""
    path = tmp_path_factory.mktemp("whole") / "whole.db"
    with Memory(path) as memory:
        tell(memory)
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return path


@pytest.fixture
def copy(whole: Path, tmp_path: Path) -> Path:
    path = tmp_path / "a.db"
    shutil.copy(whole, path)
    return path


def opened(path: Path) -> Memory:
    log = {"path": str(path), "durability": "normal"}
    return Memory(settings=load_settings({"audit_log": log}, environment={}))


NEEDED = {"event", "ledger", "fact", "message", "projection", "index_document"}
"""Tables that some call reads of every memory."""


def places(path: Path) -> list[tuple[str, str]]:
    """All columns of all tables but ``projection``: another fingerprint, and a checkpoint that is
    behind, are no damage.
    """
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(
            "SELECT m.name, c.name FROM sqlite_master AS m, pragma_table_info(m.name) AS c "
            "WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite_stat%' "
            "AND m.name <> 'projection' ORDER BY 1, 2"
        ).fetchall()


def damage(path: Path, table: str, column: str, random: Random) -> bool:
    """Change a value wherever it stands in a column; whether there was one, and the constraints of
    the file let it be changed.
    """
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        rows = connection.execute(f'SELECT "{column}" FROM "{table}"').fetchall()
        if not rows:
            return False
        (value,) = random.choice(rows)
        if random.random() < 0.1:
            # A text that is not UTF-8.
            sql, parameters = "CAST(x'ff80c328' AS TEXT)", [value]
        else:
            sql, parameters = "?", [mangled(value, random), value]
        try:
            connection.execute(
                f'UPDATE "{table}" SET "{column}" = {sql} WHERE "{column}" IS ?', parameters
            )
        except sqlite3.IntegrityError:
            return False
    return True


def check(errors: list[RemembrancerError], path: Path) -> None:
    for error in errors:
        assert isinstance(error, IntegrityError), (error, error.__notes__)
        assert any(word in str(error) for word in ("table", "position", path.name)), error


@pytest.mark.parametrize("seed", range(scaled(40)))
def test_damaged_values_raise_integrity_errors_with_the_place(copy: Path, seed: int) -> None:
    random = Random(seed)
    with opened(copy) as memory:
        fact_id = memory.get_all(**ANN)[0].fact_id
        while not damage(copy, *random.choice(places(copy)), random):
            pass
        errors = met(memory, fact_id)
    try:
        with opened(copy) as again:
            errors += met(again, fact_id)
    except RemembrancerError as error:
        errors.append(error)
    check(errors, copy)


@pytest.mark.parametrize("seed", range(scaled(20)))
def test_damaged_bytes_raise_typed_errors(copy: Path, seed: int) -> None:
    random = Random(seed)
    with opened(copy) as memory:
        fact_id = memory.get_all(**ANN)[0].fact_id
    content = bytearray(copy.read_bytes())
    for _ in range(random.choice((1, 20, 400))):
        content[random.randrange(100, len(content))] = random.randrange(256)
    copy.write_bytes(content)

    try:
        with opened(copy) as memory:
            errors = met(memory, fact_id)
    except RemembrancerError as error:
        errors = [error]

    assert all(isinstance(error, IntegrityError) for error in errors), errors


def test_every_table_can_be_missing(copy: Path) -> None:
    tables = sorted({table for table, _ in places(copy)} - {"sqlite_sequence"})
    whole = copy.read_bytes()
    for table in tables:
        copy.write_bytes(whole)
        with opened(copy) as memory:
            fact_id = memory.get_all(**ANN)[0].fact_id
            with closing(sqlite3.connect(copy)) as connection:
                connection.execute(f'DROP TABLE "{table}"')
            errors = met(memory, fact_id)
        assert errors or table not in NEEDED, table
        assert not any(
            isinstance(error, AdapterUnavailable | InvalidRequest) for error in errors
        ), (table, errors)


def test_text_that_is_not_utf_8_is_not_quoted(copy: Path) -> None:
    with closing(sqlite3.connect(copy, isolation_level=None)) as connection:
        connection.execute("UPDATE fact SET body = CAST(x'7b2261223a22736563726574ff227d' AS TEXT)")

    with opened(copy) as memory, pytest.raises(IntegrityError, match="column body") as caught:
        memory.get_all(**ANN)

    assert "secret" not in str(caught.value)
