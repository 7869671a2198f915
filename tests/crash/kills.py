"""Kill writers at random moments, and check what they leave."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

from tests.crash.remains import check_after_kill, remains
from tests.crash.writer import SHORT, Entry, read_journal, read_lines, write_for_ever
from tests.helpers.processes import process

LONGEST_JOURNAL = 25
"""Maximum number of journal lines before a kill; each write has two."""


def killed_writer(path: Path, journal: Path, number: int, chance: random.Random) -> list[Entry]:
    """Let a writer write, kill it at a random moment, and return what it was asked to write."""
    with process(write_for_ever, path, journal, number) as writer:
        lines = chance.randrange(LONGEST_JOURNAL)
        while len(read_lines(journal)) < lines:
            writer.join(timeout=SHORT)
            assert writer.exitcode is None
        writer.join(timeout=chance.uniform(0, SHORT))
    return read_journal(journal)


def kill(folder: Path, count: int, seed: int) -> Iterator[list[Entry]]:
    """Kill one writer after another on one growing file, and yield what each was asked to write.

    After each kill, acknowledged writes must be there, and all others can be sent again.

    Raises:
        AssertionError: they are not, or can't be.
    """
    chance = random.Random(seed)
    path, messages = folder / "memory.db", 0
    for number in range(count):
        entries = killed_writer(path, folder / f"{number}.jsonl", number, chance)
        with remains(path) as memory:
            messages = check_after_kill(memory, entries, messages)
        yield entries
