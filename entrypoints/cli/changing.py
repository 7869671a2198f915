"""The commands ``add``, ``update`` and ``delete``. (``ingest`` adds whole files.)"""

from __future__ import annotations

import sys
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import click
from attrs import fields

from remembrancer import InvalidRequest
from remembrancer.entrypoints.cli.invocation import (
    ACTOR,
    Invocation,
    command_options,
    json_object,
    time_option,
)
from remembrancer.entrypoints.cli.opening import DEFAULT_DATABASE
from remembrancer.types import FactKind, Guidance

if TYPE_CHECKING:
    from remembrancer.types import Receipt

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


metadata_option = click.option(
    "--metadata",
    multiple=True,
    callback=_metadata,
    metavar="KEY=VALUE|JSON",
    help="Metadata of the facts; may be given several times.",
)


def _guidance(
    context: click.Context, parameter: click.Parameter, value: str | None
) -> dict[str, Any]:
    """The guidance arguments of ``add``: instructions in plain words, or a JSON object."""
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
@click.option(
    "--role", type=click.Choice(ROLES), default="user", help="Role of the speaker; default: user."
)
@click.option("--name", help="The speaker's name.")
@time_option("--at", "When it was said; default: now.")
@metadata_option
@click.option("--no-infer", is_flag=True, help="Store the text as one fact, word for word.")
@click.option(
    "--kind",
    type=click.Choice([FactKind.PROCEDURAL.value]),
    help="Store the text as one fact about how an agent's run did its task.",
)
@click.option(
    "--guidance",
    callback=_guidance,
    metavar="WORDS|JSON",
    help="What to extract, in plain words, or as a JSON object with "
    f"{', '.join(GUIDANCE)}. Needs a language model.",
)
@time_option("--expires", "When the facts expire.")
@click.option("--key", help="Idempotency key: a repeated call with the same key adds nothing.")
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
    """Remember TEXT; - reads it from standard input.

    \b
    remembrancer add "I moved to Lisbon last week" --user ana --name Ana

    Dates such as "last week" count from --at, or from today in this machine's time zone.
    """
    scope = call.owned()
    content = _from_standard_input() if text == "-" else text
    now = datetime.now().astimezone()
    message = {"role": role, "content": content, "name": name, "timestamp": at or now}
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
    zone = None if at else str(timezone(now.utcoffset() or timedelta()))
    call.answer(
        {"receipt": receipt.to_dict(), "zone": zone}, lambda screen: screen.receipt(receipt)
    )
    if zone and not (no_infer or call.as_json):
        call.screen().note(
            f"Dates such as yesterday count from {now:%Y-%m-%d}, in this machine's zone ({zone})."
        )


@click.command()
@click.argument("fact_id", metavar="ID")
@click.argument("text")
@command_options()
def update(call: Invocation, fact_id: str, text: str) -> None:
    """Replace the text of a fact.

    The old text stays in its history."""
    with call.existing() as memory:
        receipt = memory.update(fact_id, text, **call.scope, actor=ACTOR)
    answer_with_receipt(call, receipt, "The fact has this text already; nothing was changed.")


@click.command()
@click.argument("fact_id", metavar="ID", required=False)
@click.option("--all", "everything", is_flag=True, help="Every active fact of a scope.")
@click.option("--yes", is_flag=True, help="With --all: don't ask for confirmation.")
@click.option("--block", is_flag=True, help="Do not draw it again, until its owner says it anew.")
@command_options()
def delete(call: Invocation, fact_id: str | None, everything: bool, yes: bool, block: bool) -> int:
    """Delete a fact, or all facts of a scope.

    Deleted facts are retracted: searches don't find them, their history stays."""
    if everything == (fact_id is not None):
        raise click.UsageError("Give either the ID of a fact or --all.")
    if everything and block:
        raise click.UsageError("--block needs the ID of a fact.")
    if fact_id is not None:
        with call.existing() as memory:
            answer_with_receipt(
                call, memory.delete(fact_id, block=block, **call.scope, actor=ACTOR), ""
            )
        return 0
    scope = call.owned()
    with call.existing() as memory:
        if not yes and not _agreed(call):
            click.echo("Nothing was deleted.", err=True)
            return 1
        receipt = memory.delete_all(**scope, actor=ACTOR)
    answer_with_receipt(call, receipt, "There was nothing to delete.")
    return 0


def _from_standard_input() -> str:
    try:
        return sys.stdin.buffer.read().decode("utf-8-sig").strip()
    except UnicodeDecodeError as error:
        raise InvalidRequest("text", f"is not UTF-8 ({error.reason})") from error


def _agreed(call: Invocation) -> bool:
    if not sys.stdin.isatty():
        raise click.UsageError("--all needs --yes if there is no terminal to confirm on.")
    owners = ", ".join(f"{name.removesuffix('_id')} {value}" for name, value in call.scope.items())
    where = call.database or call.config or DEFAULT_DATABASE
    return click.confirm(f"Delete every fact of {owners} in {where}?", err=True)


def answer_with_receipt(call: Invocation, receipt: Receipt | None, otherwise: str) -> None:
    """Answer with a receipt, or with ``otherwise`` if nothing was written."""
    call.answer(
        {"receipt": None if receipt is None else receipt.to_dict()},
        lambda screen: screen.line(otherwise) if receipt is None else screen.receipt(receipt),
    )
