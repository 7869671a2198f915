"""The command ``ingest``: remember a file of conversations, with progress, resumable."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import click

from remembrancer import InvalidRequest
from remembrancer.entrypoints.cli.invocation import Invocation, command_options


@click.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, allow_dash=True))
@click.option("--no-infer", is_flag=True, help="Store every message as one fact, word for word.")
@command_options()
def ingest(call: Invocation, file: str, no_infer: bool) -> int:
    """Remember the conversations in FILE; - reads standard input.

    FILE contains JSON lines, each a message or a conversation (an array of messages, or an
    object with messages or contents); a JSON array of messages or of conversations; or LoCoMo's
    JSON, where each sample becomes a user unless --user, --agent or --run is given. Messages may
    have any format of a chat API; timestamps without an offset are UTC.

    Different owners are processed concurrently, up to the setting `concurrency`; messages of
    one owner in order.

    Run an interrupted command again to continue; nothing is added twice. What can't be read of
    a message is counted as skipped; a line that is not JSON ends the run, and the batches before
    it stay. Exits with 1 if a model failed on some batches; finish them with `remembrancer retry`.
    """
    # Imported late: `remembrancer --help` needs neither.
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
