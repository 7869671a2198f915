"""A SQLite file that is opened for reading alone."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest


@contextmanager
def opened_for_reading_alone(patch: pytest.MonkeyPatch) -> Iterator[None]:
    """Connections opened inside the block can't write. SQLite opens them so, without a word, if a
    file can't be opened for writing at that moment.
    """
    connect = sqlite3.connect

    def fall_back(target: str, **options: Any) -> sqlite3.Connection:
        opened: sqlite3.Connection = connect(target.replace("mode=rw", "mode=ro"), **options)
        return opened

    with patch.context() as inside:
        inside.setattr(sqlite3, "connect", fall_back)
        yield
