"""A progress bar for read models that are rebuilt while a database is opened."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

from remembrancer.entrypoints.cli.console import console

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID


def rebuild_progress() -> Callable[[str, int, int], None]:
    """A callback that draws a progress bar on standard error; silent without a terminal."""
    shown: dict[str, tuple[Progress, TaskID]] = {}

    def show(what: str, done: int, total: int) -> None:
        from rich.progress import Progress

        if what not in shown:
            bar = Progress(
                console=console(stderr=True), transient=True, disable=not sys.stderr.isatty()
            )
            bar.start()
            shown[what] = (bar, bar.add_task(what, total=total))
        bar, task = shown[what]
        bar.update(task, completed=done, total=total)
        if done >= total:
            bar.stop()
            del shown[what]

    return show
