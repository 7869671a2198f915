"""The command ``graph``: what the memory knows around an entity, printed and drawn."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from remembrancer.domain.errors import InvalidRequest
from remembrancer.domain.facts.fact import Interval
from remembrancer.domain.graph.graph import LinkKey, Mention
from remembrancer.entrypoints.cli.invocation import Invocation, command_options, time_option
from remembrancer.entrypoints.cli.printable import one_line

if TYPE_CHECKING:
    from remembrancer.application.recall.explore import Exploration
    from remembrancer.domain.graph.walk import Reached


@click.command()
@click.argument("entity", required=False)
@click.option("--depth", type=int, default=2, show_default=True, help="Steps to walk, up to 5.")
@click.option("--limit", type=int, default=40, show_default=True, help="Links to show, up to 1000.")
@click.option("--svg", metavar="FILE", help="Also draw it, as an SVG picture.")
@time_option("--as-of", "Answer from what the ledger believed then.")
@time_option("--valid-at", "Only what held in the world then.")
@command_options()
def graph(call: Invocation, entity: str | None, svg: str | None, **options: Any) -> None:
    """Show what is known around an entity.

    Its relations, the facts that name it, and so on from there; around the entity with most links
    if none is named. What has ended is marked, and dashed in the picture.

    \b
    remembrancer graph Maya --user demo --svg maya.svg
    """
    scope = call.owned()
    with call.existing() as memory:
        exploration = memory.graph(entity, **scope, **options)
    if exploration is not None and svg is not None:
        _write(svg, exploration)
    document = {"graph": None if exploration is None else exploration.to_dict()}
    call.answer(document, lambda _screen: _draw(exploration))


def _write(path: str, exploration: Exploration) -> None:
    from remembrancer.entrypoints.cli.graph_picture import draw_graph

    try:
        Path(path).write_text(draw_graph(exploration), encoding="utf-8")
    except OSError as error:
        raise InvalidRequest("--svg", f"{path} can't be written: {error.strerror}") from error


def _draw(exploration: Exploration | None) -> None:
    from rich.console import Console
    from rich.text import Text
    from rich.tree import Tree

    console = Console(highlight=False, markup=False, emoji=False)
    if exploration is None:
        console.print("No entity is known yet.")
        return
    title = _title(exploration)
    if not console.is_terminal:
        console.print(title, soft_wrap=True)
        for item in exploration.reached:
            parts = [str(item.distance), one_line(str(item.path)), *_about(exploration, item)]
            if isinstance(item.link, Mention):
                parts.append(_last(exploration, item))
            console.print("  ".join(parts), soft_wrap=True)
        return
    tree = Tree(Text(title, style="bold cyan"), guide_style="dim")
    branches: dict[tuple[LinkKey, ...], Tree] = {(): tree}
    for item in exploration.reached:
        way = tuple(link.key for link in item.path.links)
        over = exploration.over(item.link)
        line = Text(_last(exploration, item), style="dim" if over else "")
        line.append("".join(f"  {part}" for part in _about(exploration, item)), style="dim")
        branches[way] = branches[way[:-1]].add(line)
    console.print(tree)


def _title(exploration: Exploration) -> str:
    start = exploration.start
    also = f" (also {', '.join(start.aliases)})" if start.aliases else ""
    if exploration.likeness < 1:
        also += f", likeness {exploration.likeness:.2f}: nothing goes by the name asked for"
    return one_line(start.name + also)


def _about(exploration: Exploration, item: Reached) -> list[str]:
    """When a link holds, and that it has ended."""
    from remembrancer.entrypoints.cli.rendering import span

    link = item.link
    when = [] if link.valid == Interval() else [span(link.valid)]
    if exploration.over(link):
        when.append("ended")
    return when


def _last(exploration: Exploration, item: Reached) -> str:
    """The last step to a link; of a fact, what it says."""
    fact = exploration.facts.get(item.link.fact_id) if item.link.fact_id is not None else None
    if isinstance(item.link, Mention) and fact is not None:
        return one_line(fact.text)
    return one_line(item.path.last)
