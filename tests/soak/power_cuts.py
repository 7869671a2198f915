"""``sh dev soak power_cuts``: the power is cut on the system calls of writers.

    sh dev soak power_cuts                 # 1,000 cuts for each durability
    sh dev soak power_cuts --count 10000   # goes on where an interrupted run stopped

``full`` loses nothing that was acknowledged; how much ``normal`` loses is told at the end. What is
done is kept in ``build/soak-power_cuts.json``; another ``--seed`` or ``--count`` begins anew. What
a cut left that breaks a promise is kept in ``build/soak-power_cuts``.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from statistics import median

from remembrancer import RemembrancerError
from tests.crash.power_cuts import DURABILITIES, KINDS, cut, folder, kind_of, record
from tests.crash.syscalls import Unavailable, compiled
from tests.soak.progress import BUILD, SKIPPED, Progress, progress_of

A_RECORDING = 50
"""Cuts of one recording."""

KEPT = BUILD / "soak-power_cuts"


def do_round(library: Path, progress: Progress) -> None:
    """Record some writers, and cut their power many times, for each durability.

    Raises:
        AssertionError, RemembrancerError: what a cut left was not what was promised.
    """
    number, cuts = progress.done // A_RECORDING, min(A_RECORDING, progress.left)
    name = KINDS[number % len(KINDS)].name
    seed = progress.seed * 100_003 + number
    found = {}
    with progress.step():
        for durability in DURABILITIES:
            recording = record(library, kind_of(name, durability), seed)
            found[durability] = list(cut(recording, cuts, seed, KEPT))
        for durability, losses in found.items():
            lost = progress.figures.setdefault(durability, [])
            lost.extend([loss.events, loss.requests, loss.damaged] for loss in losses)
        progress.done += cuts


def closing(durability: str, losses: Sequence[Sequence[int]]) -> str:
    """What the cuts of a durability took."""
    lost = [loss for loss in losses if loss[0]]
    if not lost:
        return f"{durability}: {len(losses):,} cuts, 0 acknowledged events lost"
    events, requests, _ = zip(*lost, strict=True)
    damaged = sum(loss[2] for loss in losses)
    return (
        f"{durability}: {len(losses):,} cuts, {len(lost):,} of them lost the last events, "
        f"{median(events):.0f} (median) to {max(events)} events of "
        f"{median(requests):.0f} to {max(requests)} requests; {damaged} left a damaged file after "
        "a failed sync"
    )


def main() -> int:
    """Run it; the exit code is 1 if something was lost that was promised."""
    progress = progress_of("power_cuts", __doc__, what="cuts for each durability", count=1_000)
    with folder() as made:
        try:
            library = compiled(made)
        except Unavailable as reason:
            print(f"skipped: {reason}")
            return SKIPPED
        while progress.left:
            try:
                do_round(library, progress)
            except (AssertionError, RemembrancerError) as error:
                notes = "; ".join(getattr(error, "__notes__", ()))
                print(f"BROKEN after {progress.done:,} cuts: {error!r} ({notes}); see {KEPT}")
                return 1
    told = "; ".join(closing(name, losses) for name, losses in progress.figures.items())
    print(f"{told}; in {progress.seconds:,.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
