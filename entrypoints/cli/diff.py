"""The command ``diff``: what changed between two moments."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

import click

from remembrancer.entrypoints.cli.console import console
from remembrancer.entrypoints.cli.invocation import Invocation, command_options, parse_as_of
from remembrancer.entrypoints.cli.printable import one_line, printable
from remembrancer.entrypoints.cli.writing import write_file
from remembrancer.types import FactKind

if TYPE_CHECKING:
    from rich.text import Text

    from remembrancer.types import Difference, FactDifference

_MARKS = {"=": ("", "", ""), "-": ("[-", "-]", "red"), "+": ("{+", "+}", "green")}


@click.command()
@click.argument("before", metavar="T1", callback=parse_as_of)
@click.argument("after", metavar="[T2]", required=False, callback=parse_as_of)
@click.option("--stat", is_flag=True, help="Count the changes alone.")
@click.option(
    "--kind", type=click.Choice([kind.value for kind in FactKind]), help="Facts of one kind alone."
)
@click.option("--html", metavar="FILE", help="Also write a page that opens offline.")
@click.option("--exit-code", is_flag=True, help="Exit with 1 if anything differs.")
@command_options()
def diff(
    call: Invocation,
    before: datetime | str,
    after: datetime | str | None,
    stat: bool,
    kind: str | None,
    html: str | None,
    exit_code: bool,
) -> int:
    """Show what changed between two moments.

    T1 and T2 are times, or versions of the ledger as @N; T2 is now by default. Words that went are
    shown as [-so-], words that came as {+so+}.

    \b
    remembrancer diff @12 --user ana
    remembrancer diff 2026-05-01 2026-05-03T12:00Z --user ana --html diff.html
    """
    scope = call.owned()
    with call.existing() as memory:
        difference = memory.audit.diff(before, after, kind=kind, **scope)
    if html is not None:
        from remembrancer.entrypoints.cli.difference_page import draw_difference

        write_file("--html", html, draw_difference(difference))
    document = difference.to_dict()
    if stat:
        del document["changes"]
    call.answer(document, lambda _screen: _draw(difference, stat=stat))
    return 1 if exit_code and difference else 0


def _draw(difference: Difference, *, stat: bool) -> None:
    out = console()
    totals = ", ".join(f"{count:,} {kind.value}" for kind, count in difference.totals.items())
    if not stat:
        for change in difference:
            out.print(_line(change), soft_wrap=True)
    ends = f"@{difference.before.version} to @{difference.after.version}"
    out.print(f"{ends}: {totals or 'nothing changed'}", style="bold", soft_wrap=True)


def _line(change: FactDifference) -> Text:
    from rich.text import Text

    from remembrancer.entrypoints.cli.rendering import instant

    cause = change.cause
    line = Text(f"{change.change.value:11} ", style="bold")
    line.append(f"{change.fact_id}  ", style="not bold")
    for op, part in change.words:
        opening, closing, colour = _MARKS[op]
        shown = printable(part.replace("\n", " "))
        line.append(f"{opening}{shown}{closing}", style=f"not bold {colour}".strip())
    why = f": {cause.reason}" if cause.reason else ""
    about = f"({cause.type} by {cause.actor}, {instant(cause.recorded_at)}{why})"
    return line.append(f"  {one_line(about)}", style="not bold dim")
