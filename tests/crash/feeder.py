"""Processes that bring an external index what the log says, and may be killed at any moment."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from writer import DIMENSION, Countdown, count_statements, small_segments

from remembrancer import Memory
from remembrancer.testing.file_index import FileIndex
from remembrancer.wiring.settings import load_settings

LEASE = 0.05
"""Seconds: what one that was killed was at is soon taken over."""


@contextmanager
def fed(path: Path, engine: Path, **projections: Any) -> Iterator[Memory]:
    """A memory in front of an engine that outlives it; writers leave the engine to workers."""
    config = {
        "audit_log": {"path": str(path), "durability": "normal"},
        "embedder": {"dimension": DIMENSION},
        "projections": {"wait": 0, "lease": LEASE, **projections},
    }
    with small_segments():
        index = FileIndex(engine, DIMENSION)
        memory = Memory(
            settings=load_settings(config, environment={}), overrides={"vector_index": index}
        )
    with memory:
        yield memory
    index.close()


def feed_until(path: Path, engine: Path, rebuild: bool, at: int) -> None:
    """Bring everything, and die at the step ``at`` of it; if there are fewer, finish."""
    countdown = Countdown(at)
    count_statements(countdown)
    with fed(path, engine, batch=3) as memory:
        countdown.counts = True
        if rebuild:
            memory.rebuild("vector_index")
        else:
            memory.run_worker(once=True)
        countdown.counts = False


def feed_for_ever(path: Path, engine: Path) -> None:
    """Work until the process is killed."""
    with fed(path, engine, batch=3, partitions=2) as memory:
        memory.run_worker()


def write_for_ever(path: Path, engine: Path, journal: Path) -> None:
    """Add facts, and say so, until the process is killed."""
    with fed(path, engine, partitions=2) as memory:
        number = 0
        while True:
            memory.add(f"I wrote down number {number}.", user_id=f"u{number % 5}", infer=False)
            number += 1
            journal.write_text(str(number))
