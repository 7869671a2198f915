"""``sh dev soak kills``: writers are killed at random moments; 0 acknowledged writes lost.

    sh dev soak kills                  # 1,000 kills
    sh dev soak kills --count 10000    # goes on where an interrupted run stopped

What is done is kept in ``build/soak-kills.json``; another ``--seed`` or ``--count`` begins anew.
"""

from __future__ import annotations

import sys

from remembrancer import RemembrancerError
from tests.crash.kills import kill
from tests.crash.power_cuts import folder
from tests.soak.progress import progress_of

A_FILE = 20
"""Kills on one growing file."""


def main() -> int:
    """Run it; the exit code is 1 if something was lost."""
    progress = progress_of("kills", __doc__, what="kills", count=1_000)
    while progress.left:
        number, kills = progress.done // A_FILE, min(A_FILE, progress.left)
        try:
            with progress.step(), folder() as made:
                for entries in kill(made, kills, progress.seed * 100_003 + number):
                    acknowledged = sum(entry.receipt is not None for entry in entries)
                    progress.add(acknowledged=acknowledged, asked=len(entries))
                progress.done += kills
        except (AssertionError, RemembrancerError) as error:
            print(f"BROKEN after {progress.done:,} kills (file {number}): {error!r}")
            return 1
    found = progress.figures
    print(
        f"{progress.done:,} kills, {found['asked']:,} writes, {found['acknowledged']:,} of them "
        f"acknowledged, 0 lost, in {progress.seconds:,.0f} s"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
