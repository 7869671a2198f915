"""Simulated power loss: the write-ahead log (WAL) of a killed writer loses its end.

A killed writer leaves its database and its WAL as they were between two instructions. The tests
then drop the end of a copy of the WAL, from any byte on, like a disk to which the rest was not
written yet. Frames that were being moved into the database (checkpoint) are kept: SQLite syncs the
WAL before it moves any.

The tests show that every prefix of the WAL opens to a prefix of the commits, with a valid chain and
consistent read models, and that torn or random bytes at the end are not read as a commit. They do
not show that a commit was synced before it was acknowledged: that needs a disk that loses unsynced
data.
"""

from __future__ import annotations

import random
import shutil
import struct
from collections.abc import Callable
from pathlib import Path

import pytest
from attrs import evolve, frozen

from remembrancer.testing.depth import scaled
from tests.crash.remains import check_agreement, check_promises, remains
from tests.crash.writer import Entry, opened, read_journal, read_lines, write_for_ever
from tests.helpers.processes import process

INSTANTS = scaled(8)
"""Kills of a writer per seed."""

LINES = 128
"""Maximum number of journal lines before a kill. A few dozen writes trigger a checkpoint."""

PAGE, FRAME_HEADER, LOG_HEADER = 4096, 24, 32
"""Bytes; see https://www.sqlite.org/fileformat2.html#the_write_ahead_log."""

MOVING = 128
"""Offset in the shared memory of the number of frames that were or are being moved into the
database (nBackfillAttempted); see https://www.sqlite.org/walformat.html.
"""

SHORT = 0.01
"""Seconds, about as long as a write takes."""


@frozen(kw_only=True)
class Wreck:
    """The files that a killed writer left, and its acknowledged writes."""

    database: Path
    log: bytes
    safe: int
    promised: list[Entry]

    def with_log(self, log: bytes) -> Path:
        """A copy of the database with another WAL."""
        copy = self.database.with_name("copy.db")
        for suffix in ("", "-wal", "-shm"):
            copy.with_name(copy.name + suffix).unlink(missing_ok=True)
        shutil.copy(self.database, copy)
        copy.with_name(f"{copy.name}-wal").write_bytes(log)
        return copy


def wreck(path: Path, journal: Path) -> Wreck:
    """Read the files. ``safe``: bytes of the WAL that can't be lost."""
    log = path.with_name(f"{path.name}-wal").read_bytes()
    shared = path.with_name(f"{path.name}-shm").read_bytes()
    (moving,) = struct.unpack_from("=I", shared, MOVING)
    return Wreck(
        database=path,
        log=log,
        safe=LOG_HEADER + moving * (FRAME_HEADER + PAGE) if moving else 0,
        promised=[entry for entry in read_journal(journal) if entry.receipt is not None],
    )


def cut(log: bytes, at: int, _chance: random.Random) -> bytes:
    return log[:at]


def zeroed(log: bytes, at: int, _chance: random.Random) -> bytes:
    return log[:at] + bytes(len(log) - at)


def scrambled(log: bytes, at: int, chance: random.Random) -> bytes:
    return log[:at] + chance.randbytes(len(log) - at)


def with_a_hole(log: bytes, at: int, _chance: random.Random) -> bytes:
    """A sector is missing, but the bytes after it are there: disks may reorder writes."""
    return log[:at] + bytes(min(512, len(log) - at)) + log[at + 512 :]


LOSSES: tuple[Callable[[bytes, int, random.Random], bytes], ...] = (
    cut,
    zeroed,
    scrambled,
    with_a_hole,
)


@pytest.mark.parametrize("seed", range(4))
def test_truncated_wal_opens_to_a_prefix_of_the_commits(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    for instant in range(INSTANTS):
        # Given a writer that was killed at some moment
        path, journal = tmp_path / f"{instant}.db", tmp_path / f"{instant}.jsonl"
        with process(write_for_ever, path, journal, instant) as writer:
            lines = round(LINES ** chance.random())
            while len(read_lines(journal)) < lines:
                writer.join(timeout=SHORT)
                assert writer.exitcode is None
            writer.join(timeout=chance.uniform(0, SHORT))
        found = wreck(path, journal)
        with remains(found.with_log(found.log)) as memory:
            check_promises(memory, found.promised)
            events = memory.stats().events
        for lose in LOSSES:
            # When the end of its WAL is lost
            at = chance.randint(min(found.safe, len(found.log)), len(found.log))
            with remains(found.with_log(lose(found.log, at, chance))) as memory:
                # Then a prefix of the commits is left, and writing continues
                assert memory.stats().events <= events
                memory.add("I like tea.", user_id="ada")
                check_agreement(memory)


def test_wal_cut_after_any_frame_loses_only_the_last_commits(
    tmp_path: Path,
) -> None:
    # Given some commits that are only in the WAL
    path, base = tmp_path / "memory.db", tmp_path / "base.db"
    texts = ("I live in Oslo.", "I moved to Lisbon.", "I like tea.")
    with opened(path) as memory:
        for text in texts:
            memory.add(text, user_id="ada")
        events = memory.stats().events
        found = evolve(wreck(path, tmp_path / "none"), database=shutil.copy(path, base))
    assert found.safe == 0
    # When the WAL ends after any of its frames
    kept = []
    for end in range(LOG_HEADER, len(found.log) + 1, FRAME_HEADER + PAGE):
        with opened(found.with_log(found.log[:end]), durability="normal") as memory:
            check_agreement(memory)
            kept.append(memory.stats().events)
    # Then a longer WAL never has fewer events, and no state between the two commits of an add
    assert kept == sorted(kept)
    assert (kept[0], kept[-1]) == (0, events)
    assert len(set(kept)) == 1 + 2 * len(texts)
