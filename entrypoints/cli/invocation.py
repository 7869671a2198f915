"""Common options of the commands, and ``Invocation``, which holds their values.

They may stand before the command or after it; after it wins.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import wraps
from typing import TYPE_CHECKING, Any, TypeAlias, cast

import click
from click.core import ParameterSource

from remembrancer.entrypoints.cli.opening import DEFAULT_DATABASE, open_memory
from remembrancer.entrypoints.cli.printable import printable

if TYPE_CHECKING:
    from remembrancer import Memory
    from remembrancer.entrypoints.cli.rendering import Screen
    from remembrancer.types import ScopeIds

Decorator: TypeAlias = Callable[[Callable[..., Any]], Callable[..., Any]]

OWNERS = frozenset({"user_id", "agent_id", "run_id"})
"""Ids of which at least one is required."""

ACTOR = "cli"
"""The actor that the ledger records."""


class Invocation:
    """One call of one command.

    Args:
        database: path of the database; ``None`` if not given.
        config: path of the settings file; ``None`` if not given.
        as_json: answer with one JSON document instead of text.
        scope: the given ids, by argument name of the memory.
    """

    def __init__(
        self,
        *,
        database: str | None,
        config: str | None,
        as_json: bool,
        scope: ScopeIds,
    ) -> None:
        self.config = config
        self.database = database
        self.as_json = as_json
        self.scope = scope

    def existing(self) -> Memory:
        """Open an existing database.

        Raises:
            InvalidRequest: it does not exist; commands that only read must not create one.
        """
        return open_memory(self.database, self.config, must_exist=True)

    def opened(self, path: str | None = None) -> Memory:
        """Open a database, and create it if needed; ``path`` replaces the options."""
        if path is not None:
            return open_memory(path)
        return open_memory(self.database, self.config)

    def owned(self) -> ScopeIds:
        """The scope, for commands that need an owner.

        Raises:
            UsageError: no owner was given.
        """
        if not self.scope.keys() & OWNERS:
            raise click.UsageError(
                "No owner is given. Pass at least one of --user, --agent, --run."
            )
        return self.scope

    def answer(self, document: Mapping[str, Any], draw: Callable[[Screen], None]) -> None:
        """Print the answer: ``document`` with ``--json``, else the output of ``draw``."""
        if self.as_json:
            print_json(document)
        else:
            draw(self.screen())

    def screen(self) -> Screen:
        """The output for people. Imported late: ``--help`` must be fast."""
        from remembrancer.entrypoints.cli.rendering import Screen

        return Screen(quiet=self.as_json)


def print_json(document: Mapping[str, Any], *, err: bool = False) -> None:
    """Print one JSON document, in ASCII if the stream is not Unicode. Texts are untrusted: what a
    terminal would obey is escaped, which JSON allows in strings, and only strings contain it.
    """
    stream = sys.stderr if err else sys.stdout
    unicode = (stream.encoding or "ascii").lower().replace("-", "").startswith("utf")
    click.echo(printable(json.dumps(document, ensure_ascii=not unicode, indent=2)), err=err)


_DATABASE = click.option(
    "--db",
    "database",
    metavar="PATH",
    envvar="REMEMBRANCER_DB",
    help=f"The database; default: $REMEMBRANCER_DB or ./{DEFAULT_DATABASE}.",
)
_CONFIG = click.option(
    "--config",
    metavar="FILE",
    envvar="REMEMBRANCER_CONFIG",
    help="Settings, in TOML or YAML; default: $REMEMBRANCER_CONFIG.",
)
# Without the variable: the demo must not write to the user's own database.
_DATABASE_TO_KEEP = click.option(
    "--db", "database", metavar="PATH", help="Keep the memory there; default: a temporary database."
)


_JSON = click.option("--json", "as_json", is_flag=True, help="Answer with one JSON document.")
_SCOPE = {
    f"{owner}_id": click.option(
        f"--{owner}", f"--{owner}-id", f"{owner}_id", metavar="ID", help=f"Id of the {owner}."
    )
    for owner in ("user", "agent", "run", "app")
}


def shared_options(group: Callable[[], None]) -> Callable[..., None]:
    """Declare the common options on the group of commands, for use before a command."""

    @wraps(group)
    def call(**values: Any) -> None:
        context = click.get_current_context()
        # Variables are left to the command: some commands ignore them.
        context.obj = {name: value for name, value in values.items() if _is_given(context, name)}
        group()

    return _declared(call, [_DATABASE, _CONFIG, _JSON, *_SCOPE.values()])


def command_options(*, scope: bool = True, temporary: bool = False) -> Decorator:
    """Declare ``--db``, ``--config``, ``--json`` and the scope options; the command gets an
    ``Invocation``.

    Args:
        scope: declare the scope options.
        temporary: use a temporary database unless ``--db`` is given.
    """
    places = [_DATABASE_TO_KEEP] if temporary else [_DATABASE, _CONFIG]
    owners = _SCOPE if scope else {}

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(command)
        def call(**values: Any) -> Any:
            values |= _given_before(click.get_current_context())
            ids = {name: values.pop(name) for name in owners}
            invocation = Invocation(
                database=values.pop("database"),
                config=values.pop("config", None),
                as_json=values.pop("as_json"),
                scope=cast(
                    "ScopeIds", {name: given for name, given in ids.items() if given is not None}
                ),
            )
            return command(invocation, **values)

        return _declared(call, [*places, _JSON, *owners.values()])

    return decorate


def _declared(command: Callable[..., Any], options: Sequence[Decorator]) -> Callable[..., Any]:
    # Decorators apply from the last to the first.
    for option in reversed(options):
        command = option(command)
    return command


def _is_given(context: click.Context, name: str) -> bool:
    return context.get_parameter_source(name) is ParameterSource.COMMANDLINE


def _given_before(context: click.Context) -> dict[str, Any]:
    """The common options before a command, without those that stand after it too.

    Raises:
        NoSuchOption: the command does not have one of them.
    """
    for name in context.obj:
        if name not in context.params:
            raise click.NoSuchOption(_flag(context.find_root().command, name), ctx=context)
    return {name: value for name, value in context.obj.items() if not _is_given(context, name)}


def _flag(command: click.Command, name: str) -> str:
    return next(each.opts[0] for each in command.params if each.name == name)


def time_option(
    flag: str, what: str, *, name: str | None = None, required: bool = False
) -> Decorator:
    """An option with a date, with or without a time; UTC if it has no offset."""
    names = [flag] if name is None else [flag, name]
    return click.option(*names, metavar="TIME", callback=_moment, help=what, required=required)


def as_of_option(what: str) -> Decorator:
    """``--as-of``: a time, or ``@N``, a version of the ledger."""
    return click.option("--as-of", metavar="TIME|@N", callback=parse_as_of, help=what)


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
    """An ISO 8601 date or time; UTC if it has no offset.

    Raises:
        ValueError: it is neither.
    """
    moment = datetime.fromisoformat(text)
    return moment if moment.utcoffset() is not None else moment.replace(tzinfo=UTC)


def parse_as_of(
    context: click.Context, parameter: click.Parameter, value: str | None
) -> datetime | str | None:
    """A click callback: a date or time, or ``@N``."""
    if value is not None and value.startswith("@"):
        return value
    return _moment(context, parameter, value)


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
