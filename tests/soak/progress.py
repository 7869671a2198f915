"""How far a long test is: shown while it runs, and kept, so that an interrupted run goes on.

Each kind of test is a module of this package with a ``main``. It takes ``--count`` and ``--seed``,
keeps its progress in ``build/soak-<kind>.json`` with at least ``done`` and ``count``, ends with one
closing line, and returns 1 if something was wrong, or ``SKIPPED`` if it can't be run here. ``sh dev
soak`` finds it by that.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from attrs import asdict, define, field

SKIPPED = 3
"""The exit code of a kind that can't be run here; its closing line says why."""

BUILD = Path(__file__).parents[2] / "build"


def state_of(kind: str) -> Path:
    """The file with the progress of a kind of test."""
    return BUILD / f"soak-{kind}.json"


def keep(path: Path, state: object) -> None:
    """Write a state as JSON, whole or not at all."""
    path.parent.mkdir(exist_ok=True)
    written = path.with_suffix(".new")
    written.write_text(json.dumps(state))
    written.replace(path)


@define(kw_only=True)
class Progress:
    """How far a run is, and what it has found so far (``figures``)."""

    kind: str
    seed: int
    count: int
    done: int = 0
    seconds: float = 0.0
    figures: dict[str, Any] = field(factory=dict)

    @classmethod
    def resumed(cls, kind: str, seed: int, count: int) -> Progress:
        """The progress of an interrupted run with the same seed and count, else none."""
        try:
            kept = cls(**json.loads(state_of(kind).read_text()))
        except (FileNotFoundError, TypeError):
            return cls(kind=kind, seed=seed, count=count)
        same = (kept.seed, kept.count) == (seed, count) and kept.done < count
        return kept if same else cls(kind=kind, seed=seed, count=count)

    @property
    def left(self) -> int:
        """How many are left to do."""
        return self.count - self.done

    @contextmanager
    def step(self) -> Iterator[None]:
        """Do some in the block, which adds to ``done``; then all of it is kept, or nothing."""
        begun = time.monotonic()
        yield
        self.seconds += time.monotonic() - begun
        keep(state_of(self.kind), asdict(self))
        end = "\n" if self.done >= self.count else ""
        print(f"\r{self.done:,} of {self.count:,}", end=end, file=sys.stderr, flush=True)

    def add(self, **figures: int) -> None:
        """Add to what was found."""
        for name, more in figures.items():
            self.figures[name] = self.figures.get(name, 0) + more


def progress_of(kind: str, description: str | None, *, what: str, count: int) -> Progress:
    """The progress that the command line asks for.

    Args:
        kind: the name of the module.
        description: its documentation.
        what: is counted.
        count: how many, unless ``--count`` says otherwise.
    """
    parser = argparse.ArgumentParser(
        prog=f"dev soak {kind}",
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--count", type=int, default=count, help=f"{what} (default {count:,})")
    parser.add_argument("--seed", type=int, default=0, help="decides about everything")
    options = parser.parse_args()
    return Progress.resumed(kind, options.seed, options.count)
