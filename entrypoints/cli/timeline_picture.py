"""A timeline as SVG: facts as bars over valid time, events as ticks over transaction time.

Each clock has an axis of its own: what was said in an afternoon may be about a decade. The picture
is deterministic and has no external references. ``timeline_page`` puts the same parts into a page.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import groupby

from attrs import frozen
from rich.cells import cell_len, chop_cells

from remembrancer.entrypoints.cli.page import PALETTE, text
from remembrancer.entrypoints.cli.rendering import instant, span
from remembrancer.types import Fact, Timeline, TimelineEvent, TimelineFact

WIDTH = 1160
LEFT = 330
"""Where the axes begin; the names of rows are left of it."""

ROW = 24
STRIP = 76
AXIS = 30
LONGEST_NAME = 46
"""Cells of a name."""

LABEL = 76
"""Width of the label of an axis."""

MOST_LABELS = 8

_EARLIEST = datetime.min.replace(tzinfo=UTC)
_LATEST = datetime.max.replace(tzinfo=UTC)
_STEPS = [
    timedelta(milliseconds=step)
    for step in (
        *(1, 5, 20, 100, 500, 1000, 5000, 15_000, 60_000, 300_000, 900_000, 3_600_000),
        *(10_800_000, 21_600_000, 43_200_000, 86_400_000, 172_800_000, 604_800_000),
    )
]
_MONTHS = (1, 2, 3, 6, 12, 24, 60, 120, 240, 600, 1200, 6000, 12_000)

STYLE = """
svg { display: block; font: 12px system-ui, 'Segoe UI', 'Helvetica Neue', Arial, sans-serif; }
svg text { fill: var(--ink); }
.scale text, .hint { fill: var(--soft); font-size: 11px; }
.scale line, .base { stroke: var(--line); }
.tick { stroke: var(--soft); stroke-width: 2; }
.row > .rule { stroke: var(--line); stroke-opacity: .6; }
.bar { fill: var(--active); }
.bar.superseded { fill: var(--superseded); }
.bar.retracted { fill: var(--retracted); fill-opacity: .55; }
.bar.expired { fill: var(--expired); }
.grouped .bar { fill-opacity: .3; stroke: var(--card); stroke-width: .5; }
"""


@frozen
class Scale:
    """A linear scale of time, from ``LEFT`` to the right edge."""

    start: datetime
    end: datetime

    @classmethod
    def around(cls, moments: Sequence[datetime]) -> Scale:
        """The scale that shows all of some moments, with a margin."""
        first, last = min(moments), max(moments)
        margin = (last - first) * 0.04 or timedelta(seconds=1)
        return cls(
            first - margin if first - _EARLIEST > margin else _EARLIEST,
            last + margin if _LATEST - last > margin else _LATEST,
        )

    def x(self, moment: datetime) -> float:
        """Where a moment is."""
        share = (moment - self.start) / (self.end - self.start)
        return LEFT + min(max(share, 0.0), 1.0) * (WIDTH - LEFT)

    def labels(self) -> list[tuple[float, str]]:
        """Round times with their places, at most ``MOST_LABELS``."""
        whole = self.end - self.start
        for step in _STEPS:
            if whole / step <= MOST_LABELS:
                return [(self.x(at), _label(at, step)) for at in self._every(step)]
        return [(self.x(at), at.strftime("%Y-%m")) for at in self._firsts()]

    def _every(self, step: timedelta) -> Iterator[datetime]:
        epoch = datetime(1970, 1, 1, tzinfo=UTC)
        at = epoch + -((epoch - self.start) // step) * step
        while at <= self.end:
            if at >= self.start:
                yield at
            at += step

    def _firsts(self) -> Iterator[datetime]:
        first, last = (at.year * 12 + at.month - 1 for at in (self.start, self.end))
        step = next((n for n in _MONTHS if (last - first) / n <= MOST_LABELS), _MONTHS[-1])
        for month in range(first + -first % step, last + 1, step):
            at = datetime(max(month // 12, 1), month % 12 + 1, 1, tzinfo=UTC)
            if self.start <= at <= self.end:
                yield at


def _label(at: datetime, step: timedelta) -> str:
    if step >= timedelta(days=1):
        return at.strftime("%Y-%m-%d")
    if step >= timedelta(minutes=1):
        return at.strftime("%m-%d %H:%M")
    return at.time().isoformat("seconds" if step >= timedelta(seconds=1) else "milliseconds")


def draw_timeline(timeline: Timeline) -> str:
    """The picture, as the text of an SVG file: what is believed at the end."""
    rows = timeline.rows
    height = STRIP + AXIS + ROW * len(rows) + 60
    valid = valid_scale(timeline)
    return "\n".join(
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="-20 -40 {WIDTH + 40} {height}" '
            f'width="{WIDTH + 40}" height="{height}">',
            f"<style>{PALETTE}{STYLE}</style>",
            f'<rect x="-20" y="-40" width="{WIDTH + 40}" height="{height}" fill="var(--page)"/>',
            f'<text x="0" y="-16" font-size="16">{text(heading(timeline))}</text>',
            *draw_events(timeline, recorded_scale(timeline)),
            f'<g transform="translate(0,{STRIP})">',
            *draw_axis(valid, "when it holds"),
            f'</g><g transform="translate(0,{STRIP + AXIS})">',
            *draw_rows(timeline, valid, past=False),
            "</g></svg>\n",
        )
    )


def heading(timeline: Timeline) -> str:
    """What the picture shows, in a line."""
    facts, events = len(timeline.facts), len(timeline.events)
    told = f"{facts:,} facts, {events:,} events, @{timeline.start.version}–@{timeline.end.version}"
    grouped = f", grouped by slot and entity into {len(timeline.rows):,} rows"
    cut = " (the latest; earlier ones are left out)"
    return f"{told}{grouped if timeline.grouped else ''}{'' if timeline.complete else cut}"


def recorded_scale(timeline: Timeline) -> Scale:
    """Transaction time, from the first event to the last."""
    events = timeline.events
    moments = [event.recorded_at for event in (*events[:1], *events[-1:])]
    return Scale.around(moments or [timeline.start.at, timeline.end.at])


def valid_scale(timeline: Timeline) -> Scale:
    """Valid time, of all versions."""
    moments = [
        moment
        for each in timeline.facts
        for fact in each.versions
        for moment in (fact.valid.start, fact.valid.end, fact.occurred_at)
        if moment is not None
    ]
    return Scale.around([*moments, timeline.end.at] if moments else [timeline.end.at])


def draw_axis(scale: Scale, name: str) -> Iterator[str]:
    """An axis with its labels."""
    yield f'<text class="hint" x="0" y="18">{text(name)}</text><g class="scale">'
    for x, label in scale.labels():
        if x > WIDTH - LABEL / 2:
            continue
        yield (
            f'<line x1="{x:.1f}" y1="24" x2="{x:.1f}" y2="{AXIS}"/>'
            f'<text x="{x:.1f}" y="18" text-anchor="middle">{label}</text>'
        )
    yield f'</g><line class="base" x1="{LEFT}" y1="{AXIS}" x2="{WIDTH}" y2="{AXIS}"/>'


def draw_events(timeline: Timeline, scale: Scale) -> Iterator[str]:
    """A tick for each append, the higher the more events it has."""
    yield '<g class="recorded">'
    yield from draw_axis(scale, "when it was recorded")
    for moment, together in groupby(timeline.events, key=lambda event: event.recorded_at):
        events = list(together)
        x, height = scale.x(moment), min(8 + 3 * len(events), 32)
        yield (
            f'<line class="tick" data-t="{milliseconds(moment)}" data-v="{events[-1].version}" '
            f'x1="{x:.1f}" x2="{x:.1f}" y1="{AXIS + 4}" y2="{AXIS + 4 + height}">'
            f"<title>{_told(moment, events)}</title></line>"
        )
    yield "</g>"


def _told(moment: datetime, events: Sequence[TimelineEvent]) -> str:
    types = dict.fromkeys(event.type for event in events)
    counted = [(kind, sum(event.type == kind for event in events)) for kind in types]
    names = ", ".join(kind if count == 1 else f"{kind} ×{count}" for kind, count in counted)
    first, last = events[0].version, events[-1].version
    which = f"@{first}" if first == last else f"@{first}–@{last}"
    return "\n".join(map(text, (f"{which}, {instant(moment)}", f"by {events[0].actor}", names)))


def draw_rows(timeline: Timeline, scale: Scale, *, past: bool) -> Iterator[str]:
    """The rows; with ``past``, also the bars of versions that are no longer believed."""
    yield f'<g class="rows{" grouped" if timeline.grouped else ""}">'
    for place, (name, facts) in enumerate(timeline.rows):
        several = f" ({len(facts)})" if timeline.grouped else ""
        yield f'<g class="row" transform="translate(0,{place * ROW})">'
        yield f'<line class="rule" x1="0" y1="{ROW}" x2="{WIDTH}" y2="{ROW}"/>'
        yield f'<text class="name" x="4" y="16">{text(_shortened(name))}{several}</text>'
        for each in facts:
            yield from _bars(each, scale, past=past)
        yield "</g>"
    yield "</g>"


def _shortened(name: str) -> str:
    name = " ".join(name.split())
    return name if cell_len(name) <= LONGEST_NAME else f"{chop_cells(name, LONGEST_NAME)[0]}…"


def _bars(each: TimelineFact, scale: Scale, *, past: bool) -> Iterator[str]:
    for fact, event in zip(each.versions, each.events, strict=True):
        latest = fact is each.latest
        if not (latest or past):
            continue
        told = "\n".join(map(text, _about(fact, event)))
        for held in fact.intervals:
            start = scale.x(held.start) if held.start else float(LEFT)
            end = scale.x(held.end) if held.end else float(WIDTH)
            known = f'data-f="{milliseconds(fact.recorded.start)}"'
            until = "" if latest else milliseconds(fact.recorded.end)
            yield (
                f'<rect class="bar {fact.status.value}{"" if latest else " past"}" {known} '
                f'data-t="{until}" data-a="{milliseconds(held.start)}" '
                f'data-b="{milliseconds(held.end)}" x="{start:.1f}" y="6" '
                f'width="{max(end - start, 3):.1f}" height="13" rx="3"><title>{told}</title></rect>'
            )


def _about(fact: Fact, event: TimelineEvent | None) -> list[str]:
    by = f" by {event.actor}" if event else ""
    lines = [
        fact.text,
        f"{fact.status.value}, holds {span(fact.valid)}",
        f"version {fact.version}, believed {span(fact.recorded, instant)}{by}",
        f"slot {fact.slot}" if fact.slot else "",
        f"because: {fact.reason}" if fact.reason else "",
        f"fact {fact.fact_id}",
    ]
    return [line for line in lines if line]


def milliseconds(moment: datetime | None) -> str:
    """Milliseconds since 1970, as JavaScript has them, with three digits for microseconds."""
    if moment is None:
        return ""
    microseconds = (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
    return f"{microseconds / 1000:.3f}"
