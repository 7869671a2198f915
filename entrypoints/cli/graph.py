"""The command ``graph``: print and draw the neighbourhood of an entity."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from remembrancer.entrypoints.cli.console import console
from remembrancer.entrypoints.cli.invocation import (
    Invocation,
    as_of_option,
    command_options,
    time_option,
)
from remembrancer.entrypoints.cli.printable import one_line
from remembrancer.entrypoints.cli.writing import write_file
from remembrancer.types import Interval, LinkKey, Mention

if TYPE_CHECKING:
    from remembrancer.types import Exploration, Reached


@click.command()
@click.argument("entity", required=False)
@click.option("--depth", type=int, default=2, show_default=True, help="Steps to walk, up to 5.")
@click.option("--limit", type=int, default=40, show_default=True, help="Links to show, up to 1000.")
@click.option("--svg", metavar="FILE", help="Also draw it, as an SVG picture.")
@as_of_option("Show what the ledger held then: at a time, or at its version N.")
@time_option("--valid-at", "Show only links that were true at that time.")
@command_options()
def graph(call: Invocation, entity: str | None, svg: str | None, **options: Any) -> None:
    """Show the neighbourhood of an entity.

    Its relations, the facts that name it, and their neighbours in turn. Without ENTITY, starts at
    the entity with most links. Ended links are marked, and dashed in the picture.

    \b
    remembrancer graph Maya --user demo --svg maya.svg
    """
    scope = call.owned()
    with call.existing() as memory:
        exploration = memory.graph(entity, **scope, **options)
    if exploration is not None and svg is not None:
        from remembrancer.entrypoints.cli.graph_picture import draw_graph

        write_file("--svg", svg, draw_graph(exploration))
    document = {"graph": None if exploration is None else exploration.to_dict()}
    call.answer(document, lambda _screen: _draw(exploration))


def _draw(exploration: Exploration | None) -> None:
    from rich.text import Text
    from rich.tree import Tree

    out = console()
    if exploration is None:
        out.print("No entity is known yet.")
        return
    title = _title(exploration)
    if not out.is_terminal:
        out.print(title, soft_wrap=True)
        for item in exploration.reached:
            parts = [str(item.distance), one_line(str(item.path)), *_about(exploration, item)]
            if isinstance(item.link, Mention):
                parts.append(_last(exploration, item))
            out.print("  ".join(parts), soft_wrap=True)
        return
    tree = Tree(Text(title, style="bold cyan"), guide_style="dim")
    branches: dict[tuple[LinkKey, ...], Tree] = {(): tree}
    for item in exploration.reached:
        keys = tuple(link.key for link in item.path.links)
        over = exploration.over(item.link)
        line = Text(_last(exploration, item), style="dim" if over else "")
        line.append("".join(f"  {part}" for part in _about(exploration, item)), style="dim")
        branches[keys] = branches[keys[:-1]].add(line)
    out.print(tree)


def _title(exploration: Exploration) -> str:
    start = exploration.start
    also = f" (also {', '.join(start.aliases)})" if start.aliases else ""
    if exploration.likeness < 1:
        also += f", likeness {exploration.likeness:.2f}: nothing goes by the name asked for"
    return one_line(start.name + also)


def _about(exploration: Exploration, item: Reached) -> list[str]:
    """When a link holds, and whether it has ended."""
    from remembrancer.entrypoints.cli.rendering import span

    link = item.link
    when = [] if link.valid == Interval() else [span(link.valid)]
    if exploration.over(link):
        when.append("ended")
    return when


def _last(exploration: Exploration, item: Reached) -> str:
    """The last step to a link; for a fact, its text."""
    fact = exploration.facts.get(item.link.fact_id) if item.link.fact_id is not None else None
    if isinstance(item.link, Mention) and fact is not None:
        return one_line(fact.text)
    return one_line(item.path.last)
