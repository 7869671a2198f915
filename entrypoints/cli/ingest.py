"""The command ``ingest``: a file of conversations becomes memory, with progress, resumably."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import click

from remembrancer.domain.errors import InvalidRequest
from remembrancer.entrypoints.cli.invocation import Invocation, command_options


@click.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, allow_dash=True))
@click.option("--no-infer", is_flag=True, help="Store every message as one fact, word for word.")
@command_options()
def ingest(call: Invocation, file: str, no_infer: bool) -> int:
    """Remember the conversations in FILE; - reads standard input.

    FILE holds JSON lines, {"role", "content", "name", "timestamp", "metadata"} of which only
    content must be there, or LoCoMo's JSON, whose samples become users of their own unless
    --user, --agent or --run is given. Times without an offset are UTC.

    Owners are worked on at the same time, as many as the setting `concurrency` allows, and what
    one of them said in its order.

    A run that was interrupted goes on where it was when it is run again; what is in the ledger
    already is not added twice. A bad line ends the run, and everything before its batch stays.
    Exits with 1 if a model made nothing of some batches; they wait for `remembrancer retry`.
    """
    # Imported late: `remembrancer --help` has no need of either.
    from remembrancer.entrypoints.cli.conversation_files import open_conversation
    from remembrancer.entrypoints.cli.ingestion import in_words, ingested

    with _opened(file) as (stream, size):
        conversation = open_conversation(stream, size)
        scope = call.scope if conversation.owned else call.owned()
        with call.opened() as memory, call.screen().progress("ingesting") as advance:
            done = ingested(memory, conversation, scope=scope, infer=not no_infer, advance=advance)
    call.answer(
        {"file": file, "format": conversation.format, **done.to_dict()},
        lambda screen: screen.line(in_words(done)),
    )
    return 1 if done.waiting else 0


@contextmanager
def _opened(file: str) -> Iterator[tuple[BinaryIO, int]]:
    if file == "-":
        yield sys.stdin.buffer, 0
        return
    path = Path(file)
    try:
        with path.open("rb") as stream:
            yield stream, path.stat().st_size
    except OSError as error:
        raise InvalidRequest("file", f"{file} can't be read: {error.strerror}") from error
