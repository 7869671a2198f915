"""The maintenance commands ``stats``, ``verify``, ``compact`` and ``retry``."""

from __future__ import annotations

import click

from remembrancer.entrypoints.cli.invocation import ACTOR, Invocation, command_options


@click.command()
@command_options()
def stats(call: Invocation) -> None:
    """Count events, facts and messages.

    Of one owner, or of all; with the positions of the read models."""
    with call.existing() as memory:
        statistics = memory.stats(**call.scope)
    call.answer(statistics.to_dict(), lambda screen: screen.statistics(statistics))


@click.command()
@command_options(scope=False)
def verify(call: Invocation) -> int:
    """Check the whole ledger.

    Checks every hash and version, and compares the facts, the graph and the index with the
    log. Exits with 1 if there is a problem.
    """
    with call.existing() as memory, call.screen().progress("verifying") as advance:
        verification = memory.verify(progress=advance)
    call.answer(verification.to_dict(), lambda screen: screen.verification(verification))
    return 0 if verification.ok else 1


@click.command()
@command_options(scope=False)
def compact(call: Invocation) -> None:
    """Speed up searches of very large ledgers.

    Builds missing HNSW graphs of the index on PostgreSQL, or pgvector. Reads and writes are
    not blocked. A worker does this automatically.
    """
    with call.existing() as memory:
        made = memory.compact()
    call.answer({"made": made}, lambda screen: screen.line(f"Built {made}."))


@click.command()
@command_options()
def retry(call: Invocation) -> int:
    """Retry extraction for messages that a model failed on.

    The messages are in the ledger; each is extracted from exactly once. Exits with 1 if some
    still wait.
    """
    with call.existing() as memory, call.screen().progress("retrying") as advance:
        retried = memory.retry(**call.scope, actor=ACTOR, progress=advance)
    call.answer(retried.to_dict(), lambda screen: screen.retried(retried))
    return 1 if retried.failures else 0
