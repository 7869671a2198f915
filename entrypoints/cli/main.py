"""The group of all commands, error output and exit codes.

Exit codes: 0 done, 1 refused or not found, 2 wrong usage, 130 interrupted.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

import click

from remembrancer import RemembrancerError, __version__
from remembrancer.entrypoints.cli.changing import add, delete, update
from remembrancer.entrypoints.cli.checking import compact, retry, stats, verify
from remembrancer.entrypoints.cli.console import escape_unencodable, is_styled
from remembrancer.entrypoints.cli.demo import demo
from remembrancer.entrypoints.cli.diff import diff
from remembrancer.entrypoints.cli.doctor import doctor
from remembrancer.entrypoints.cli.graph import graph
from remembrancer.entrypoints.cli.ingest import ingest
from remembrancer.entrypoints.cli.invocation import print_json, shared_options
from remembrancer.entrypoints.cli.misplaced_options import where_it_belongs
from remembrancer.entrypoints.cli.printable import one_line
from remembrancer.entrypoints.cli.projections import dead, rebuild, worker
from remembrancer.entrypoints.cli.reading import (
    context,
    get,
    history,
    list_facts,
    profile,
    search,
)
from remembrancer.entrypoints.cli.stating import correct, end, state
from remembrancer.entrypoints.cli.timeline import timeline
from remembrancer.entrypoints.cli.undo import undo
from remembrancer.entrypoints.cli.why import why, why_not

INTERRUPTED = 130


class _InOrder(click.Group):
    """Lists the commands in the order of their registration."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)


@click.group(
    cls=_InOrder,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="The options above may also stand after the command, where they win; a command takes "
    "those that its --help lists. Times without an offset are UTC. To start: remembrancer demo",
)
@click.version_option(__version__, message="%(prog)s %(version)s")
@shared_options
def command_line() -> None:
    """A memory layer for LLM agents, stored as a ledger: nothing is overwritten.

    Extracts facts from conversations and finds them by meaning and by keyword. Facts that change
    are superseded, never lost: query what was true, or what was believed, at any time.
    """


for _command in (
    demo, add, ingest, state, search, context, profile, list_facts, get, history, graph, diff,
    timeline, why, why_not, undo, update, correct, end, delete, retry, stats, verify, worker,
    rebuild, compact, dead, doctor,
):  # fmt: skip
    command_line.add_command(_command)


def run(arguments: Sequence[str]) -> int:
    """Run one command.

    Args:
        arguments: the words after ``remembrancer``.

    Returns:
        The exit code.
    """
    as_json = "--json" in arguments
    escape_unencodable()
    try:
        code = command_line.main(
            arguments or ["--help"], prog_name="remembrancer", standalone_mode=False
        )
        # Flush here, where BrokenPipeError can be caught.
        sys.stdout.flush()
    except RemembrancerError as error:
        path = getattr(error, "path", None)
        _complain(type(error).__name__, str(error), path, as_json=as_json)
        return 1
    except click.ClickException as error:
        parameter = getattr(error, "param", None)
        if not as_json and isinstance(error, click.UsageError) and error.ctx is not None:
            click.echo(error.ctx.get_usage(), err=True)
        path = parameter.name if parameter is not None else None
        message = error.format_message()
        if isinstance(error, click.NoSuchOption):
            message = where_it_belongs(error, command_line, arguments) or message
        _complain("UsageError", message, path, as_json=as_json)
        return error.exit_code
    except click.Abort:
        return INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return code or 0


def _complain(kind: str, message: str, path: str | None, *, as_json: bool) -> None:
    if as_json:
        problem = {"type": kind, "message": message, "path": path}
        print_json({"error": problem}, err=True)
    else:
        label = click.style("error:", fg="red", bold=True) if is_styled() else "error:"
        click.echo(f"{label} {one_line(message)}", err=True)


def main() -> None:
    """Run the command in ``sys.argv``, and exit."""
    sys.exit(run(sys.argv[1:]))
