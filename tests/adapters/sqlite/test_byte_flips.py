"""One byte of a file is another: the change is harmless, refused, or named; never silently wrong.

A flip is harmless if every table still has the rows that it had. It is refused if opening or
verifying raises a typed error, and named if ``verify`` reports a fault. Set
``HYPOTHESIS_PROFILE=thorough`` for 10,000 flips.
"""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from remembrancer import Memory, RemembrancerError
from remembrancer.adapters.stores.sqlite.inspection import parts
from remembrancer.testing.depth import scaled
from remembrancer.wiring.settings import load_settings
from tests.adapters.sqlite.zoo import make_small

FLIPS = 500
SEED = 14

# Pages of the file that are read in vain would take most of the time.
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("flips") / "base.db"
    make_small(path)
    return path


def content(path: Path) -> Iterator[object]:
    """The schema and all rows of a file, and what tells it from the files of other programs."""
    with closing(sqlite3.connect(f"file:{path}?mode=ro&immutable=1", uri=True)) as connection:
        connection.text_factory = bytes
        schema = connection.execute("SELECT type, name, sql FROM sqlite_master").fetchall()
        yield sorted(map(repr, schema))
        yield connection.execute("PRAGMA application_id").fetchall()
        yield connection.execute("PRAGMA user_version").fetchall()
        # An index that differs from its table gives other answers.
        yield connection.execute("PRAGMA integrity_check(1)").fetchall()
        for kind, name, _ in sorted(schema, key=repr):
            if kind == b"table":
                rows = connection.execute(f"SELECT * FROM {name.decode()}").fetchall()
                yield name, sorted(map(repr, rows))


def outcome(path: Path) -> str:
    """What becomes of a file: ``refused``, ``named`` or ``right``."""
    settings = load_settings({"audit_log": {"path": str(path), "read_only": True}})
    try:
        with Memory(settings=settings) as memory:
            return "right" if memory.verify().ok else "named"
    except RemembrancerError:
        return "refused"


def same_content(path: Path, before: list[object]) -> bool:
    try:
        return list(content(path)) == before
    except (sqlite3.Error, UnicodeDecodeError):
        return False


@pytest.mark.parametrize("part", [parts.PART, 2], ids=["at once", "in parts"])
def test_flipped_byte_is_harmless_refused_or_named(
    part: int, base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parts, "PART", part)
    # Given the seeds of flips, so that one that fails can be made again
    before, data = list(content(base)), base.read_bytes()
    path = tmp_path / "flipped.db"
    outcomes: list[str] = []
    for number in range(scaled(FLIPS)):
        chosen = random.Random(f"{SEED}/{number}")
        at, bit = chosen.randrange(len(data)), 1 << chosen.randrange(8)
        # When one bit is another
        path.write_bytes(data[:at] + bytes([data[at] ^ bit]) + data[at + 1 :])
        found = outcome(path)
        # Then a file that is taken for right has the rows that it had
        if found == "right":
            assert same_content(path, before), f"flip {number}: byte {at}, bit {bit} was not seen"
        outcomes.append(found)
    assert {"named", "refused"} < set(outcomes) or len(outcomes) < FLIPS
