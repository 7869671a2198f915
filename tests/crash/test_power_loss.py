"""What a loss of power would leave of a file, made from what the kill of a writer leaves.

A killed writer leaves its database and its write-ahead log as they stood between two of its
instructions. Of the copy of that log the end is lost, from any byte on: a disk holds no more if the
rest had not been given to it yet. Only frames that were being moved into the database stay, for
SQLite has the log on the disk before it moves anything.

It proves that every prefix of the log opens to a prefix of the commits, with its chain and its read
models whole, and that torn or foreign bytes at the end are not taken for a commit. It does not
prove that the disk had been asked to keep a commit before that was acknowledged: this would take a
disk that forgets what it was not asked to keep.
"""

from __future__ import annotations

import random
import shutil
import struct
from collections.abc import Callable
from pathlib import Path

import pytest
from attrs import evolve, frozen
from processes import process
from remains import check_agreement, check_promises, remains
from writer import Entry, opened, read_journal, read_lines, write_for_ever

INSTANTS = 8
"""At which a writer is killed, for each seed."""

LINES = 128
"""Most lines of its journal by then. A few dozen writes fill a log so far that it is moved."""

PAGE, FRAME_HEADER, LOG_HEADER = 4096, 24, 32
"""Bytes, by https://www.sqlite.org/fileformat2.html#the_write_ahead_log."""

MOVING = 128
"""Where the shared memory counts the frames that are being moved into the database, or are there
already, by https://www.sqlite.org/walformat.html (nBackfillAttempted).
"""

SHORT = 0.01
"""Seconds, about as long as a write takes."""


@frozen(kw_only=True)
class Wreck:
    """What a killed writer left, and what it had been promised."""

    database: Path
    log: bytes
    safe: int
    promised: list[Entry]

    def with_log(self, log: bytes) -> Path:
        """A copy of the database with another log."""
        copy = self.database.with_name("copy.db")
        for suffix in ("", "-wal", "-shm"):
            copy.with_name(copy.name + suffix).unlink(missing_ok=True)
        shutil.copy(self.database, copy)
        copy.with_name(f"{copy.name}-wal").write_bytes(log)
        return copy


def wreck(path: Path, journal: Path) -> Wreck:
    """Read the files as they are. ``safe`` are the bytes of the log that can't be lost."""
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
    """A sector is missing and what comes after it is there: disks do not keep the order."""
    return log[:at] + bytes(min(512, len(log) - at)) + log[at + 512 :]


LOSSES: tuple[Callable[[bytes, int, random.Random], bytes], ...] = (
    cut,
    zeroed,
    scrambled,
    with_a_hole,
)


@pytest.mark.parametrize("seed", range(4))
def test_whatever_the_disk_keeps_of_the_log_is_a_whole_prefix_of_the_commits(
    tmp_path: Path, seed: int
) -> None:
    chance = random.Random(seed)
    for instant in range(INSTANTS):
        # Given a writer that ended at some instant
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
            # When the end of its log is lost
            at = chance.randint(min(found.safe, len(found.log)), len(found.log))
            with remains(found.with_log(lose(found.log, at, chance))) as memory:
                # Then what is left are the first of the commits, and life goes on
                assert memory.stats().events <= events
                memory.add("I like tea.", user_id="ada")
                check_agreement(memory)


def test_a_log_that_ends_after_any_of_its_frames_loses_the_last_commits_alone(
    tmp_path: Path,
) -> None:
    # Given some commits that are in the log alone
    path, base = tmp_path / "memory.db", tmp_path / "base.db"
    texts = ("I live in Oslo.", "I moved to Lisbon.", "I like tea.")
    with opened(path) as memory:
        for text in texts:
            memory.add(text, user_id="ada")
        events = memory.stats().events
        found = evolve(wreck(path, tmp_path / "none"), database=shutil.copy(path, base))
    assert found.safe == 0
    # When it ends after any of its frames
    kept = []
    for end in range(LOG_HEADER, len(found.log) + 1, FRAME_HEADER + PAGE):
        with opened(found.with_log(found.log[:end]), durability="normal") as memory:
            check_agreement(memory)
            kept.append(memory.stats().events)
    # Then a longer one never holds less, and there is nothing between the two commits of an add
    assert kept == sorted(kept)
    assert (kept[0], kept[-1]) == (0, events)
    assert len(set(kept)) == 1 + 2 * len(texts)
