"""Say where an option belongs that stands in the wrong place, or at a command that lacks it."""

from __future__ import annotations

from collections.abc import Sequence

import click


def where_it_belongs(
    error: click.NoSuchOption, group: click.Group, arguments: Sequence[str]
) -> str | None:
    """The message for an unknown option that exists elsewhere.

    Args:
        error: the error; its context is that of the group if the option stood before the command.
        group: the group of all commands.
        arguments: all words of the command line.

    Returns:
        ``None`` if neither the group nor a command has such an option.
    """
    option = error.option_name
    takers = [name for name, command in group.commands.items() if _has(command, option)]
    command = error.ctx.command if error.ctx is not None else group
    if command is not group:
        # ``--version`` alone is more likely that of the program than that of ``why``.
        if takers and not _has(group, option, eager=True):
            return f"{command.name} has no option {option}; it belongs to {_listed(takers)}."
        if _has(group, option):
            return f"{option} belongs before the command: remembrancer {option}."
        return None
    if not takers:
        return None
    # A value may look like a command. Of several candidates the first one is the best guess.
    meant = next((word for word in arguments if word in takers), None)
    if meant is None:
        return f"{option} belongs after the command; it is an option of {_listed(takers)}."
    return f"{option} belongs after the command: remembrancer {meant} ... {option}."


def _has(command: click.Command, option: str, *, eager: bool = False) -> bool:
    return any(
        option in (*parameter.opts, *parameter.secondary_opts) and (parameter.is_eager or not eager)
        for parameter in command.params
        if isinstance(parameter, click.Option)
    )


def _listed(names: Sequence[str]) -> str:
    *others, last = names
    return f"{', '.join(others)} and {last}" if others else last
