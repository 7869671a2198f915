"""The command ``undo``."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from remembrancer.entrypoints.cli.invocation import ACTOR, Invocation, command_options

if TYPE_CHECKING:
    from remembrancer.entrypoints.cli.rendering import Screen
    from remembrancer.types import Undone


@click.command()
@click.argument("request")
@click.option("--cascade", is_flag=True, help="Also undo what changed the same facts since.")
@click.option("--dry-run", is_flag=True, help="Only say what would be done.")
@click.option("--reason", default="", help="Kept in the ledger.")
@click.option("--yes", is_flag=True, help="Don't ask for confirmation.")
@command_options()
def undo(
    call: Invocation, request: str, cascade: bool, dry_run: bool, reason: str, yes: bool
) -> int:
    """Take back what a request did.

    REQUEST is its correlation id, as in receipts, in why and in timeline. Its facts and relations
    are what they were before, and what it added is withdrawn. Exits with 1 if later requests
    changed the same facts, and lists them. An undo can be undone.

    \b
    remembrancer undo 01a208d1afd67456852a68455f7516f3 --dry-run
    """
    with call.existing() as memory:
        planned = memory.audit.undo(request, cascade=cascade, dry_run=True, **call.scope)
        changes = bool(planned.restored or planned.withdrawn)
        if planned.blocked_by or dry_run:
            call.answer(planned.to_dict(), lambda screen: _say(screen, planned))
            return 1 if planned.blocked_by else 0
        if changes and not yes and not _agreed(call, planned):
            click.echo("Nothing was undone.", err=True)
            return 1
        done = memory.audit.undo(request, cascade=cascade, reason=reason, actor=ACTOR, **call.scope)
    call.answer(done.to_dict(), lambda screen: _say(screen, done))
    return 0


def _agreed(call: Invocation, planned: Undone) -> bool:
    if not sys.stdin.isatty():
        raise click.UsageError("undo needs --yes if there is no terminal to confirm on.")
    _say(call.screen(), planned)
    return click.confirm("Undo it?", err=True)


def _say(screen: Screen, undone: Undone) -> None:
    if undone.blocked_by:
        screen.line("Later requests changed the same facts; undo them first, or pass --cascade:")
        for each in undone.blocked_by:
            screen.line(
                f"request {each.correlation_id}  fact {each.fact_id}  version {each.version}"
            )
        return
    if undone.receipt is not None and undone.receipt.replayed:
        screen.line(f"It was undone before, by request {undone.receipt.correlation_id}.")
        return
    if not (undone.restored or undone.withdrawn):
        screen.line("It changed no fact; there is nothing to undo.")
        return
    done = "" if undone.receipt is not None else "would be "
    for restored in undone.restored:
        screen.line(f"{done}restored   {restored.fact_id}  to version {restored.to_version}")
    for fact_id in undone.withdrawn:
        screen.line(f"{done}withdrawn  {fact_id}")
    if undone.receipt is not None:
        screen.line(f"undone by request {undone.receipt.correlation_id}")
