"""The commands that look at the ledger itself: ``stats`` and ``verify``."""

from __future__ import annotations

import click

from memledger.adapters.cli.invocation import Invocation, command_options


@click.command()
@command_options()
def stats(call: Invocation) -> None:
    """Count what there is.

    Of one owner, or of all; and how far the read models have come."""
    with call.existing() as memory:
        statistics = memory.stats(**call.scope)
    call.answer(statistics.to_dict(), lambda screen: screen.statistics(statistics))


@click.command()
@command_options(scope=False)
def verify(call: Invocation) -> int:
    """Check the whole ledger.

    Every hash, every version, and that the facts are what the log says. Exits with 1
    if anything is wrong.
    """
    with call.existing() as memory, call.screen().progress("verifying") as advance:
        verification = memory.verify(progress=advance)
    call.answer(verification.to_dict(), lambda screen: screen.verification(verification))
    return 0 if verification.ok else 1
