"""The command ``demo``: remember a bundled conversation, and ask it questions.

It uses the public API only. ``tour.py`` runs it, ``tour_pages.py`` draws it.
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
    """Remember a sample conversation and ask questions about it.

    Shows the answers, the history of a fact, and searches in the past. Works offline, without a
    model or a key, in a temporary database; --db keeps it.
    """
    # Imported late: `remembrancer --help` needs neither.
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
