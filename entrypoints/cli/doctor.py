"""The command ``doctor``: what is configured, does it answer, and what to do where it doesn't."""

from __future__ import annotations

import click

from remembrancer.entrypoints.cli.invocation import Invocation, command_options


@click.command()
@click.option("--call", "ask", is_flag=True, help="Ask each model something small; it may cost.")
@command_options(scope=False)
def doctor(call: Invocation, ask: bool) -> int:
    """Look at every adapter on its own.

    Which are chosen, whether they answer, in what version, how far they are behind, and
    what to do about each problem. Nothing is written. Exits with 1 if anything needs
    attention.
    """
    examination = call.face.examine(call.database, call.config, call=ask)
    call.answer(examination.to_dict(), lambda screen: screen.examination(examination))
    return 0 if examination.ok else 1
