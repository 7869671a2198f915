"""``verify`` names every edit of a file, changes nothing, and repairs nothing."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from remembrancer import Memory, RemembrancerError, Verification
from remembrancer.adapters.stores.sqlite.inspection import parts
from remembrancer.wiring.settings import load_settings
from tests.adapters.sqlite.zoo import ZOO, Edit, edited, make

NOT_DERIVED = {
    **dict.fromkeys(
        (
            *("fact.id", "graph_name.id", "graph_relation.id", "graph_fact.id", "index_scope.id"),
            *("index_embedding.id", "index_posting.id"),
        ),
        "a number that the store gave; what refers to it is compared",
    ),
    "index_ledger.generation": "counts changes that make a cached snapshot useless",
    "index_ledger.revision": "counts writes; it must not be below the revision of a row",
    "index_ledger.last_document": "numbers are never used twice; it may be ahead",
    "index_ledger.last_embedding": "numbers are never used twice; it may be ahead",
    "index_segment.revision": "counts writes; it must not be above that of the ledger",
    "index_document.touched": "counts writes; it must not be above that of the ledger",
    "index_segment.first": "a segment begins anywhere before its first document",
    "index_centre.vector": "it is compared through the codes; a change too small changes none",
    "sqlite_sequence.seq": "that of segments may be ahead",
    "sqlite_sequence.name": "a sequence of another table",
}
"""Columns that the log says nothing about, and why. Their bounds are checked."""


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("zoo") / "base.db"
    make(path)
    verification = verified(path)
    assert verification.faults == ()
    assert verification.complete
    return path


@pytest.fixture
def copy(base: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(base, tmp_path / "copy.db"))


def verified(path: Path, *, read_only: bool = True) -> Verification:
    """Open a file and verify it."""
    settings = load_settings({"audit_log": {"path": str(path), "read_only": read_only}})
    with Memory(settings=settings) as memory:
        return memory.verify()


@pytest.mark.parametrize(
    "edit", [each for each in ZOO if not (each.anchor or each.refused)], ids=lambda edit: edit.name
)
def test_edit_is_named_by_kind_table_and_column(edit: Edit, copy: Path) -> None:
    # Given a file that somebody changed
    edited(copy, edit.change)
    before = copy.read_bytes()

    # When it is verified
    found = verified(copy)

    # Then the first fault is that change, and no byte of the file is another
    first = found.first
    assert first is not None
    assert first.kind.value == edit.kind, found.faults
    assert edit.table in (None, first.table)
    assert edit.column in (None, first.column)
    assert copy.read_bytes() == before

    # And opening it for writing does not repair it
    assert not verified(copy, read_only=False).ok


@pytest.mark.parametrize(
    "edit", [each for each in ZOO if not (each.anchor or each.refused)], ids=lambda edit: edit.name
)
def test_edit_of_a_ledger_in_parts_is_named_alike(
    edit: Edit, copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a ledger that is too large to be folded at once
    monkeypatch.setattr(parts, "PART", 3)
    edited(copy, edit.change)
    first = verified(copy).first
    assert first is not None
    assert first.kind.value == edit.kind
    assert edit.table in (None, first.table)


@pytest.mark.parametrize("edit", [each for each in ZOO if each.refused], ids=lambda edit: edit.name)
def test_edit_is_refused_at_opening(edit: Edit, copy: Path) -> None:
    edited(copy, edit.change)
    before = copy.read_bytes()
    for read_only in (True, False):
        with pytest.raises(RemembrancerError):
            verified(copy, read_only=read_only)
    assert copy.read_bytes() == before


@pytest.mark.parametrize("edit", [each for each in ZOO if each.anchor], ids=lambda edit: edit.name)
def test_edit_that_needs_an_anchor_outside_of_the_file_is_not_seen(edit: Edit, copy: Path) -> None:
    # The documentation says so: whoever writes a whole file, writes a right one.
    edited(copy, edit.change)
    assert verified(copy, read_only=False).ok


def test_zoo_has_the_edits_that_were_asked_for() -> None:
    assert len(ZOO) >= 48
    assert sum(edit.anchor for edit in ZOO) == 3


def columns(path: Path) -> Iterator[tuple[str, str]]:
    """Every column of every table that has a row."""
    with closing(sqlite3.connect(path)) as connection:
        tables = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        for (table,) in tables.fetchall():
            if connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]:
                for row in connection.execute(f"PRAGMA table_info({table})").fetchall():
                    yield table, row[1]


def changed(value: Any) -> Any:
    """Another value of the same type."""
    if value is None:
        return 1
    if isinstance(value, str):
        return f"{value[:-1]}{'x' if value[-1:] != 'x' else 'y'}"
    if isinstance(value, bytes):
        return bytes([value[0] ^ 1, *value[1:]]) if value else b"x"
    return value + 1


def with_other_value(table: str, column: str, place: str) -> Callable[[sqlite3.Connection], None]:
    def change(connection: sqlite3.Connection) -> None:
        (key,) = connection.execute(f"SELECT {place}({column}) FROM {table}").fetchone()
        connection.execute(
            f"UPDATE OR REPLACE {table} SET {column} = ? WHERE {column} IS ?", (changed(key), key)
        )

    return change


@pytest.mark.slow
def test_every_column_of_every_table_is_compared(base: Path, tmp_path: Path) -> None:
    # Given one changed value in each column, the other rows as they were
    unseen = set()
    seen = set()
    for table, column in columns(base):
        for place in ("min", "max"):
            path = Path(shutil.copy(base, tmp_path / "copy.db"))
            edited(path, with_other_value(table, column, place))
            try:
                found = verified(path)
            except RemembrancerError:
                # Refused at opening.
                continue
            # When it is verified, then it is named
            if found.ok:
                unseen.add(f"{table}.{column}")
            else:
                seen.add(table)
    assert unseen <= NOT_DERIVED.keys()
    assert {"event", "ledger", "request", "fact", "message", "evidence", "pipeline", "usage"} < seen
    assert {"graph_name", "graph_relation", "graph_fact", "graph_mention"} < seen
    assert {"index_posting", "index_part", "index_segment", "index_speaker", "index_name"} < seen
