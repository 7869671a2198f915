"""Draw the pages of the demo with rich, for a terminal of 80 columns or more."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from io import StringIO
from itertools import groupby

from rich.box import ROUNDED
from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.panel import Panel
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from remembrancer.entrypoints.cli.console import console
from remembrancer.entrypoints.cli.ingestion import Ingested
from remembrancer.entrypoints.cli.printable import one_line
from remembrancer.entrypoints.cli.tour import THEN, Answer, Tour
from remembrancer.types import Decision, Fact, Interval

WIDEST = 100
"""Columns; longer lines are hard to read."""

PICTURE = 80
"""Columns of the picture."""

SAID = "italic"
FAINT = "dim"
NAME = "bold cyan"


def draw_tour(tour: Tour, *, kept: str | None) -> None:
    """Print all pages of a tour.

    Args:
        tour: the results.
        kept: path of the database, ``None`` if it is temporary.
    """
    out = console()
    out.width = min(out.width, WIDEST)
    out.print(*_pages(tour, kept))


def tour_picture(tour: Tour, *, kept: str | None) -> str:
    """Draw all pages of a tour as an SVG of a terminal, without scripts or external references.

    Args:
        tour: the results.
        kept: path of the database, ``None`` if it is temporary.
    """
    out = Console(
        file=StringIO(),
        width=PICTURE,
        record=True,
        force_terminal=True,
        color_system="standard",
        no_color=False,
        legacy_windows=False,
        highlight=False,
        markup=False,
        emoji=False,
    )
    out.print(*_pages(tour, kept))
    drawn = out.export_svg(title="remembrancer demo", unique_id="demo")
    # rich names a font on a server that a page may not load, and that nobody asked for.
    return re.sub(r"\s*@font-face \{.*?\}", "", drawn, flags=re.DOTALL)


def _pages(tour: Tour, kept: str | None) -> Iterator[RenderableType]:
    yield _opening(tour)
    yield _page("Ask it", _answers(tour))
    yield _page("Look into a belief", _versions(tour))
    yield _page("Travel in time, on either of two clocks", _clocks(tour))
    yield _page("Take back a mistake", _correction(tour))
    yield _page("Trust it", _verification(tour))
    yield _page("Try next", _next_steps(kept))


def _page(title: str, body: RenderableType) -> RenderableType:
    rule = Rule(Text(title, style=NAME), align="left", style=FAINT)
    return Group("", rule, Padding(body, (0, 0, 0, 2)))


def _opening(tour: Tour) -> RenderableType:
    text = Text.assemble(
        "Maya and Jonas, two friends, talk six times in 2024. Maya moves house, changes jobs "
        "and gives up the cello. See what a memory makes of it, by rules alone: with no model, "
        "no key and no network.\n",
        (_counts(tour.read), FAINT),
    )
    return Panel(text, title=Text("remembrancer", style=NAME), box=ROUNDED, title_align="left")


def _counts(read: Ingested) -> str:
    if not read.messages:
        return "It was read before, so nothing was added: what was said is remembered once."
    replaced = read.verdicts[Decision.SUPERSEDE]
    facts = read.verdicts[Decision.ADD] + replaced
    return (
        f"{read.messages} messages became {facts} facts, {replaced} of them in place of an older "
        f"one; {read.skipped} questions and bits of small talk were left out."
    )


def _answers(tour: Tour) -> RenderableType:
    grid = Table.grid(padding=(0, 2, 0, 0), expand=True)
    grid.add_column(style="green", no_wrap=True)
    grid.add_column(ratio=1)
    grid.add_column(no_wrap=True)
    for answer in tour.answers:
        fact = answer.best
        question = Text.assemble((answer.query, "bold"))
        if fact is None:
            grid.add_row("", question.append("\nnothing found", style=FAINT), "")
            continue
        source = Text(f"{fact.speaker}, {_day(fact.occurred_at)}", style=FAINT)
        start = fact.valid.start
        if start is not None and start.date() != fact.occurred_at.date():
            source.append(f"\nthat is {_day(start)}", style="not dim yellow")
        score = f"{answer.result[0].score:.2f}"
        grid.add_row(score, question.append("\n").append_text(_quoted(fact)), source)
    return grid


def _versions(tour: Tour) -> RenderableType:
    pages: list[RenderableType] = [
        "Maya moved. Nothing was overwritten: each version keeps both of its intervals."
    ]
    for _, versions in groupby(tour.versions, key=lambda version: version.fact_id):
        of_one = list(versions)
        grid = Table.grid(padding=(0, 2, 0, 0))
        grid.add_column(width=28)
        grid.add_column(width=33)
        grid.add_column(style=FAINT)
        for version in of_one:
            grid.add_row(
                f"true {_span(version.valid, _day)}",
                f"known {_span(version.recorded, _instant)}",
                version.status.value,
            )
        pages += [_quoted(of_one[-1]), Padding(grid, (0, 0, 0, 2))]
    return Group(*pages)


def _clocks(tour: Tour) -> RenderableType:
    grid = _labelled()
    _add_answers(
        grid,
        ("now", tour.home_now),
        (f"valid_at {_day(THEN)}", tour.home_valid_at),
        (f"as_of {_instant(tour.as_of)}", tour.home_as_of),
    )
    return Group(
        Text(
            "valid_at asks what was true in the world then; as_of asks what the ledger believed "
            "then, here just before it learned of the move."
        ),
        Text(tour.home_now.query, style="bold"),
        grid,
    )


def _correction(tour: Tour) -> RenderableType:
    correction = tour.correction
    undone = correction.undone
    grid = _labelled()
    # What became of it follows below.
    said, before = correction.why.answer[:2]
    grid.add_row("why", Text(f"{one_line(said)}\n{one_line(before)}"))
    grid.add_row("undo", f"{len(undone.withdrawn)} fact withdrawn, {len(undone.restored)} restored")
    _add_answers(
        grid,
        ("now", correction.now),
        (f"as_of {_instant(correction.held)}", correction.then),
    )
    return Group(
        Text(
            "A message of another chat got in. why says where the belief came from, undo takes "
            "back what the message did, as_of still shows what it answered then."
        ),
        Text(correction.now.query, style="bold"),
        grid,
    )


def _labelled() -> Table:
    """A grid for rows of a label and a text."""
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(style="yellow", no_wrap=True)
    grid.add_column()
    return grid


def _add_answers(grid: Table, *rows: tuple[str, Answer]) -> None:
    """Add a row for each moment, with the best fact of its answer."""
    for moment, answer in rows:
        fact = answer.best
        grid.add_row(moment, Text("nothing") if fact is None else _quoted(fact))


def _verification(tour: Tour) -> RenderableType:
    found = tour.verification
    if not found.ok:
        return Text("\n".join(one_line(str(fault)) for fault in found.faults), style="bold red")
    return Text.assemble(
        ("verified  ", "bold green"),
        f"{found.checked['events']} events in one hash chain; {found.checked['facts']} facts, "
        "each one exactly what the events add up to.",
    )


def _next_steps(kept: str | None) -> RenderableType:
    grid = Table.grid(padding=(0, 3, 0, 0))
    grid.add_column(style="green", no_wrap=kept is None)
    grid.add_column(style=FAINT)
    if kept is None:
        grid.add_row("remembrancer demo --db demo.db", "keep this memory")
        grid.add_row('remembrancer add "I moved to Oslo." --user me', "begin one of your own")
        grid.add_row('remembrancer search "Where do I live?" --user me', "and ask it")
    else:
        option = f"--db {shlex.quote(kept)}"
        grid.add_row(f"remembrancer list --user demo {option}", "see all that it believes")
        grid.add_row(f'remembrancer search "Maya and the cello" --user demo {option}', "ask it")
        grid.add_row(f"remembrancer verify {option}", "check it")
    return grid


def _quoted(fact: Fact) -> Text:
    return Text(f"“{one_line(fact.text)}”", style=SAID)


def _span(interval: Interval, show: Callable[[datetime], str]) -> str:
    start = "…" if interval.start is None else show(interval.start)
    return f"since {start}" if interval.end is None else f"{start} → {show(interval.end)}"


def _day(moment: datetime) -> str:
    moment = moment.astimezone(UTC)
    return f"{moment.day} {moment:%b %Y}"


def _instant(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="milliseconds")[11:23]
