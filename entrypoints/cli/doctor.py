"""The command ``doctor``: check the configured adapters, with advice for each problem."""

from __future__ import annotations

import click

from remembrancer.entrypoints.cli.invocation import Invocation, command_options
from remembrancer.entrypoints.cli.opening import DEFAULT_DATABASE


@click.command()
@click.option("--call", "ask", is_flag=True, help="Send a request to each model; may cost money.")
@command_options(scope=False)
def doctor(call: Invocation, ask: bool) -> int:
    """Check every adapter by itself.

    Shows which adapters are configured, whether they answer, their versions, how far they lag,
    and what to do about each problem. Writes nothing. Exits with 1 if there is a problem.
    """
    from remembrancer.doctor import examine

    report = examine(call.config, path=call.database, default_path=DEFAULT_DATABASE, call=ask)
    call.answer(report.to_dict(), lambda screen: screen.health(report))
    return 0 if report.ok else 1
