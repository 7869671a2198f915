"""How often the bytes of a request's metadata are stored."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from random import Random

import pytest

from remembrancer import Memory

FACTS = 20
LIMIT = 16_000
"""Bytes, just below the default of ``limits.metadata``."""

ROUNDING = 1.05
"""Pages that are not full."""


def grown(path: Path, metadata: dict[str, str], *, infer: bool) -> int:
    """The size of a file after one request of ``FACTS`` facts."""
    random = Random(1)
    sentences = [f"I like place number {random.randrange(10**9)}." for _ in range(FACTS)]
    with Memory(path) as memory:
        memory.add(
            " ".join(sentences) if infer else sentences,
            user_id="ann",
            metadata=metadata,
            infer=infer,
        )
        assert len(memory.get_all(user_id="ann")) == FACTS
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return path.stat().st_size


@pytest.mark.parametrize("infer", [True, False])
def test_metadata_is_stored_three_times_per_fact_and_once_more(
    tmp_path: Path, *, infer: bool
) -> None:
    note = "".join(Random(2).choices("abcdefghijklmnop", k=LIMIT))
    bare = grown(tmp_path / "bare.db", {}, infer=infer)
    full = grown(tmp_path / "full.db", {"note": note}, infer=infer)
    # It was 182 times with 1 MB: messages had copies, too
    assert full - bare <= ROUNDING * (3 * FACTS + 1) * LIMIT
