"""The time of one flushed write of a block on this disk: the lower bound of a durable commit.

SQLite waits for one flush per commit in WAL mode with ``synchronous=FULL``.
"""

from __future__ import annotations

import itertools
import os
from pathlib import Path
from typing import Self

BLOCK = 4096
BLOCKS = 1000


class DiskFloor:
    """Writes 4 KiB and flushes, in a separate file in ``folder``."""

    def __init__(self, folder: Path) -> None:
        self._file = os.open(folder / "floor", os.O_CREAT | os.O_WRONLY)
        self._block = os.urandom(BLOCK)
        # Overwrite existing blocks, as SQLite does in a WAL that it reuses: growing the file would
        # also make the file system write its journal.
        os.write(self._file, self._block * BLOCKS)
        os.fsync(self._file)
        self._places = itertools.cycle(range(0, BLOCK * BLOCKS, BLOCK))

    def write(self) -> None:
        os.pwrite(self._file, self._block, next(self._places))
        os.fdatasync(self._file)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._file)
