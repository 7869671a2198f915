"""The commands ``why`` and ``why-not``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from remembrancer.entrypoints.cli.console import console
from remembrancer.entrypoints.cli.invocation import Invocation, as_of_option, command_options
from remembrancer.entrypoints.cli.printable import one_line, printable
from remembrancer.entrypoints.cli.writing import write_file

if TYPE_CHECKING:
    from rich.tree import Tree

    from remembrancer.types import Dismissal, Inference, Why, WhyStep

NEIGHBOURS = 5
"""Compared facts that are shown for a decision."""


@click.command()
@click.argument("fact_id", metavar="ID")
@click.option("--version", type=int, help="Explain this version; default: the latest.")
@as_of_option("Explain what the ledger believed then: at a time, or at its version N.")
@click.option("--raw", is_flag=True, help="Also show the raw answers of models.")
@click.option("--mermaid", metavar="FILE|-", help="Also draw it, as a Mermaid flow chart.")
@click.option("--svg", metavar="FILE", help="Also draw it, as an SVG picture.")
@command_options()
def why(
    call: Invocation,
    fact_id: str,
    version: int | None,
    as_of: datetime | str | None,
    raw: bool,
    mermaid: str | None,
    svg: str | None,
) -> None:
    """Explain why a fact is believed.

    Where it came from, what was believed before, and what became of it; below, the event of each
    version with its messages, models and decision. What can't be followed is named.

    \b
    remembrancer why 01a208d1afd67456852a68455f7516f3 --user ana
    """
    with call.existing() as memory:
        found = memory.audit.why(fact_id, version=version, as_of=as_of, **call.scope)
    if svg is not None:
        from remembrancer.entrypoints.cli.why_picture import draw_why

        write_file("--svg", svg, draw_why(found))
    if mermaid is not None:
        from remembrancer.entrypoints.cli.why_picture import mermaid_of

        if mermaid == "-":
            click.echo(mermaid_of(found), nl=False)
            return
        write_file("--mermaid", mermaid, mermaid_of(found))
    call.answer(_document(found, raw=raw), lambda _screen: _draw(found, raw=raw))


def _document(found: Why, *, raw: bool) -> dict[str, Any]:
    document = found.to_dict()
    if not raw:
        for inference in document["inferences"]:
            inference["output"] = None
    return document


def _draw(found: Why, *, raw: bool) -> None:
    out = console()
    for line in found.answer:
        out.print(one_line(line), soft_wrap=True, style="bold" if line is found.answer[0] else "")
    if out.is_terminal:
        out.print(_tree(found, raw=raw))
        return
    for step in found.versions:
        out.print(f"version {step.version}  {_event(step)}", soft_wrap=True)
        for depth, line in _about(step, found, raw=raw):
            out.print(f"{'  ' * (depth + 1)}{line}", soft_wrap=True)


def _tree(found: Why, *, raw: bool) -> Tree:
    from rich.text import Text
    from rich.tree import Tree

    tree = Tree(Text(one_line(found.fact.text), style="bold cyan"), guide_style="dim")
    for step in found.versions:
        branch = tree.add(Text.assemble((f"version {step.version}", "bold"), f"  {_event(step)}"))
        branches = [branch]
        for depth, line in _about(step, found, raw=raw):
            branches[depth + 1 :] = [branches[depth].add(Text(line))]
    return tree


def _event(step: WhyStep) -> str:
    from remembrancer.entrypoints.cli.rendering import instant

    reason = f": {step.reason}" if step.reason else ""
    return one_line(f"{step.type} by {step.actor}, {instant(step.recorded_at)}{reason}")


def _about(step: WhyStep, found: Why, *, raw: bool) -> Iterator[tuple[int, str]]:
    """The lines below a version, each with its depth."""
    yield 0, one_line(f"text: {step.text}")
    for quote in step.evidence:
        if quote.text is None:
            yield 0, f"message {quote.message_id}: {'erased' if quote.erased else 'not readable'}"
            continue
        when = quote.occurred_at.date().isoformat() if quote.occurred_at else ""
        yield 0, one_line(f"{quote.speaker}, {when}: “{quote.quote or quote.text}”")
        if quote.quote is not None and quote.quote != quote.text:
            yield 1, one_line(f"in message {quote.message_id}: {quote.text}")
    for inference in found.inferences:
        if inference.event_id in step.inferences:
            yield from _model(inference, raw=raw)
    yield from _decision(step)
    yield 0, f"request {step.correlation_id}, event {step.event_id}"


def _model(inference: Inference, *, raw: bool) -> Iterator[tuple[int, str]]:
    if inference.erased:
        yield 0, "a model, whose answer was erased"
        return
    tokens = inference.input_tokens + inference.output_tokens
    cost = f", ${inference.cost:.4f}" if inference.cost is not None else ""
    spent = f", {tokens:,} tokens{cost}" if tokens else ""
    yield 0, one_line(f"{inference.purpose} by {inference.model}{spent}")
    if inference.prompt_digest:
        yield 1, one_line(f"prompt {inference.prompt}, digest {inference.prompt_digest}")
        yield 1, f"request digest {inference.request_digest}"
    for item in inference.items:
        yield 1, one_line(f"said: {item}")
    for number, place in inference.shown.items():
        yield 1, one_line(f"number {number} was {place}")
    if raw and inference.output is not None:
        yield 1, printable(f"raw: {inference.output}")


def _decision(step: WhyStep) -> Iterator[tuple[int, str]]:
    decision = step.decision
    if decision is None:
        return
    refused = f", refused: {decision.refused.value}" if decision.refused else ""
    yield 0, f"decision: {decision.decision.value}{refused}"
    for near in decision.neighbours[:NEIGHBOURS]:
        known = near.text or "a fact of another scope"
        yield 1, one_line(f"compared, {near.similarity:.2f}: {known} ({near.fact_id})")
    if len(decision.neighbours) > NEIGHBOURS:
        yield 1, f"and {len(decision.neighbours) - NEIGHBOURS} more"


@click.command("why-not")
@click.argument("text")
@click.option("--limit", type=int, default=5, show_default=True, help="Answers, up to 1000.")
@command_options()
def why_not(call: Invocation, text: str, limit: int) -> None:
    """Explain why something was not remembered.

    Finds what was said, or proposed by a model, and was skipped, ignored or refused.

    \b
    remembrancer why-not "allergic to nuts" --user ana
    """
    scope = call.owned()
    with call.existing() as memory:
        found = memory.audit.why_not(text, limit=limit, **scope)
    document = {"dismissals": [each.to_dict() for each in found]}
    call.answer(document, lambda _screen: _list(found))


def _list(found: Sequence[Dismissal]) -> None:
    out = console()
    if not found:
        out.print("Nothing like it was skipped, ignored or refused.")
    for each in found:
        code = f" ({each.code.value})" if each.code else ""
        day = each.occurred_at.date().isoformat() if each.occurred_at else ""
        out.print(one_line(each.text), soft_wrap=True)
        out.print(f"  {one_line(f'not remembered: {each.reason}{code}')}", soft_wrap=True)
        said = "" if each.said == each.text else f": {each.said}"
        about = f"{each.speaker}, {day}, likeness {each.likeness:.2f}{said}"
        out.print(f"  {one_line(about)}", soft_wrap=True, style="dim")
