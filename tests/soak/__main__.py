"""``sh dev soak``: all kinds of long tests in turns, for as long as it is given.

    sh dev soak --minutes 30    # resumes what an earlier call began; Ctrl-C stops it, too
    sh dev soak                 # until it is stopped

Every module of this package with a ``main`` is a kind (see ``progress``). Its process is
interrupted when its turn is over, and goes on in its next turn. A kind that is through begins again
with the next seed. ``build/soak.json`` keeps what is done, and ``build/soak-logs`` what failing
runs printed; another ``--seed`` begins anew. The exit code is 1 if any run failed.
"""

from __future__ import annotations

import argparse
import importlib
import json
import pkgutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from attrs import asdict, define, field
from rich.console import Console
from rich.live import Live
from rich.table import Table

from tests.helpers.interrupts import let_started_processes_be_interrupted
from tests.soak.progress import BUILD, SKIPPED, keep, state_of

STATE = BUILD / "soak.json"
LOGS = BUILD / "soak-logs"
TURN = 120.0
"""Seconds, after which the next kind has its turn as soon as a step is done."""

GLANCE = 0.5
"""Seconds between two looks at a running kind."""

PATIENCE = 60.0
"""Seconds that an interrupted kind has to clean up."""


@define(kw_only=True)
class Record:
    """What is known of a kind of test.

    Args:
        seed: of the run that is under way.
        passed: the number of runs that found nothing.
        failed: the seeds of the runs that did; a failing seed shows the same again.
        seconds: how long it had its turn.
        last: the closing line of the last run.
        skipped: whether it can't be run here.
    """

    seed: int
    passed: int = 0
    failed: list[int] = field(factory=list)
    seconds: float = 0.0
    last: str = ""
    skipped: bool = False

    def note(self, code: int, log: Path) -> None:
        """Note how a process ended: by its interrupt, or with the result of a run."""
        if code in (-signal.SIGINT, -signal.SIGKILL):
            return
        self.last = (log.read_text(errors="replace").strip().splitlines() or [""])[-1]
        if code == SKIPPED:
            self.skipped = True
            return
        if code:
            self.failed.append(self.seed)
        else:
            self.passed += 1
            log.unlink()
        self.seed += 1


@define(kw_only=True)
class Soak:
    """All kinds, and the first seed."""

    seed: int
    kinds: dict[str, Record] = field(factory=dict)

    @classmethod
    def resumed(cls, seed: int) -> Soak:
        """What earlier calls with the same first seed did, and the kinds that are there now."""
        soak = cls(seed=seed)
        with suppress(FileNotFoundError):
            kept = json.loads(STATE.read_text())
            if kept["seed"] == seed:
                # What could not be run then may be able to now.
                soak.kinds = {
                    name: Record(**{**each, "skipped": False})
                    for name, each in kept["kinds"].items()
                }
        soak.kinds = {name: soak.kinds.get(name, Record(seed=seed)) for name in kinds()}
        return soak

    @property
    def failed(self) -> bool:
        """Whether any run found something."""
        return any(record.failed for record in self.kinds.values())

    def next(self) -> str | None:
        """The kind that had the least time; ``None`` if none can be run here."""
        able = [name for name, record in self.kinds.items() if not record.skipped]
        return min(able, key=lambda name: self.kinds[name].seconds, default=None)

    def table(self, running: str = "") -> Table:
        """The state of all kinds."""
        table = Table("kind", "runs", "now", "minutes", "failed seeds", "last run")
        for name, record in self.kinds.items():
            now = progress_of(name, record.seed)
            table.add_row(
                f"> {name}" if name == running else name,
                str(record.passed),
                f"{now['done']:,} of {now['count']:,}" if now else "",
                f"{record.seconds / 60:.1f}",
                ", ".join(map(str, record.failed)) or "none",
                record.last,
            )
        return table


def kinds() -> list[str]:
    """The modules of this package that are kinds of tests."""
    found = [each.name for each in pkgutil.iter_modules([str(Path(__file__).parent)])]
    names = [name for name in found if not name.startswith(("_", "test_"))]
    return [
        name for name in names if hasattr(importlib.import_module(f"tests.soak.{name}"), "main")
    ]


def progress_of(kind: str, seed: int) -> dict[str, Any]:
    """The progress of the run of a kind that is under way; empty if there is none."""
    with suppress(FileNotFoundError):
        kept: dict[str, Any] = json.loads(state_of(kind).read_text())
        if kept.get("seed") == seed and kept["done"] < kept["count"]:
            return kept
    return {}


def done_of(kind: str, seed: int) -> int:
    """How many steps of the run of a kind are done."""
    done: int = progress_of(kind, seed).get("done", 0)
    return done


def start(kind: str, seed: int, log: Path) -> subprocess.Popen[bytes]:
    """A process that runs a kind."""
    log.parent.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", f"tests.soak.{kind}", "--seed", str(seed)]
    with log.open("wb") as output:
        # A session of its own: Ctrl-C is for this process alone, which passes it on.
        return subprocess.Popen(
            command, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
        )


def stop(process: subprocess.Popen[bytes]) -> None:
    """Interrupt a process if it still runs, so that it cleans up."""
    if process.poll() is None:
        process.send_signal(signal.SIGINT)
    try:
        process.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def take_turn(soak: Soak, kind: str, deadline: float, live: Live) -> None:
    """Let a kind go on, until its turn or its run is over."""
    record, begun = soak.kinds[kind], time.monotonic()
    log = LOGS / f"{kind}-{record.seed}.log"
    before = done_of(kind, record.seed)
    process = start(kind, record.seed, log)
    try:
        while process.poll() is None and time.monotonic() < deadline:
            live.update(soak.table(kind))
            stepped = done_of(kind, record.seed) > before
            if stepped and time.monotonic() > begun + TURN:
                break
            time.sleep(GLANCE)
    finally:
        stop(process)
        record.seconds += time.monotonic() - begun
        record.note(process.returncode, log)
        keep(STATE, asdict(soak))


def main() -> int:
    """Run all kinds in turns, and print a summary."""
    parser = argparse.ArgumentParser(
        prog="dev soak",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--minutes", type=float, default=float("inf"), help="when to stop")
    parser.add_argument("--seed", type=int, default=0, help="the first seed of every kind")
    options = parser.parse_args()
    let_started_processes_be_interrupted()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    soak, console = Soak.resumed(options.seed), Console()
    deadline = time.monotonic() + options.minutes * 60
    with (
        suppress(KeyboardInterrupt),
        Live(console=Console(stderr=True), transient=True, refresh_per_second=1) as live,
    ):
        while time.monotonic() < deadline and (kind := soak.next()) is not None:
            take_turn(soak, kind, deadline, live)
    console.print(soak.table())
    return 1 if soak.failed else 0


if __name__ == "__main__":
    sys.exit(main())
