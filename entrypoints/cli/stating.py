"""The commands ``state``, ``end`` and ``correct``."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import click

from remembrancer.entrypoints.cli.changing import answer_with_receipt, metadata_option
from remembrancer.entrypoints.cli.invocation import (
    ACTOR,
    Decorator,
    Invocation,
    command_options,
    in_utc,
    time_option,
)

OPEN = "-"
"""In place of a time: there is no start, or no end."""

_reason = click.option("--reason", default="", help="Kept in the ledger.")


def _open_time_option(flag: str, name: str, what: str) -> Decorator:
    return click.option(flag, name, metavar=f"TIME|{OPEN}", callback=_open_time, help=what)


def _open_time(
    _context: click.Context, parameter: click.Parameter, value: str | None
) -> datetime | str | None:
    if value is None or value == OPEN:
        return value
    try:
        return in_utc(value)
    except ValueError as error:
        raise click.BadParameter(
            f"{value!r} is not a date or time; write 2024-03-01, 2024-03-01T18:30+01:00 or {OPEN}",
            param=parameter,
        ) from error


@click.command()
@click.argument("subject")
@click.argument("predicate")
@click.argument("value")
@time_option("--from", "When it begins to hold; default: now.", name="valid_from")
@time_option("--to", "When it ceases to hold; default: never.", name="valid_to")
@click.option("--several", is_flag=True, help="The subject may have several values of this.")
@click.option("--text", help="The fact in words; default: SUBJECT PREDICATE VALUE.")
@metadata_option
@_reason
@command_options()
def state(
    call: Invocation, subject: str, predicate: str, value: str, several: bool, **options: Any
) -> None:
    """State a fact with the time in which it holds.

    It succeeds what holds, or interrupts it if it has an end. "user" is who says "I".

    \b
    remembrancer state user "lives in" Nice --from 2024-03-01 --to 2024-04-01 --user ana
    """
    scope = call.owned()
    with call.opened() as memory:
        receipt = memory.state(
            subject, predicate, value, **scope, single=not several, actor=ACTOR, **options
        )
    answer_with_receipt(call, receipt, "")


@click.command()
@click.argument("fact_id", metavar="ID")
@time_option("--at", "When it ceased to hold, or will.", required=True)
@_reason
@command_options()
def end(call: Invocation, fact_id: str, at: datetime, reason: str) -> None:
    """Say that a fact was true until a time.

    Nothing follows it. It is still found for the time before."""
    with call.existing() as memory:
        receipt = memory.end(fact_id, at=at, reason=reason, **call.scope, actor=ACTOR)
    answer_with_receipt(call, receipt, "")


@click.command()
@click.argument("fact_id", metavar="ID")
@click.option("--text", help="The right text.")
@click.option("--value", help="The right value of a stated fact.")
@_open_time_option("--from", "valid_from", "When it began to hold; - if nobody knows.")
@_open_time_option("--to", "valid_to", "When it ceased to hold; - if it has not.")
@_reason
@command_options()
def correct(
    call: Invocation,
    fact_id: str,
    valid_from: datetime | str | None,
    valid_to: datetime | str | None,
    **options: Any,
) -> None:
    """Correct what was wrong about a fact.

    Ended and withdrawn facts can be corrected, too. What is not given stays as it was; the
    versions before stay in the history."""
    times: dict[str, Any] = {
        name: None if given == OPEN else given
        for name, given in (("valid_from", valid_from), ("valid_to", valid_to))
        if given is not None
    }
    with call.existing() as memory:
        receipt = memory.correct(fact_id, **times, **options, **call.scope, actor=ACTOR)
    answer_with_receipt(call, receipt, "The fact is like that already; nothing was changed.")
