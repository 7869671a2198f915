"""The maintenance commands ``stats``, ``verify``, ``compact`` and ``retry``."""

from __future__ import annotations

from datetime import datetime

import click

from remembrancer.entrypoints.cli.invocation import (
    ACTOR,
    Invocation,
    as_of_option,
    command_options,
)

UNCHECKED = 3
"""The exit code if something could not be checked."""


@click.command()
@as_of_option("Count what the ledger held then: at a time, or at its version N.")
@command_options()
def stats(call: Invocation, as_of: datetime | str | None) -> None:
    """Count events, facts and messages.

    Of one owner, or of all; with the positions of the read models."""
    with call.existing() as memory:
        statistics = memory.stats(as_of=as_of, **call.scope)
    call.answer(statistics.to_dict(), lambda screen: screen.statistics(statistics))


@click.command()
@command_options(scope=False)
@click.option("--chain", is_flag=True, help="The log alone: hashes, versions, positions, heads.")
@click.option(
    "--jobs",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    metavar="N",
    help="Processes that share the ledgers (SQLite).",
)
def verify(call: Invocation, chain: bool, jobs: int) -> int:
    """Check every stored byte.

    Checks every hash of the log, and every column of every row against the log. Changes and
    repairs nothing. Exits with 0 if everything was checked and is right, with 1 if there is a
    fault, with 3 if there is none but something could not be checked.
    """
    with call.existing() as memory, call.screen().progress("verifying") as advance:
        verification = memory.verify(progress=advance, chain=chain, jobs=jobs)
    call.answer(verification.to_dict(), lambda screen: screen.verification(verification))
    if not verification.ok:
        return 1
    return 0 if verification.complete else UNCHECKED


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
