"""``sh dev soak simulation``: simulated processes, faults and crashes; every seed is checked.

    sh dev soak simulation                     # 1,000 seeds
    sh dev soak simulation --count 100000      # goes on where an interrupted run stopped
    sh dev soak simulation --seed 7            # one seed again, with its last steps if it fails

What is done is kept in ``build/soak-simulation.json``; another ``--count`` begins anew. What a
seed is, is in ``tests/simulation``.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

from attrs import asdict, define

from tests.simulation.world import Outcome, simulate

STATE = Path(__file__).parents[2] / "build" / "soak-simulation.json"


@define(kw_only=True)
class Progress:
    """How far a run is. ``seconds`` are those of the processor."""

    count: int
    done: int = 0
    steps: int = 0
    events: int = 0
    crashes: int = 0
    seconds: float = 0.0

    @classmethod
    def resumed(cls, count: int) -> Progress:
        """The progress of an interrupted run of the same length, else none."""
        try:
            kept = cls(**json.loads(STATE.read_text()))
        except FileNotFoundError:
            return cls(count=count)
        return kept if kept.count == count and kept.done < count else cls(count=count)

    def keep(self) -> None:
        """Write it down, whole or not at all."""
        STATE.parent.mkdir(exist_ok=True)
        written = STATE.with_suffix(".new")
        written.write_text(json.dumps(asdict(self)))
        written.replace(STATE)

    def add(self, outcome: Outcome, seconds: float) -> None:
        """Count a seed."""
        self.done += 1
        self.steps += outcome.steps
        self.events += outcome.events
        self.crashes += outcome.crashes
        self.seconds += seconds

    def __str__(self) -> str:
        a_minute = self.steps / max(self.seconds, 1e-9) * 60
        return (
            f"{self.done:,} seeds, {self.steps:,} steps, {self.events:,} events, "
            f"{self.crashes:,} crashes, in {self.seconds:,.0f} s of the processor: "
            f"{a_minute:,.0f} steps a minute"
        )


def soak(progress: Progress) -> Outcome | None:
    """Run all seeds that are left; return the first one that fails."""
    while progress.done < progress.count:
        begun = time.process_time()
        outcome = simulate(progress.done)
        if outcome.foul is not None:
            return outcome
        progress.add(outcome, time.process_time() - begun)
        progress.keep()
        print(f"\r{progress.done:,} of {progress.count:,}", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    return None


def main() -> int:
    """Run it; the exit code is 1 if an invariant did not hold."""
    parser = argparse.ArgumentParser(prog="dev soak simulation", description=__doc__)
    parser.add_argument("--count", type=int, default=1_000, help="seeds (default 1,000)")
    parser.add_argument("--seed", type=int, help="replay this seed alone")
    arguments = parser.parse_args()
    if arguments.seed is not None:
        outcome = simulate(arguments.seed)
        print(outcome if outcome.foul else f"seed {outcome.seed}: {outcome.steps:,} steps, held")
        return int(outcome.foul is not None)
    progress = Progress.resumed(arguments.count)
    failed = soak(progress)
    if failed is not None:
        print(f"\n{failed}")
        return 1
    print(f"{progress}; all invariants held")
    return 0


if __name__ == "__main__":
    sys.exit(main())
