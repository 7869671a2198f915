"""An add by rules against one that stores the sentence word for word: processor time per add.

Ordinary sentences (``bench.ordinary``), one an add, into a file that already holds facts of other
owners, a hundred of each. Every sentence is told twice, in turns: ``infer=True`` to one owner,
``infer=False`` to another one. No sentence is told to both more than once, because the rules
remember how they have read it. Time that passes while the disk works is not counted.

    python -m bench.rules
"""

from __future__ import annotations

import itertools
import statistics
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from bench.ordinary import lives
from bench.report import Row, report
from remembrancer import Memory
from remembrancer.wiring.settings import load_settings

START = datetime(2024, 10, 7, 9, tzinfo=UTC)
ADDS = 300
OF_PERSON = 30
"""Adds of each timed owner."""

HELD = (100, 10_000)
OF_EACH = 100
"""Facts of each other owner."""

BAR = 1 / 1.5


@contextmanager
def filled(path: Path, durability: str, facts: int) -> Iterator[Memory]:
    """A memory on a new file with ``facts`` facts of other owners."""
    settings = load_settings(
        {"audit_log": {"path": str(path), "durability": durability}}, environment={}
    )
    told = itertools.cycle(f"{sentence} So it is." for life in lives() for sentence in life)
    with Memory(settings=settings) as memory:
        for owner in range(facts // OF_EACH):
            said = list(itertools.islice(told, OF_EACH))
            memory.add(said, user_id=f"other-{owner}", infer=False, occurred_at=START)
        yield memory


def milliseconds_per_add(memory: Memory, sentences: Iterable[str]) -> tuple[float, float]:
    """The mean processor time of an add by rules, and of a verbatim one."""
    taken: dict[bool, list[float]] = {True: [], False: []}
    for number, sentence in enumerate(sentences):
        person, day = divmod(number, OF_PERSON)
        for infer in (True, False) if number % 2 else (False, True):
            begun = time.process_time()
            memory.add(
                sentence,
                user_id=f"person-{person}-{infer}",
                infer=infer,
                occurred_at=START + timedelta(days=day),
            )
            taken[infer].append(time.process_time() - begun)
    return statistics.mean(taken[True]) * 1000, statistics.mean(taken[False]) * 1000


def main() -> int:
    """Run the benchmark; return 1 if a target was missed."""
    rows = []
    sentences = iter(dict.fromkeys(itertools.chain.from_iterable(lives())))
    with Memory() as memory:
        # Patterns are compiled on first use.
        milliseconds_per_add(memory, itertools.islice(sentences, ADDS))
    for facts, durability in itertools.product(HELD, ("normal", "full")):
        with (
            tempfile.TemporaryDirectory(prefix="bench-rules-") as folder,
            filled(Path(folder) / "rules.db", durability, facts) as memory,
        ):
            by_rules, verbatim = milliseconds_per_add(memory, itertools.islice(sentences, ADDS))
        rows.append(
            Row(
                case=f"add by rules, {facts:,} facts, durability={durability}",
                unit="ms CPU",
                ours=by_rules,
                theirs=verbatim,
                more_is_better=False,
                bar=BAR,
                note=f"{by_rules / verbatim:.2f} times a verbatim add",
            )
        )
    met = report(
        "rules", "An add by rules against a verbatim one", rows, subjects=("rules", "verbatim")
    )
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
