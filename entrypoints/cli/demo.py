"""The command ``demo``: remember a bundled conversation, ask it questions, take a mistake back.

It uses the public API only. ``tour.py`` runs it, ``tour_pages.py`` draws it.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from remembrancer.entrypoints.cli.invocation import Invocation, command_options
from remembrancer.entrypoints.cli.writing import write_file


@click.command()
@click.option("--svg", metavar="FILE", help="Also draw the output, as an SVG picture.")
@command_options(scope=False, temporary=True)
def demo(call: Invocation, svg: str | None) -> None:
    """Remember a sample conversation and ask questions about it.

    Shows the answers, the history of a fact, searches in the past, and how a wrong belief is
    explained and taken back. Works offline, without a model or a key, in a temporary database;
    --db keeps it.
    """
    # Imported late: `remembrancer --help` needs neither.
    from remembrancer.entrypoints.cli.tour import take_tour
    from remembrancer.entrypoints.cli.tour_pages import draw_tour, tour_picture

    with (
        _database(call) as path,
        call.opened(path) as memory,
        call.screen().progress("reading") as advance,
    ):
        tour = take_tour(memory, advance)
    if svg is not None:
        write_file("--svg", svg, tour_picture(tour, kept=call.database))
    call.answer(tour.to_dict(), lambda _screen: draw_tour(tour, kept=call.database))


@contextmanager
def _database(call: Invocation) -> Iterator[str]:
    if call.database is not None:
        yield call.database
        return
    with tempfile.TemporaryDirectory(prefix="remembrancer-demo-") as folder:
        yield str(Path(folder) / "demo.db")
