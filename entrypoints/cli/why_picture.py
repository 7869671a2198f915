"""Draw why a fact is believed: messages, what a model made of them, the decisions, the versions.

From left to right, one row for each version of the fact. ``draw_why`` makes an SVG, ``mermaid_of``
a Mermaid flow chart of the same parts. Neither has scripts or external references.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator, Sequence

from attrs import define, field, frozen

from remembrancer.entrypoints.cli.page import PALETTE, text
from remembrancer.entrypoints.cli.printable import one_line
from remembrancer.entrypoints.cli.rendering import day, instant
from remembrancer.types import Inference, Quote, Why

WIDTH = 250
"""Pixels of a box."""

GAP = 92
"""Pixels between two columns."""

LINE = 17
PADDING = 10
BETWEEN = 14
MARGIN = 24
CELLS = 34
MOST_LINES = 4
"""Lines of a text in a box."""

_STYLE = """
svg { font: 12px system-ui, 'Segoe UI', 'Helvetica Neue', Arial, sans-serif; }
text { fill: var(--ink); } .head { font-weight: 650; } .soft { fill: var(--soft); }
.title { font-size: 15px; font-weight: 650; }
.paper { fill: var(--page); }
rect.box { fill: var(--card); stroke: var(--line); }
.message rect.box { stroke: var(--active); } .gap rect.box { stroke-dasharray: 5 4; }
.version rect.box { stroke: var(--accent); stroke-width: 1.5; }
.other rect.box { fill: none; stroke: var(--superseded); }
path { fill: none; stroke: var(--soft); } .tip { fill: var(--soft); stroke: none; }
"""


@define
class Box:
    """A part of the explanation: its kind, a heading, and lines of text; then where it is."""

    kind: str
    head: str
    lines: tuple[str, ...]
    column: int
    row: int
    x: float = 0.0
    y: float = 0.0

    @property
    def height(self) -> float:
        """Its height in pixels."""
        return (1 + len(self.lines)) * LINE + 2 * PADDING


@frozen
class Arrow:
    """An arrow between two boxes, by their places, with a label."""

    start: int
    end: int
    label: str = ""


@frozen
class Parts:
    """All boxes and arrows."""

    boxes: list[Box] = field(factory=list)
    arrows: list[Arrow] = field(factory=list)

    def add(self, kind: str, head: str, body: str, column: int, row: int) -> int:
        """Add a box; returns its place."""
        lines = textwrap.wrap(one_line(body), CELLS, max_lines=MOST_LINES, placeholder=" …")
        self.boxes.append(Box(kind, one_line(head), tuple(lines), column, row))
        return len(self.boxes) - 1


def parts_of(why: Why) -> Parts:
    """The parts of an explanation."""
    parts = Parts()
    inferences = {each.event_id: each for each in why.inferences}
    before: int | None = None
    for row, step in enumerate(why.versions):
        status = "" if step.status.value == "active" else f", {step.status.value}"
        version = parts.add("version", f"version {step.version}{status}", step.text, 2, row)
        causes = [_message(parts, each, row) for each in step.evidence]
        models = [_inference(parts, inferences[each], row) for each in step.inferences]
        for model in models:
            parts.arrows.extend(Arrow(cause, model) for cause in causes)
        what = step.decision.decision.value if step.decision else step.type
        parts.arrows.extend(Arrow(each, version, what) for each in models or causes)
        if not (models or causes):
            caller = f"{step.actor}, {instant(step.recorded_at)}"
            cause = parts.add("actor", caller, step.reason or step.type, 1, row)
            parts.arrows.append(Arrow(cause, version))
        if before is not None:
            parts.arrows.append(Arrow(before, version))
        before = version
    _others(parts, why)
    return parts


def _message(parts: Parts, quote: Quote, row: int) -> int:
    if quote.text is None:
        return parts.add("message gap", "a message", _missing(quote), 0, row)
    said = day(quote.occurred_at) if quote.occurred_at else ""
    return parts.add("message", f"{quote.speaker}, {said}", quote.quote or quote.text, 0, row)


def _missing(quote: Quote) -> str:
    return "was erased" if quote.erased else "not in this ledger, or of another scope"


def _inference(parts: Parts, inference: Inference, row: int) -> int:
    if inference.erased:
        return parts.add("model gap", "a model", "its answer was erased", 1, row)
    prompt = f"{inference.prompt} {inference.prompt_digest[:12]}".strip()
    return parts.add("model", inference.purpose, f"{inference.model} {prompt}", 1, row)


def _others(parts: Parts, why: Why) -> None:
    """The facts before it and after it, and the gaps."""
    versions = [place for place, box in enumerate(parts.boxes) if box.kind == "version"]
    if versions:
        for each in why.replaced:
            other = parts.add("other", "in place of", _known(each.text, each.why), 3, 0)
            parts.arrows.append(Arrow(versions[0], other))
        if why.ended is not None and why.ended.by is not None:
            known = _known(why.ended.text, why.ended.why)
            other = parts.add("other", "now", known, 3, len(versions))
            parts.arrows.append(Arrow(versions[-1], other))
    for gap in why.gaps:
        parts.add("gap", "what can't be followed", gap, 0, len(versions) + 1)


def _known(fact: str | None, reason: str) -> str:
    shown = fact or "a fact of another scope"
    return f"{shown} ({reason})" if reason else shown


def draw_why(why: Why) -> str:
    """The picture, as the text of an SVG file."""
    parts = parts_of(why)
    width, height = _lay_out(parts.boxes)
    answer = [one_line(line) for line in why.answer]
    top = MARGIN + LINE * (len(answer) + 1)
    whole = f'width="{width:.0f}" height="{height + top:.0f}"'
    return "\n".join(
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" {whole} '
            f'viewBox="0 0 {width:.0f} {height + top:.0f}">',
            f"<style>{PALETTE}{_STYLE}</style>",
            '<rect class="paper" width="100%" height="100%"/>',
            *_answer(answer, width),
            f'<g transform="translate(0 {top:.0f})">',
            *(_arrow(each, parts.boxes) for each in parts.arrows),
            *(_box(each) for each in parts.boxes),
            "</g>",
            "</svg>\n",
        )
    )


def _answer(lines: Sequence[str], width: float) -> Iterator[str]:
    most = int((width - 2 * MARGIN) / 6.4)
    for number, line in enumerate(lines):
        shown = line if len(line) <= most else f"{line[: most - 1]}…"
        style = "title" if number == 0 else "soft"
        y = MARGIN + LINE * (number + 0.5)
        yield f'<text class="{style}" x="{MARGIN}" y="{y:.0f}">{text(shown)}</text>'


def _lay_out(boxes: Sequence[Box]) -> tuple[float, float]:
    """Place the boxes of each row side by side, in their columns; returns the size of all."""
    y = float(MARGIN)
    for row in sorted({box.row for box in boxes}):
        lowest = y
        for column in range(4):
            below = y
            for box in (each for each in boxes if (each.row, each.column) == (row, column)):
                box.x, box.y = MARGIN + column * (WIDTH + GAP), below
                below += box.height + BETWEEN
            lowest = max(lowest, below)
        y = lowest + BETWEEN
    widest = max((box.x for box in boxes), default=MARGIN)
    return max(widest + WIDTH + MARGIN, 900), y + MARGIN


def _box(box: Box) -> str:
    x, y = box.x + PADDING, box.y + PADDING + LINE - 5
    lines = "".join(
        f'<text x="{x:.0f}" y="{y + LINE * number:.0f}">{text(line)}</text>'
        for number, line in enumerate(box.lines, 1)
    )
    head = box.head if len(box.head) <= CELLS else f"{box.head[: CELLS - 1]}…"
    return (
        f'<g class="{box.kind}"><rect class="box" x="{box.x:.0f}" y="{box.y:.0f}" '
        f'width="{WIDTH}" height="{box.height:.0f}" rx="7"/>'
        f'<text class="head" x="{x:.0f}" y="{y:.0f}">{text(head)}</text>{lines}</g>'
    )


def _arrow(arrow: Arrow, boxes: Sequence[Box]) -> str:
    start, end = boxes[arrow.start], boxes[arrow.end]
    if start.column == end.column:
        x, low, high = start.x + WIDTH / 2, start.y + start.height, end.y
        return (
            f'<path d="M{x:.0f} {low:.0f}V{high - 6:.0f}"/>'
            f'<path class="tip" d="M{x:.0f} {high:.0f}l-4 -8h8z"/>'
        )
    x1, y1 = start.x + WIDTH, start.y + start.height / 2
    x2, y2 = end.x, end.y + end.height / 2
    middle = (x1 + x2) / 2
    label = arrow.label if len(arrow.label) <= 12 else f"{arrow.label[:11]}…"
    return (
        f'<path d="M{x1:.0f} {y1:.0f}C{middle:.0f} {y1:.0f} {middle:.0f} {y2:.0f} '
        f'{x2 - 7:.0f} {y2:.0f}"/><path class="tip" d="M{x2:.0f} {y2:.0f}l-8 -4v8z"/>'
        f'<text class="soft" text-anchor="middle" x="{x2 - GAP / 2:.0f}" y="{y2 - 6:.0f}">'
        f"{text(one_line(label))}</text>"
    )


_SPECIAL = re.compile(r"[^\w .,:;!?'’“”…äöüß/@+-]")


def mermaid_of(why: Why) -> str:
    """The same parts as a Mermaid flow chart. Characters with a meaning in Mermaid are escaped."""
    parts = parts_of(why)
    lines = ["flowchart LR"]
    for place, box in enumerate(parts.boxes):
        label = "<br>".join(map(_escaped, (box.head, *box.lines)))
        lines.append(f'    n{place}["{label}"]')
    for arrow in parts.arrows:
        label = f'|"{_escaped(arrow.label)}"|' if arrow.label else ""
        lines.append(f"    n{arrow.start} -->{label} n{arrow.end}")
    return "\n".join((*lines, ""))


def _escaped(label: str) -> str:
    return _SPECIAL.sub(lambda found: f"#{ord(found.group())};", one_line(label))
