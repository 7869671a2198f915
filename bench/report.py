"""Benchmark reports: rows with ratios and bars, printed as a table and saved as JSON.

``paired`` and ``timed`` run the measurements that a benchmark passes to them.
"""

from __future__ import annotations

import json
import os
import platform
import sqlite3
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from attrs import asdict, frozen
from rich.console import Console
from rich.markup import escape
from rich.table import Table

RESULTS = Path(__file__).parent / "results"


@frozen(kw_only=True)
class Row:
    """One measured case.

    ``ours`` and ``theirs`` are in ``unit``; ``theirs`` is ``None`` if there is no counterpart.
    ``more_is_better``: whether a higher value is better. ``bar`` is the target: for the ratio if
    there is a counterpart (how many times better than theirs), else for ``ours``; ``None`` if the
    case has no target.
    """

    case: str
    unit: str
    ours: float
    theirs: float | None = None
    more_is_better: bool = True
    bar: float | None = None
    note: str = ""

    @property
    def ratio(self) -> float | None:
        """How many times better than theirs; above 1 is better, for every unit."""
        if self.theirs is None:
            return None
        return self.ours / self.theirs if self.more_is_better else self.theirs / self.ours

    @property
    def met(self) -> bool | None:
        """Whether the bar was reached; ``None`` if there is none."""
        if self.bar is None:
            return None
        if self.ratio is not None:
            return self.ratio >= self.bar
        return self.ours >= self.bar if self.more_is_better else self.ours <= self.bar


def paired(rounds: int, *subjects: Callable[[], float]) -> list[float]:
    """Return the median of each subject's measurements, run in turns (A B A B ...), so that a slow
    minute of the machine affects all subjects. The order is reversed every other round.
    """
    taken: list[list[float]] = [[] for _ in subjects]
    for number in range(rounds):
        order = range(len(subjects))
        for index in order if number % 2 == 0 else reversed(order):
            taken[index].append(subjects[index]())
    return [statistics.median(values) for values in taken]


def timed(calls: Iterable[Callable[[], object]]) -> list[float]:
    """Return the seconds of each call."""
    seconds = []
    for call in calls:
        start = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - start)
    return seconds


def quantile(values: Sequence[float], q: float) -> float:
    """Return the ``q`` quantile, ``q`` in [0, 1]: 0.5 is the median."""
    return sorted(values)[min(len(values) - 1, int(q * len(values)))]


def report(
    name: str,
    title: str,
    rows: Sequence[Row],
    *,
    subjects: tuple[str, str] = ("remembrancer", "theirs"),
    settings: Mapping[str, Any] | None = None,
) -> bool:
    """Print a table and save ``results/<name>.json``.

    Args:
        name: file name, without its extension.
        title: title of the table.
        rows: the measured cases.
        subjects: headings of the columns ``ours`` and ``theirs``.
        settings: parameters of the run, saved in the file.

    Returns:
        Whether every bar was reached.
    """
    compared = any(row.theirs is not None for row in rows)
    table = Table(title=title, title_justify="left")
    table.add_column("case", overflow="fold")
    for heading in (subjects[0], *((subjects[1], "ratio") if compared else ()), "unit", "bar"):
        table.add_column(heading, justify="right", no_wrap=True)
    for row in rows:
        theirs = "" if row.theirs is None else _number(row.theirs)
        ratio = "" if row.ratio is None else f"{row.ratio:.2f}x"
        table.add_row(
            f"{escape(row.case)}\n[dim]{escape(row.note)}[/dim]" if row.note else escape(row.case),
            _number(row.ours),
            *((theirs, ratio) if compared else ()),
            row.unit,
            _bar(row),
        )
    Console(width=None if sys.stdout.isatty() else 120).print(table)
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.json"
    path.write_text(
        json.dumps(
            {
                "name": name,
                "title": title,
                "subjects": subjects,
                "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
                "command": " ".join(["python", "-m", f"bench.{name}", *sys.argv[1:]]),
                "machine": _machine(),
                "settings": dict(settings or {}),
                "rows": [{**asdict(row), "ratio": row.ratio, "met": row.met} for row in rows],
            },
            indent=2,
        )
        + "\n"
    )
    print(f"saved {path}")
    return all(row.met is not False for row in rows)


def _bar(row: Row) -> str:
    if row.bar is None:
        return ""
    sign = ">=" if row.theirs is not None or row.more_is_better else "<="
    unit = "x" if row.theirs is not None else ""
    colour = "green" if row.met else "red"
    return f"[{colour}]{sign} {row.bar:g}{unit} {'met' if row.met else 'MISSED'}[/{colour}]"


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def _machine() -> dict[str, Any]:
    load = os.getloadavg() if hasattr(os, "getloadavg") else ()
    return {
        "system": platform.platform(),
        "processor": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        "load_average": [round(value, 2) for value in load],
    }
