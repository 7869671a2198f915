"""A process that uses a memory in every way that writes to its files, while its system calls are
recorded: ``python -m tests.crash.recorded_writer FOLDER NAME DURABILITY TURNS``.
"""

from __future__ import annotations

import argparse
import errno
import os
import random
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from remembrancer import Memory, RemembrancerError
from tests.crash.syscalls import failing
from tests.crash.writer import Journal, opened, write_once

DATABASE, VAULT = "memory.db", "keys.db"


def journal_of(name: str) -> str:
    """The name of the journal of a writer."""
    return f"journal-{name}"


class Writer:
    """Writes, maintains its files, and opens its memory again, at random."""

    def __init__(self, options: argparse.Namespace) -> None:
        self._path: Path = options.folder / DATABASE
        self._vault = options.folder / VAULT if options.sealed else None
        self._durability: str = options.durability
        self._name: str = options.name
        self._chance = random.Random(options.name)
        self._journal = Journal(options.folder / journal_of(options.name))
        self._memory: Memory | None = None

    def take(self, turns: int) -> None:
        """Do something, many times, and leave the memory open."""
        for turn in range(turns):
            # A sync that was made to fail.
            with suppress(RemembrancerError):
                self._turn(turn)

    def _turn(self, turn: int) -> None:
        if self._memory is None:
            self._memory = opened(self._path, durability=self._durability, vault=self._vault)
        rare = self._chance.random()
        if rare < 0.03:
            self.close()
        elif rare < 0.05:
            self._memory.rebuild("read_models")
        elif rare < 0.08:
            self._maintain("PRAGMA wal_checkpoint(TRUNCATE)")
        elif rare < 0.10:
            self._maintain("VACUUM")
        else:
            write_once(self._memory, self._journal, self._name, turn, self._chance)

    def close(self) -> None:
        memory, self._memory = self._memory, None
        if memory is not None:
            memory.close()

    def _maintain(self, statement: str) -> None:
        """What an administrator does with the sqlite3 shell, which waits for nobody."""
        with (
            suppress(sqlite3.OperationalError),
            closing(sqlite3.connect(self._path, timeout=0, isolation_level=None)) as connection,
        ):
            connection.execute(statement)


@contextmanager
def failed_sync(number: int) -> Iterator[None]:
    """Let one sync fail; 0 lets none fail."""
    if not number:
        yield
        return
    with failing("s", number, 1, errno.EIO):
        yield


def main() -> None:
    """Take all turns."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("name")
    parser.add_argument("durability")
    parser.add_argument("turns", type=int)
    parser.add_argument("--sealed", action="store_true")
    parser.add_argument("--fail-sync", type=int, default=0)
    parser.add_argument("--dies", action="store_true", help="end without closing anything")
    options = parser.parse_args()
    writer = Writer(options)
    with failed_sync(options.fail_sync):
        writer.take(options.turns)
    if options.dies:
        os._exit(0)
    writer.close()


if __name__ == "__main__":
    main()
