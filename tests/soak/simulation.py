"""``sh dev soak simulation``: simulated processes, faults and crashes; every seed is checked.

    sh dev soak simulation                     # 1,000 seeds
    sh dev soak simulation --count 100000      # goes on where an interrupted run stopped
    sh dev soak simulation --replay 7          # one seed again, with its last steps if it fails

What is done is kept in ``build/soak-simulation.json``; another ``--seed`` or ``--count`` begins
anew. What a seed is, is in ``tests/simulation``.
"""

from __future__ import annotations

import argparse
import sys
import time

from tests.simulation.world import Outcome, simulate
from tests.soak.progress import Progress, progress_of

APART = 1_000_000
"""Between the first simulated seeds of two runs with different ``--seed``."""


def soak(progress: Progress) -> Outcome | None:
    """Run all seeds that are left; return the first one that fails."""
    while progress.left:
        begun = time.process_time()
        outcome = simulate(progress.seed * APART + progress.done)
        if outcome.foul is not None:
            return outcome
        with progress.step():
            spent = time.process_time() - begun
            progress.add(steps=outcome.steps, events=outcome.events, crashes=outcome.crashes)
            progress.add(microseconds=round(spent * 1_000_000))
            progress.done += 1
    return None


def summary(progress: Progress) -> str:
    """What a run did, and how fast, by the time of the processor."""
    found = progress.figures
    seconds = found["microseconds"] / 1_000_000
    return (
        f"{progress.done:,} seeds, {found['steps']:,} steps, {found['events']:,} events, "
        f"{found['crashes']:,} crashes, in {seconds:,.0f} s of the processor: "
        f"{found['steps'] / max(seconds, 1e-6) * 60:,.0f} steps a minute; all invariants held"
    )


def main() -> int:
    """Run it; the exit code is 1 if an invariant did not hold."""
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--replay", type=int)
    replayed, sys.argv[1:] = parser.parse_known_args()
    if replayed.replay is not None:
        outcome = simulate(replayed.replay)
        print(outcome if outcome.foul else f"seed {outcome.seed}: {outcome.steps:,} steps, held")
        return int(outcome.foul is not None)
    progress = progress_of("simulation", __doc__, what="seeds", count=1_000)
    failed = soak(progress)
    print(failed or summary(progress))
    return int(failed is not None)


if __name__ == "__main__":
    sys.exit(main())
