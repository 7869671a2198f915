"""How long a memory on a SQLite file holds the write lock: what every other writer waits for.

A case adds messages of one size to a new file and takes the time of each transaction, from the end
of its ``BEGIN IMMEDIATE`` to the end of its ``COMMIT``, by the clock and in CPU time of the thread.
The clock includes waiting for the disk, and for the processor on a busy machine. The messages of a
case are one conversation, so that each also changes the context of the facts before it. Latin text
has sentences of about sixty characters, Chinese text of about twenty; rules make a fact of each.
The last case is one call with the most messages that a call may have. Segments of the index that
are stored after an append are among the transactions.

    python -m bench.hold
    python -m bench.hold --rounds 20 --durability normal
"""

from __future__ import annotations

import argparse
import random
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from attrs import frozen

from bench.report import Row, quantile, report
from remembrancer import Memory
from remembrancer.application.parsing.messages import MAX_MESSAGES
from remembrancer.wiring.settings import load_settings

BAR = 50.0
"""Milliseconds: about three frames; other writers wait for 10 s."""

SIZES = (1_000, 10_000, 25_000, 100_000)
"""Bytes of a message."""

FIRST_HAN = 0x4E00
HAN = 3_000
"""Characters in use."""


def latin(size: int, dice: random.Random) -> str:
    """Sentences of ten invented words, about ``size`` bytes in all."""
    letters = "etaoinshrdlu"
    text = ""
    while len(text) < size:
        words = ["".join(dice.choices(letters, k=dice.randint(2, 8))) for _ in range(10)]
        text += " ".join(words).capitalize() + ". "
    return text


def chinese(size: int, dice: random.Random) -> str:
    """Sentences of twenty Han characters, about ``size`` bytes in all."""
    text = ""
    while 3 * len(text) < size:
        text += "".join(chr(FIRST_HAN + dice.randrange(HAN)) for _ in range(20)) + "。"
    return text


@frozen
class Hold:
    """One write transaction: milliseconds by the clock, and of CPU time."""

    clock: float
    cpu: float


@contextmanager
def holds() -> Iterator[list[Hold]]:
    """The write transactions that are committed in the block, in order."""
    taken: list[Hold] = []

    class Timed(sqlite3.Connection):
        begun: tuple[float, float] | None = None

        def execute(self, sql: str, *arguments: Any) -> sqlite3.Cursor:
            cursor = super().execute(sql, *arguments)
            now = (1000 * time.perf_counter(), 1000 * time.thread_time())
            if sql == "BEGIN IMMEDIATE":
                self.begun = now
            elif sql == "COMMIT" and self.begun is not None:
                taken.append(Hold(now[0] - self.begun[0], now[1] - self.begun[1]))
                self.begun = None
            return cursor

    original = sqlite3.connect
    sqlite3.connect = partial(original, factory=Timed)  # type: ignore[assignment]
    try:
        yield taken
    finally:
        sqlite3.connect = original


def rows_of(case: str, taken: Sequence[Hold], *, bar: float | None) -> list[Row]:
    """Six rows for the holds of a case."""
    count = f"{len(taken):,} transactions"
    figures = (("p50", 0.5, None, ""), ("p99", 0.99, bar, count), ("longest", 1.0, None, ""))
    return [
        Row(
            case=f"{case}, {name}{what}",
            unit="ms",
            ours=quantile(times, q),
            more_is_better=False,
            bar=target,
            note=note,
        )
        for what, times in (
            ("", [hold.clock for hold in taken]),
            (" CPU", [hold.cpu for hold in taken]),
        )
        for name, q, target, note in figures
    ]


def measured(
    path: Path, durability: str, add: Callable[[Memory, int], object], rounds: int
) -> list[Hold]:
    """The holds of ``rounds`` calls of ``add`` on a new file."""
    settings = load_settings(
        {"audit_log": {"path": str(path), "durability": durability}}, environment={}
    )
    with holds() as taken, Memory(settings=settings) as memory:
        memory.add("Hello, my name is Ann.", user_id="ann")
        taken.clear()
        for number in range(rounds):
            add(memory, number)
    return taken


def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--rounds", type=int, default=5, help="messages of each size")
    parser.add_argument("--durability", default="full", choices=("full", "normal"))
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--messages", type=int, default=MAX_MESSAGES, help="of the last case")
    arguments = parser.parse_args()
    dice = random.Random(arguments.seed)
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="bench-hold-") as name:
        for script, text in (("Latin", latin), ("Chinese", chinese)):
            for size in SIZES:
                texts = [text(size, dice) for _ in range(arguments.rounds)]
                taken = measured(
                    Path(name) / f"{script}-{size}.db",
                    arguments.durability,
                    lambda memory, number, texts=texts: memory.add(texts[number], user_id="ann"),
                    arguments.rounds,
                )
                rows += rows_of(f"{script}, {size // 1000} kB a message", taken, bar=BAR)
        said = [latin(100, dice) for _ in range(arguments.messages)]
        taken = measured(
            Path(name) / "many.db",
            arguments.durability,
            lambda memory, _: memory.add(said, user_id="ann", infer=False),
            1,
        )
        rows += rows_of(f"{arguments.messages:,} messages, infer=False", taken, bar=None)
    met = report(
        "hold",
        "How long the write lock is held",
        rows,
        settings=vars(arguments),
    )
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
