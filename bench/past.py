"""Reads of the past against the same reads of the present, on SQLite, in processor time.

One owner has ``--facts`` facts, a hundred an append. Each read is made as of the time when a tenth
of them were recorded, in turns with one of now: pages of a hundred facts in every order, and a
search. A difference over the last thousand events is made in that ledger ("past"), and in one of
500 facts, which has little more than these events ("present").

    python -m bench.past
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

from attrs import define

from bench.report import Row, paired, report
from remembrancer import Memory, load_settings
from remembrancer.domain.ports.fact_store import Order

BEGAN = datetime(2024, 1, 1, tzinfo=UTC)
ANN: Any = {"user_id": "ann"}
BATCH = 100
BAR = 0.67
"""At most 1.5 times the present."""


@define
class Clock:
    """A clock that this benchmark moves."""

    time: datetime = BEGAN

    def now(self) -> datetime:
        """See ``Clock.now``."""
        return self.time

    def sleep(self, seconds: float) -> None:
        """See ``Clock.sleep``."""
        self.time += timedelta(seconds=seconds)


def minute(number: int) -> datetime:
    return BEGAN + timedelta(minutes=number)


def filled(path: Path, facts: int) -> Memory:
    """A memory of notes, one a minute."""
    clock = Clock()
    log = {"provider": "sqlite", "path": str(path), "durability": "normal"}
    memory = Memory(settings=load_settings({"audit_log": log}), overrides={"clock": clock})
    for first in range(0, facts, BATCH):
        clock.time = minute(first + BATCH)
        said = [
            {"content": f"note {number} of topic {number % 97}", "timestamp": minute(number)}
            for number in range(first, first + BATCH)
        ]
        memory.add(said, infer=False, **ANN)
    clock.time = minute(facts + BATCH)
    return memory


def spent(call: Callable[[], object]) -> float:
    """Milliseconds of processor time."""
    start = time.process_time()
    call()
    return (time.process_time() - start) * 1000


def against(case: str, rounds: int, ours: Callable[[], Any], theirs: Callable[[], Any]) -> Row:
    """The processor time of two calls, in turns."""
    past, present = paired(rounds, partial(spent, ours), partial(spent, theirs))
    return Row(case=case, unit="ms", ours=past, theirs=present, more_is_better=False, bar=BAR)


def measured(folder: Path, facts: int, rounds: int) -> Sequence[Row]:
    """The rows of the report."""
    rows: list[Row] = []
    with filled(folder / "long.db", facts) as long, filled(folder / "short.db", 500) as short:
        then = minute(facts // 10 + BATCH)
        for order in Order:
            page = partial(long.get_all, order=order.value, limit=100, **ANN)
            rows.append(against(f"get_all, {order.value}", rounds, partial(page, as_of=then), page))
        search = partial(long.search, "note of topic 11", **ANN)
        rows.append(against("search", rounds, partial(search, as_of=then), search))

        def last(memory: Memory) -> Callable[[], Any]:
            head = memory.stats(**ANN).events
            return partial(memory.audit.diff, f"@{head - 1000}", **ANN)

        assert len(last(long)()) == len(last(short)())
        rows.append(against("diff of the last 1,000 events", rounds, last(long), last(short)))
    return rows


def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--facts", type=int, default=20_000, help="facts of the owner")
    parser.add_argument("--rounds", type=int, default=41, help="turns that each read takes")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-past-") as name:
        rows = measured(Path(name), arguments.facts, arguments.rounds)
    met = report(
        "past",
        f"The past of {arguments.facts:,} facts beside the present (medians, taken in turns)",
        rows,
        subjects=("past", "present"),
        settings=vars(arguments),
    )
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
