"""Processes that deliver log events to an external index, to be killed at any moment."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from remembrancer import Memory
from remembrancer.testing.file_index import FileIndex
from remembrancer.wiring.settings import load_settings
from tests.crash.writer import DIMENSION, Countdown, count_statements, small_segments

LEASE = 0.05
"""Seconds; short, so that the partitions of a killed worker are soon taken over."""


@contextmanager
def fed(path: Path, engine: Path, **projections: Any) -> Iterator[Memory]:
    """A memory with a durable external engine; only workers deliver to the engine."""
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
    """Deliver all events, and die at step ``at``; finish if there are fewer steps."""
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
    """Run a worker until the process is killed."""
    with fed(path, engine, batch=3, partitions=2) as memory:
        memory.run_worker()


def write_for_ever(path: Path, engine: Path, journal: Path) -> None:
    """Add facts and count them in a journal until the process is killed."""
    with fed(path, engine, partitions=2) as memory:
        number = 0
        while True:
            memory.add(f"I wrote down number {number}.", user_id=f"u{number % 5}", infer=False)
            number += 1
            journal.write_text(str(number))
