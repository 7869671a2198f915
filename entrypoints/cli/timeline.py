"""The command ``timeline``: print, or draw, what happened to the facts of a scope."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

import click

from remembrancer.entrypoints.cli.console import console
from remembrancer.entrypoints.cli.invocation import Invocation, command_options, parse_as_of
from remembrancer.entrypoints.cli.printable import one_line
from remembrancer.entrypoints.cli.writing import write_file

if TYPE_CHECKING:
    from remembrancer.types import Timeline


@click.command()
@click.option("--from", "start", metavar="TIME|@N", callback=parse_as_of, help="From this moment.")
@click.option("--to", "end", metavar="TIME|@N", callback=parse_as_of, help="Until this moment.")
@click.option("--html", metavar="FILE", help="Also write a page that opens offline.")
@click.option("--svg", metavar="FILE", help="Also draw it, as an SVG picture.")
@click.option(
    "--limit", type=int, default=10_000, show_default=True, help="Events to read, the latest ones."
)
@command_options()
def timeline(
    call: Invocation,
    start: datetime | str | None,
    end: datetime | str | None,
    html: str | None,
    svg: str | None,
    limit: int,
) -> None:
    """Show what happened, on both clocks.

    Every fact that was made or changed: when it holds in the world, and when it was recorded. The
    page has a line that is dragged to see what was believed then.

    \b
    remembrancer timeline --user ana --html timeline.html
    """
    scope = call.owned()
    with call.existing() as memory:
        read = memory.audit.timeline(start=start, end=end, limit=limit, **scope)
    if html is not None:
        from remembrancer.entrypoints.cli.timeline_page import draw_timeline_page

        owner = ", ".join(f"{key.removesuffix('_id')} {value}" for key, value in scope.items())
        write_file("--html", html, draw_timeline_page(read, owner))
    if svg is not None:
        from remembrancer.entrypoints.cli.timeline_picture import draw_timeline

        write_file("--svg", svg, draw_timeline(read))
    call.answer(read.to_dict(), lambda _screen: _print(read))


def _print(read: Timeline) -> None:
    """One line for each change, in the order of its recording."""
    from remembrancer.entrypoints.cli.rendering import instant, span

    out = console()
    changes = [
        (event.version, fact, event)
        for each in read.facts
        for fact, event in zip(each.versions, each.events, strict=True)
        if event is not None
    ]
    for version, fact, event in sorted(changes, key=lambda change: change[0]):
        parts = [
            instant(event.recorded_at),
            f"@{version}",
            event.type,
            f"by {event.actor}",
            fact.text,
            "" if fact.status.value == "retracted" else f"holds {span(fact.valid)}",
        ]
        out.print("  ".join(one_line(part) for part in parts if part), soft_wrap=True)
    kept = "" if read.complete else "; earlier events are left out (--limit)"
    facts, events = len(read.facts), len(read.events)
    out.print(f"{facts:,} facts, {events:,} events{kept}", style="bold", soft_wrap=True)
