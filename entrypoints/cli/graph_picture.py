"""Draw a neighbourhood of the knowledge graph as an SVG picture, laid out in rings.

The start entity is in the middle, nodes one step away are on the first ring, and so on; then
overlapping boxes are pushed apart. A fact has a box unless a relation of it is drawn. The layout is
deterministic. The SVG has no scripts and no external references.
"""

from __future__ import annotations

import math
import re
import textwrap
from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import combinations
from xml.sax.saxutils import escape

from attrs import define, field, frozen
from rich.cells import cell_len

from remembrancer.entrypoints.cli.printable import one_line
from remembrancer.entrypoints.cli.rendering import day, span
from remembrancer.types import Exploration, Interval, Link, Mention, Relation, normalised

RING = 175
"""Pixels between two rings, at least."""

ARC = 62
"""Pixels along a ring for each box on it."""

STRETCH = 1.6
"""Width of the rings by their height; boxes are wide, too."""

GAP = 22
ROUNDS = 200
MARGIN = 40
CHARACTER = {"entity": 7.6, "fact": 6.1, "label": 6.1}
"""Pixels per cell of text, with some margin."""

LINE = {"entity": 18, "fact": 14, "label": 13}
ROUNDING = {"entity": 10, "fact": 3, "label": 3}
PADDING = {"entity": (20, 10), "fact": (20, 10), "label": (6, 2)}
TIP = 9
LONGEST_NAME = 40
NOTE = 26, 2
"""Cells per line, and lines, of a fact."""

BEND = 90
"""Twice the largest distance in pixels between two parallel lines of the same boxes."""

_STYLE = """
text { font-family: system-ui, 'Segoe UI', 'Helvetica Neue', Arial, sans-serif; }
.title { font-size: 18px; font-weight: 600; fill: #16202c; }
.small { font-size: 12px; fill: #5b6b7b; }
.entity rect { fill: #e4eefb; stroke: #4a7ebb; }
.entity text { font-size: 13px; fill: #16202c; text-anchor: middle; }
.start rect { fill: #1f4e8c; stroke: #1f4e8c; }
.start text { fill: #ffffff; font-weight: 600; }
.fact rect { fill: #fbf6e3; stroke: #d9c98a; }
.fact text { font-size: 11px; fill: #574d29; text-anchor: middle; }
.relation path { fill: none; stroke: #41566b; stroke-width: 1.5; }
.label rect { fill: #ffffff; fill-opacity: 0.85; }
.label text { font-size: 11px; text-anchor: middle; fill: #16202c; }
.relation polygon { fill: #41566b; }
.mention path { fill: none; stroke: #d2c48c; stroke-width: 1; }
.over path { stroke: #a3adb7; stroke-dasharray: 6 4; }
.over polygon { fill: #a3adb7; }
.over text { fill: #7d8893; }
.fact.over rect { stroke-dasharray: 4 3; }
"""
_UNWRITABLE = re.compile("[\ud800-\udfff\ufffe\uffff]")


@define
class _Box:
    """An entity, a fact or a label, with its centre and size in pixels."""

    kind: str
    lines: tuple[str, ...]
    ring: int
    over: bool = False
    x: float = 0.0
    y: float = 0.0
    width: float = field(init=False)
    height: float = field(init=False)
    children: list[int] = field(factory=list)

    def __attrs_post_init__(self) -> None:
        widest = max(map(cell_len, self.lines), default=0)
        wider, higher = PADDING[self.kind]
        self.width = widest * CHARACTER[self.kind] + wider
        self.height = len(self.lines) * LINE[self.kind] + higher


@frozen
class _Line:
    """A relation between two boxes, or the line from a fact to one of its entities."""

    start: int
    end: int
    link: Link
    over: bool


def draw_graph(exploration: Exploration) -> str:
    """The picture, as the text of an SVG file."""
    boxes, lines = _parts(exploration)
    _lay_out(boxes)
    _push_apart(boxes[1:], boxes[:1], GAP)
    drawn, labels = _drawn(lines, boxes)
    _push_apart(labels, boxes, 0)
    left = min(box.x - box.width / 2 for box in boxes) - MARGIN
    right = max(box.x + box.width / 2 for box in boxes) + MARGIN
    top = min(box.y - box.height / 2 for box in boxes) - MARGIN - 50
    bottom = max(box.y + box.height / 2 for box in boxes) + MARGIN
    width, height = max(right - left, 480), bottom - top
    view = f"{left:.0f} {top:.0f} {width:.0f} {height:.0f}"
    return "\n".join(
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="{view}" '
            f'width="{width:.0f}" height="{height:.0f}">',
            f"<style>{_STYLE}</style>",
            f'<rect x="{left:.0f}" y="{top:.0f}" width="100%" height="100%" fill="#ffffff"/>',
            *_heading(exploration, left + MARGIN / 2, top + 30),
            *drawn,
            *(_drawn_box(box) for box in (*labels, *boxes)),
            "</svg>\n",
        )
    )


def _parts(exploration: Exploration) -> tuple[list[_Box], list[_Line]]:
    """The boxes, the middle one first, each a child of the box it was reached from, and lines."""
    start = exploration.start
    boxes = [_Box("entity", _entity_lines(start.name, start.aliases), 0)]
    places = {normalised(name): 0 for name in (start.name, *start.aliases)}
    groups = {
        normalised(name): (entity.name, entity.aliases)
        for entity in exploration.entities
        for name in (entity.name, *entity.aliases)
    }
    lines: list[_Line] = []

    def hang(box: _Box, parent: int) -> int:
        boxes.append(box)
        boxes[parent].children.append(len(boxes) - 1)
        return len(boxes) - 1

    def place(name: str, parent: int) -> int:
        folded = normalised(name)
        if folded not in places:
            first, aliases = groups.get(folded, (name, ()))
            box = _Box("entity", _entity_lines(first, aliases), boxes[parent].ring + 1)
            number = hang(box, parent)
            places.update({normalised(known): number for known in (first, *aliases, name)})
        return places[folded]

    said = {relation.fact_id for relation, _ in exploration.relations}
    for item in exploration.reached:
        link = item.link
        if isinstance(link, Mention) and link.fact_id in said:
            continue
        known = [places[folded] for end in link.ends if (folded := normalised(end)) in places]
        parent = min(known, key=lambda number: boxes[number].ring, default=0)
        if isinstance(link, Mention):
            fact = exploration.facts.get(link.fact_id)
            note = _note(fact.text if fact else link.fact_id)
            ring = boxes[parent].ring + 1
            number = hang(_Box("fact", note, ring, exploration.over(link)), parent)
            ends = dict.fromkeys(place(end, number) for end in link.ends)
            lines += [_Line(number, end, link, exploration.over(link)) for end in ends]
        elif not link.synonym:
            subject, object_ = (place(end, parent) for end in (link.subject, link.object))
            lines.append(_Line(subject, object_, link, exploration.over(link)))
    return boxes, lines


def _entity_lines(name: str, aliases: Sequence[str]) -> tuple[str, ...]:
    also = (f"also {', '.join(aliases)}",) if aliases else ()
    return tuple(_shortened(_clean(line)) for line in (name, *also))


def _shortened(line: str) -> str:
    return line if len(line) <= LONGEST_NAME else f"{line[: LONGEST_NAME - 1]}…"


def _note(text: str) -> tuple[str, ...]:
    width, most = NOTE
    return tuple(textwrap.wrap(_clean(text), width, max_lines=most, placeholder=" …")) or ("…",)


def _clean(text: str) -> str:
    return _UNWRITABLE.sub("\ufffd", one_line(text))


def _lay_out(boxes: Sequence[_Box]) -> None:
    """Place boxes on rings around the first; a branch gets an arc in proportion to its leaves."""
    ends = [0] * len(boxes)
    for number in range(len(boxes) - 1, -1, -1):
        ends[number] = sum(ends[child] for child in boxes[number].children) or 1
    on_ring: dict[int, int] = defaultdict(int)
    for box in boxes:
        on_ring[box.ring] += 1
    radii = [0.0]
    for ring in range(1, max(on_ring) + 1):
        radii.append(max(radii[-1] + RING, on_ring[ring] * ARC / math.tau))
    turns: dict[int, tuple[float, float]] = {0: (-math.pi / 2, 1.5 * math.pi)}
    for number, box in enumerate(boxes):
        begin, end = turns[number]
        middle = (begin + end) / 2
        box.x = STRETCH * radii[box.ring] * math.cos(middle)
        box.y = radii[box.ring] * math.sin(middle)
        for child in box.children:
            share = (end - begin) * ends[child] / ends[number]
            turns[child] = (begin, begin + share)
            begin += share


def _push_apart(boxes: Sequence[_Box], fixed: Sequence[_Box], gap: float) -> None:
    """Move overlapping boxes apart, for at most ``ROUNDS`` rounds; ``fixed`` ones stay."""
    pairs = [*((box, other) for box in fixed for other in boxes), *combinations(boxes, 2)]
    stays = set(map(id, fixed))
    for _ in range(ROUNDS):
        moved = False
        for one, other in pairs:
            wide = (one.width + other.width) / 2 + gap - abs(one.x - other.x)
            high = (one.height + other.height) / 2 + gap - abs(one.y - other.y)
            if wide <= 0 or high <= 0:
                continue
            moved = True
            share = 0.0 if id(one) in stays else 0.5
            if high <= wide:
                step = math.copysign(high, other.y - one.y)
                one.y -= step * share
                other.y += step * (1 - share)
            else:
                step = math.copysign(wide, other.x - one.x)
                one.x -= step * share
                other.x += step * (1 - share)
        if not moved:
            return


def _heading(exploration: Exploration, x: float, y: float) -> Iterator[str]:
    relations, facts = exploration.relations, exploration.mentions
    counted = (
        f"{len(exploration.entities)} entities, {len(relations)} relations, {len(facts)} facts, "
        f"as of {day(exploration.now)} UTC; dashed: has ended"
    )
    title = escape(_clean(exploration.start.name))
    yield f'<text class="title" x="{x:.0f}" y="{y:.0f}">{title}</text>'
    yield f'<text class="small" x="{x:.0f}" y="{y + 20:.0f}">{escape(counted)}</text>'


def _drawn_box(box: _Box) -> str:
    kind = "entity start" if box.ring == 0 else box.kind
    first = box.y - (len(box.lines) - 1) * LINE[box.kind] / 2 + 4.5
    texts = "".join(
        f'<text x="{box.x:.1f}" y="{first + number * LINE[box.kind]:.1f}">{escape(line)}</text>'
        for number, line in enumerate(box.lines)
    )
    return (
        f'<g class="{kind}{" over" if box.over else ""}">'
        f'<rect x="{box.x - box.width / 2:.1f}" y="{box.y - box.height / 2:.1f}" '
        f'width="{box.width:.1f}" height="{box.height:.1f}" rx="{ROUNDING[box.kind]}"/>'
        f"{texts}</g>"
    )


def _drawn(lines: Sequence[_Line], boxes: Sequence[_Box]) -> tuple[list[str], list[_Box]]:
    """Every line, and the labels of relations."""
    between: dict[frozenset[int], list[_Line]] = defaultdict(list)
    for line in lines:
        between[frozenset((line.start, line.end))].append(line)
    drawn: list[str] = []
    labels: list[_Box] = []
    for parallel in between.values():
        for number, line in enumerate(parallel):
            # Parallel lines are bent to both sides, in one direction for both orders of the ends.
            bend = (number - (len(parallel) - 1) / 2) * BEND
            path, tip, middle = _course(
                boxes[line.start], boxes[line.end], -bend if line.start > line.end else bend
            )
            over = " over" if line.over else ""
            if isinstance(line.link, Relation):
                drawn.append(f'<g class="relation{over}"><path d="{path}"/>{tip}</g>')
                labels.append(_label(line.link, middle, over=line.over))
            else:
                drawn.append(f'<g class="mention{over}"><path d="{path}"/></g>')
    return drawn, labels


def _label(relation: Relation, middle: tuple[float, float], *, over: bool) -> _Box:
    """The predicate, and the valid interval below it."""
    predicate = _shortened(_clean(relation.predicate.replace("_", " ")))
    when = () if relation.valid == Interval() else (span(relation.valid),)
    label = _Box("label", (predicate, *when), -1, over)
    label.x, label.y = middle
    return label


def _course(start: _Box, end: _Box, bend: float) -> tuple[str, str, tuple[float, float]]:
    """The path of a line, its arrowhead, and its middle."""
    if start is end:
        x, y = start.x + start.width / 2, start.y
        return (
            f"M{x:.1f} {y - 6:.1f} c50 -40 50 52 2 12",
            _tip((x + 40, y + 20), (x + 2, y + 6)),
            (x + 70, y),
        )
    dx, dy = end.x - start.x, end.y - start.y
    side = bend / (math.hypot(dx, dy) or 1.0)
    bent = (start.x + end.x) / 2 - dy * side, (start.y + end.y) / 2 + dx * side
    a, b = _edge_of(start, bent), _edge_of(end, bent)
    path = f"M{a[0]:.1f} {a[1]:.1f} Q{bent[0]:.1f} {bent[1]:.1f} {b[0]:.1f} {b[1]:.1f}"
    middle = (a[0] + 2 * bent[0] + b[0]) / 4, (a[1] + 2 * bent[1] + b[1]) / 4
    return path, _tip(bent, b), middle


def _tip(origin: tuple[float, float], point: tuple[float, float]) -> str:
    """An arrowhead at a point. Not an SVG marker: many viewers rotate those wrongly."""
    dx, dy = point[0] - origin[0], point[1] - origin[1]
    length = math.hypot(dx, dy) or 1.0
    dx, dy = dx / length * TIP, dy / length * TIP
    corners = (
        point,
        (point[0] - dx - dy / 2, point[1] - dy + dx / 2),
        (point[0] - dx + dy / 2, point[1] - dy - dx / 2),
    )
    return f'<polygon points="{" ".join(f"{x:.1f},{y:.1f}" for x, y in corners)}"/>'


def _edge_of(box: _Box, towards: tuple[float, float]) -> tuple[float, float]:
    """The point where the line from the centre of a box to a point leaves the box."""
    dx, dy = towards[0] - box.x, towards[1] - box.y
    scale = max(abs(dx) / (box.width / 2 + 2), abs(dy) / (box.height / 2 + 2), 1e-9)
    return (box.x + dx / scale, box.y + dy / scale) if scale > 1 else (box.x, box.y)
