"""The command ``demo``: a conversation that ships with the package becomes a memory that answers.

It uses nothing but what every caller can use; ``tour.py`` is the walk, ``tour_pages.py`` the look.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from remembrancer.entrypoints.cli.invocation import Invocation, command_options


@click.command()
@command_options(scope=False, temporary=True)
def demo(call: Invocation) -> None:
    """Watch a conversation become a memory.

    Two friends talk; the memory answers questions, shows what became of a belief, and looks into
    its own past. Works offline, with no model and no key, in a temporary
    database; with --db it is kept.
    """
    # Imported late: `remembrancer --help` has no need of either.
    from remembrancer.entrypoints.cli.tour import take_tour
    from remembrancer.entrypoints.cli.tour_pages import draw_tour

    with (
        _database(call) as path,
        call.opened(path) as memory,
        call.screen().progress("reading") as advance,
    ):
        tour = take_tour(memory, advance)
    call.answer(tour.to_dict(), lambda _screen: draw_tour(tour, kept=call.database))


@contextmanager
def _database(call: Invocation) -> Iterator[str]:
    if call.database is not None:
        yield call.database
        return
    with tempfile.TemporaryDirectory(prefix="remembrancer-demo-") as folder:
        yield str(Path(folder) / "demo.db")
