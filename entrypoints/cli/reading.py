"""The commands that read facts: ``search``, ``context``, ``profile``, ``list``, ``get``,
``history``.
"""

from __future__ import annotations

from typing import Any

import click

from remembrancer.entrypoints.cli.invocation import (
    Invocation,
    as_of_option,
    command_options,
    json_object,
    time_option,
)
from remembrancer.types import ListedStatus

STYLES = ("facts", "prose", "messages")
ORDERS = ("created_at", "-created_at", "occurred_at", "-occurred_at")

_as_of = as_of_option("Read what the ledger believed then: at a time, or at its version N.")
_valid_at = time_option("--valid-at", "Only facts that were true at that time.")
_filters = click.option(
    "--filter",
    "filters",
    metavar="JSON",
    callback=json_object,
    help='Conditions, such as \'{"speaker": "Ana", "metadata.topic": {"ne": "work"}}\'.',
)

_status = click.option(
    "--status",
    type=click.Choice([status.value for status in ListedStatus]),
    help="Facts that have ended, were withdrawn or have expired, or rivals; default: active ones.",
)


@click.command()
@click.argument("query")
@click.option("--limit", type=int, default=10, show_default=True, help="Facts to show, up to 1000.")
@click.option("--threshold", type=float, help="Lowest score to show, from 0 to 1.")
@_as_of
@_valid_at
@_status
@_filters
@click.option("--explain", is_flag=True, help="Show the signals of every score.")
@click.option(
    "--rerank/--no-rerank",
    default=None,
    help="Use the reranker; default: if one is configured.",
)
@click.option("--abstain", is_flag=True, help="Show nothing if the answer is probably not known.")
@command_options()
def search(call: Invocation, query: str, explain: bool, **options: Any) -> None:
    """Find the facts relevant to a question, best first.

    \b
    remembrancer search "Where does Ana live?" --user ana
    remembrancer search "Where does Ana live?" --user ana --valid-at 2024-03-01
    """
    scope = call.owned()
    with call.existing() as memory:
        result = memory.search(query, **scope, explain=explain, **options)
    call.answer(result.to_dict(), lambda screen: screen.results(result))


@click.command()
@click.argument("query")
@click.option("--max-tokens", type=int, required=True, metavar="N", help="Longest text, in tokens.")
@click.option(
    "--style",
    type=click.Choice(STYLES),
    default="facts",
    show_default=True,
    help="A list by kind, sentences, or the order in which it was said.",
)
@_as_of
@command_options()
def context(call: Invocation, query: str, **options: Any) -> None:
    """Write the facts relevant to a question for a prompt.

    They are quoted as data, dated and attributed. The text is on standard output, its size on
    standard error.

    \b
    remembrancer context "Where does Ana live?" --user ana --max-tokens 500
    """
    scope = call.owned()
    with call.existing() as memory:
        written = memory.context(query, **scope, **options)
    call.answer(written.to_dict(), lambda screen: screen.context(written))


@click.command()
@_as_of
@command_options()
def profile(call: Invocation, **options: Any) -> None:
    """Show what is known of a person, by question and by theme."""
    scope = call.owned()
    with call.existing() as memory:
        known = memory.profile(**scope, **options)
    call.answer(known.to_dict(), lambda screen: screen.profile(known))


@click.command("list")
@click.option("--limit", type=int, default=100, show_default=True, help="Facts per page.")
@click.option(
    "--order",
    type=click.Choice(ORDERS),
    default="-created_at",
    show_default=True,
    help="Sort order; - for newest first.",
)
@click.option("--cursor", help="Show the next page; keep the other options the same.")
@click.option("--total", is_flag=True, help="Also count the facts in all pages.")
@_as_of
@_valid_at
@_status
@_filters
@command_options()
def list_facts(call: Invocation, **options: Any) -> None:
    """List the facts of a scope, a page at a time."""
    scope = call.owned()
    with call.existing() as memory:
        page = memory.get_all(**scope, **options)
    call.answer(page.to_dict(), lambda screen: screen.page(page))


@click.command()
@click.argument("fact_id", metavar="ID")
@_as_of
@_valid_at
@command_options()
def get(call: Invocation, fact_id: str, **times: Any) -> None:
    """Show one fact with all of its fields."""
    with call.existing() as memory:
        fact = memory.get(fact_id, **call.scope, **times)
    call.answer({"fact": fact.to_dict()}, lambda screen: screen.fact(fact))


@click.command()
@click.argument("fact_id", metavar="ID")
@_as_of
@_valid_at
@command_options()
def history(call: Invocation, fact_id: str, **times: Any) -> None:
    """Show every version of a fact, oldest first.

    Each with its valid time and its transaction time."""
    with call.existing() as memory:
        versions = memory.history(fact_id, **call.scope, **times)
    call.answer(
        {"versions": [version.to_dict() for version in versions]},
        lambda screen: screen.history(versions),
    )
