"""What every command is given: the database, whose memory, and the way to answer.

The options that commands share are declared here, once.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import wraps
from typing import TYPE_CHECKING, Any, TypeAlias, cast

import click

from remembrancer.entrypoints.cli.needs import DEFAULT_DATABASE, Face, LedgerMemory, ScopeIds

if TYPE_CHECKING:
    from remembrancer.entrypoints.cli.rendering import Screen

Decorator: TypeAlias = Callable[[Callable[..., Any]], Callable[..., Any]]

OWNERS = frozenset({"user_id", "agent_id", "run_id"})
"""Ids of which one at least says whose memory is meant."""

ACTOR = "cli"
"""Who asks, as the ledger records it."""


class Invocation:
    """One call of one command.

    Args:
        face: how a memory is opened.
        database: the path of its database; ``None`` if the caller named none.
        config: a file of settings, likewise.
        as_json: whether the answer is one JSON document instead of something to read.
        scope: the ids that were given, by the names that the memory has for them.
    """

    def __init__(
        self,
        *,
        face: Face,
        database: str | None,
        config: str | None,
        as_json: bool,
        scope: ScopeIds,
    ) -> None:
        self.face = face
        self.config = config
        self.database = database
        self.as_json = as_json
        self.scope = scope

    def existing(self) -> LedgerMemory:
        """Open a database that is there.

        Raises:
            InvalidRequest: it is not there; a command that only reads must not leave an empty one.
        """
        return self.face.open(self.database, self.config, must_exist=True)

    def opened(self, path: str | None = None) -> LedgerMemory:
        """Open a database, and make it if it is not there; ``path`` is one for this call alone."""
        if path is not None:
            return self.face.open(path)
        return self.face.open(self.database, self.config)

    def owned(self) -> ScopeIds:
        """The scope, for commands that need to know whose memory is meant.

        Raises:
            UsageError: no owner was named.
        """
        if not self.scope.keys() & OWNERS:
            raise click.UsageError("whose memory? Name at least one of --user, --agent, --run.")
        return self.scope

    def answer(self, document: Mapping[str, Any], draw: Callable[[Screen], None]) -> None:
        """Print the answer: the document with ``--json``, else what ``draw`` draws."""
        if self.as_json:
            print_json(document)
        else:
            draw(self.screen())

    def screen(self) -> Screen:
        """Where people read; importing it takes longer than answering ``--help`` does."""
        from remembrancer.entrypoints.cli.rendering import Screen

        return Screen(quiet=self.as_json)


def print_json(document: Mapping[str, Any], *, err: bool = False) -> None:
    """Print one JSON document, in ASCII where the stream knows no Unicode."""
    stream = sys.stderr if err else sys.stdout
    unicode = (stream.encoding or "ascii").lower().replace("-", "").startswith("utf")
    click.echo(json.dumps(document, ensure_ascii=not unicode, indent=2), err=err)


_DATABASE = click.option(
    "--db",
    "database",
    metavar="PATH",
    envvar="REMEMBRANCER_DB",
    help=f"The database; $REMEMBRANCER_DB or ./{DEFAULT_DATABASE} if left out.",
)
_CONFIG = click.option(
    "--config",
    metavar="FILE",
    envvar="REMEMBRANCER_CONFIG",
    help="Settings, in TOML or YAML; $REMEMBRANCER_CONFIG if left out.",
)
# Deaf to the variable: nobody who looks at the demo wants it in the database of their work.
_DATABASE_TO_KEEP = click.option(
    "--db", "database", metavar="PATH", help="Keep the memory there; a temporary one if left out."
)


def command_options(*, scope: bool = True, temporary: bool = False) -> Decorator:
    """Declare ``--db``, ``--config``, ``--json`` and the scope options; the command gets an
    ``Invocation``.

    Args:
        scope: whether the command is about somebody's memory.
        temporary: whether no database needs to be there, and none is used unless it is named.
    """
    options = [
        *([_DATABASE_TO_KEEP] if temporary else [_DATABASE, _CONFIG]),
        click.option("--json", "as_json", is_flag=True, help="Answer with one JSON document."),
    ]
    owners = ("user", "agent", "run", "app") if scope else ()
    options += [
        click.option(
            f"--{owner}", f"--{owner}-id", f"{owner}_id", metavar="ID", help=f"Of which {owner}."
        )
        for owner in owners
    ]

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(command)
        def call(
            *, database: str | None, as_json: bool, config: str | None = None, **values: Any
        ) -> Any:
            ids = {name: values.pop(name) for name in (f"{owner}_id" for owner in owners)}
            invocation = Invocation(
                face=click.get_current_context().obj,
                database=database,
                config=config,
                as_json=as_json,
                scope=cast(
                    ScopeIds, {name: given for name, given in ids.items() if given is not None}
                ),
            )
            return command(invocation, **values)

        for option in reversed(options):
            call = option(call)
        return call

    return decorate


def time_option(flag: str, what: str) -> Decorator:
    """An option that takes a date, with or without a time; UTC where no offset is given."""
    return click.option(flag, metavar="TIME", callback=_moment, help=what)


def json_object(
    _context: click.Context, parameter: click.Parameter, value: str | None
) -> dict[str, Any] | None:
    """A click callback: the text of a JSON object as a dictionary."""
    if value is None:
        return None
    try:
        parsed = json.loads(value)
    except (ValueError, RecursionError) as error:
        raise click.BadParameter(f"not JSON: {error}", param=parameter) from error
    if not isinstance(parsed, dict):
        raise click.BadParameter('expected a JSON object, such as {"a": 1}', param=parameter)
    return parsed


def in_utc(text: str) -> datetime:
    """An ISO 8601 date or time; UTC where it has no offset.

    Raises:
        ValueError: it is neither.
    """
    moment = datetime.fromisoformat(text)
    return moment if moment.utcoffset() is not None else moment.replace(tzinfo=UTC)


def _moment(
    _context: click.Context, parameter: click.Parameter, value: str | None
) -> datetime | None:
    if value is None:
        return None
    try:
        return in_utc(value)
    except ValueError as error:
        raise click.BadParameter(
            f"{value!r} is not a date or time; write 2024-03-01 or 2024-03-01T18:30+01:00",
            param=parameter,
        ) from error
