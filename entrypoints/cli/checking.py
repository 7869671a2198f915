"""The commands that look after the ledger itself: ``stats``, ``verify``, ``compact``, ``retry``."""

from __future__ import annotations

import click

from remembrancer.entrypoints.cli.invocation import ACTOR, Invocation, command_options


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

    Every hash, every version, and that the facts, the graph and the index are what the
    log says. Exits with 1 if anything is wrong.
    """
    with call.existing() as memory, call.screen().progress("verifying") as advance:
        verification = memory.verify(progress=advance)
    call.answer(verification.to_dict(), lambda screen: screen.verification(verification))
    return 0 if verification.ok else 1


@click.command()
@command_options(scope=False)
def compact(call: Invocation) -> None:
    """Speed up searches of very large ledgers.

    Makes the graphs that the index on PostgreSQL, or pgvector, is due. Everybody goes on
    reading and writing meanwhile. A worker does it by itself.
    """
    with call.existing() as memory:
        made = memory.compact()
    call.answer({"made": made}, lambda screen: screen.line(f"Made {made}."))


@click.command()
@command_options()
def retry(call: Invocation) -> int:
    """Finish what a model left undone.

    Draws facts from messages that are in the ledger and wait for extraction, each exactly
    once. Exits with 1 if some still wait.
    """
    with call.existing() as memory, call.screen().progress("retrying") as advance:
        retried = memory.retry(**call.scope, actor=ACTOR, progress=advance)
    call.answer(retried.to_dict(), lambda screen: screen.retried(retried))
    return 1 if retried.failures else 0
