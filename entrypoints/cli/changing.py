"""The commands that write one thing: ``add``, ``update``, ``delete``. ``ingest`` writes many."""

from __future__ import annotations

import sys
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click
from attrs import fields

from remembrancer.domain.errors import InvalidRequest
from remembrancer.domain.facts.fact import FactKind
from remembrancer.domain.guidance import Guidance
from remembrancer.entrypoints.cli.invocation import (
    ACTOR,
    Invocation,
    command_options,
    json_object,
    time_option,
)
from remembrancer.entrypoints.cli.needs import DEFAULT_DATABASE

if TYPE_CHECKING:
    from remembrancer.application.remember.receipt import Receipt

GUIDANCE = tuple(each.name for each in fields(Guidance))
ROLES = ("user", "assistant", "system", "tool")


def _metadata(
    context: click.Context, parameter: click.Parameter, values: tuple[str, ...]
) -> dict[str, Any]:
    metadata: dict[str, Any] = {}
    for value in values:
        key, equals, text = value.partition("=")
        if value.lstrip().startswith("{"):
            metadata.update(json_object(context, parameter, value) or {})
        elif key and equals:
            metadata[key] = text
        else:
            raise click.BadParameter(
                f"{value!r} is neither KEY=VALUE nor a JSON object", param=parameter
            )
    return metadata


def _guidance(
    context: click.Context, parameter: click.Parameter, value: str | None
) -> dict[str, Any]:
    """The arguments of ``add`` that say what is wanted: one in plain words, or all by name."""
    if value is None or not value.lstrip().startswith("{"):
        return {"instructions": value}
    guidance = json_object(context, parameter, value) or {}
    if unknown := guidance.keys() - GUIDANCE:
        raise click.BadParameter(
            f"{', '.join(sorted(unknown))}: unknown; there are {', '.join(GUIDANCE)}",
            param=parameter,
        )
    return guidance


@click.command()
@click.argument("text")
@click.option("--role", type=click.Choice(ROLES), default="user", help="Who said it: user.")
@click.option("--name", help="The speaker's name.")
@time_option("--at", "When it was said; now if left out.")
@click.option(
    "--metadata",
    multiple=True,
    callback=_metadata,
    metavar="KEY=VALUE|JSON",
    help="What the facts are to carry along; may be given several times.",
)
@click.option("--no-infer", is_flag=True, help="Store the text as one fact, word for word.")
@click.option(
    "--kind",
    type=click.Choice([FactKind.PROCEDURAL.value]),
    help="What the text is to become as a whole: how the run of an agent did its task.",
)
@click.option(
    "--guidance",
    callback=_guidance,
    metavar="WORDS|JSON",
    help="What is wanted of the facts, in plain words, or as a JSON object of "
    f"{', '.join(GUIDANCE)}. A language model follows it.",
)
@time_option("--expires", "When the facts are to be forgotten.")
@click.option("--key", help="Idempotency key: the same one with the same text is done once.")
@command_options()
def add(
    call: Invocation,
    text: str,
    role: str,
    name: str | None,
    at: datetime | None,
    metadata: dict[str, Any],
    no_infer: bool,
    kind: str | None,
    guidance: dict[str, Any],
    expires: datetime | None,
    key: str | None,
) -> None:
    """Remember what was said; - reads TEXT from standard input.

    \b
    remembrancer add "I moved to Lisbon last week" --user ana --name Ana
    """
    scope = call.owned()
    content = _from_standard_input() if text == "-" else text
    message = {"role": role, "content": content, "name": name, "timestamp": at}
    with call.opened() as memory:
        receipt = memory.add(
            message,
            **scope,
            metadata=metadata,
            expires_at=expires,
            infer=not no_infer,
            kind=kind,
            **guidance,
            idempotency_key=key,
            actor=ACTOR,
        )
    _answer(call, receipt, "")


@click.command()
@click.argument("fact_id", metavar="ID")
@click.argument("text")
@command_options()
def update(call: Invocation, fact_id: str, text: str) -> None:
    """Correct the text of a fact.

    What it said before stays in its history."""
    with call.existing() as memory:
        receipt = memory.update(fact_id, text, **call.scope, actor=ACTOR)
    _answer(call, receipt, "The fact says so already; nothing was changed.")


@click.command()
@click.argument("fact_id", metavar="ID", required=False)
@click.option("--all", "everything", is_flag=True, help="Every active fact of a scope.")
@click.option("--yes", is_flag=True, help="With --all: do not ask.")
@command_options()
def delete(call: Invocation, fact_id: str | None, everything: bool, yes: bool) -> int:
    """Withdraw a fact, or all of a scope.

    What is withdrawn is not found any more; its history stays."""
    if everything == (fact_id is not None):
        raise click.UsageError("Give either the ID of a fact or --all.")
    if fact_id is not None:
        with call.existing() as memory:
            _answer(call, memory.delete(fact_id, **call.scope, actor=ACTOR), "")
        return 0
    scope = call.owned()
    with call.existing() as memory:
        if not yes and not _agreed(call):
            click.echo("Nothing was deleted.", err=True)
            return 1
        receipt = memory.delete_all(**scope, actor=ACTOR)
    _answer(call, receipt, "There was nothing to withdraw.")
    return 0


def _from_standard_input() -> str:
    try:
        return sys.stdin.buffer.read().decode().strip()
    except UnicodeDecodeError as error:
        raise InvalidRequest("text", f"is not UTF-8 ({error.reason})") from error


def _agreed(call: Invocation) -> bool:
    if not sys.stdin.isatty():
        raise click.UsageError("--all needs --yes where there is no terminal to ask on.")
    owners = ", ".join(f"{name.removesuffix('_id')} {value}" for name, value in call.scope.items())
    where = call.database or call.config or DEFAULT_DATABASE
    return click.confirm(f"Withdraw every fact of {owners} in {where}?", err=True)


def _answer(call: Invocation, receipt: Receipt | None, otherwise: str) -> None:
    call.answer(
        {"receipt": None if receipt is None else receipt.to_dict()},
        lambda screen: screen.line(otherwise) if receipt is None else screen.receipt(receipt),
    )
