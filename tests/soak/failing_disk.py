"""``sh dev soak failing_disk``: calls on the files of a memory fail, one after another.

    sh dev soak failing_disk                 # 1,000 runs, each with one fault
    sh dev soak failing_disk --count 20000   # every call; resumes an interrupted run

What is done is kept in ``build/soak-failing_disk.json``; another ``--seed`` or ``--count`` begins
anew.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from tests.crash.failing_disk import FAULTS
from tests.crash.power_cuts import folder
from tests.crash.syscalls import Unavailable, compiled, environment
from tests.soak.progress import SKIPPED, Progress, progress_of

A_PROCESS = 25
"""Runs of one process, at most."""


class Broken(Exception):
    """An error was not typed, or something was lost; the message is the process's own."""


def do_round(library: Path, progress: Progress) -> None:
    """Let calls fail in one process.

    Raises:
        Broken: the process failed.
    """
    # Not by ``done``: of some kinds there are fewer calls than were asked for.
    number = progress.figures.get("rounds", 0)
    fault = list(FAULTS)[number % len(FAULTS)]
    asked = min(A_PROCESS, progress.left)
    command = [sys.executable, "-m", "tests.crash.failing_disk"]
    with progress.step(), folder() as made:
        done = subprocess.run(
            [*command, str(made), fault, str(asked), str(progress.seed + number // len(FAULTS))],
            env=environment(library, made),
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise Broken(done.stderr)
        report = json.loads(done.stdout)
        progress.add(rounds=1, errors=sum(report["errors"].values()))
        progress.done += report["runs"]


def main() -> int:
    """Run it; the exit code is 1 if something was lost."""
    progress = progress_of("failing_disk", __doc__, what="runs with a fault", count=1_000)
    with folder() as made:
        try:
            library = compiled(made)
        except Unavailable as reason:
            print(f"skipped: {reason}")
            return SKIPPED
        while progress.left:
            try:
                do_round(library, progress)
            except Broken as error:
                print(f"BROKEN after {progress.done:,} runs:\n{error}")
                return 1
    print(
        f"{progress.done:,} runs with a failing disk, {progress.figures['errors']:,} typed errors, "
        f"0 others, 0 acknowledged writes lost, in {progress.seconds:,.0f} s"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
