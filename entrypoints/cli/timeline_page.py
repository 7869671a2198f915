"""A timeline as one HTML file: a draggable ``as of`` line, hover, filter and zoom, offline."""

from __future__ import annotations

from importlib.resources import files

from remembrancer.entrypoints.cli.page import page, text
from remembrancer.entrypoints.cli.timeline_picture import (
    AXIS,
    LABEL,
    LEFT,
    LONGEST_NAME,
    ROW,
    STRIP,
    STYLE,
    WIDTH,
    Scale,
    draw_axis,
    draw_events,
    draw_rows,
    heading,
    milliseconds,
    recorded_scale,
    valid_scale,
)
from remembrancer.types import Timeline

_STYLE = (
    STYLE
    + """
body { min-width: 54rem; max-width: 82rem; }
header { position: sticky; top: 0; z-index: 1; background: var(--page); padding: .6rem 0 0; }
.tools { display: flex; flex-wrap: wrap; gap: .6rem 1.2rem; align-items: center; margin: .6rem 0; }
.tools span { color: var(--soft); font-size: .85rem; }
button, input { font: inherit; font-size: .85rem; color: var(--ink); background: var(--card);
  border: 1px solid var(--line); border-radius: 6px; padding: .15rem .55rem; }
input { min-width: 14rem; }
button:hover { border-color: var(--soft); }
:focus-visible { outline: 2px solid var(--accent); outline-offset: 1px; }
output { font-weight: 650; font-variant-numeric: tabular-nums; color: var(--accent); }
svg { width: 100%; height: auto; }
.card { padding: .5rem .8rem; }
main { margin-top: .5rem; }
#strip { cursor: ew-resize; touch-action: none; }
#axis, #chart { cursor: grab; touch-action: pan-y; }
.scale text { text-anchor: middle; }
#line line { stroke: var(--accent); stroke-width: 2; }
#line path { fill: var(--accent); }
.bar.past { display: none; }
.row.unknown .name { fill: var(--soft); opacity: .55; }
.row:hover > .rule { stroke-opacity: 1; }
.bar:hover, .tick:hover { filter: brightness(1.15); }
#tip { position: fixed; z-index: 2; max-width: 28rem; padding: .5rem .7rem; font-size: .85rem;
  white-space: pre-wrap; overflow-wrap: anywhere; pointer-events: none;
  box-shadow: 0 4px 16px rgb(0 0 0 / .25); }
.legend i { display: inline-block; width: .8em; height: .8em; border-radius: 3px;
  margin: 0 .3em 0 .8em; vertical-align: -.05em; }
.active i { background: var(--active); } .superseded i { background: var(--superseded); }
.retracted i { background: var(--retracted); } .expired i { background: var(--expired); }
"""
)

_TOOLS = """
<div class="tools"><label><span>as of</span> <output id="as-of"></output></label>
<button id="latest">latest</button>
<input id="filter" type="search" placeholder="filter by words, slot or id" aria-label="filter">
<span id="shown"></span>
<span>recorded <button data-axis="recorded" data-zoom="0.5" aria-label="zoom in">+</button>
<button data-axis="recorded" data-zoom="2" aria-label="zoom out">−</button></span>
<span>holds <button data-axis="valid" data-zoom="0.5" aria-label="zoom in">+</button>
<button data-axis="valid" data-zoom="2" aria-label="zoom out">−</button></span>
<button id="whole">whole</button>
<span class="legend"><span class="active"><i></i>active</span>
<span class="superseded"><i></i>superseded</span> <span class="retracted"><i></i>retracted</span>
<span class="expired"><i></i>expired</span></span></div>
"""

_HINT = (
    "Drag the line over the events, or step with the arrow keys, to see what was believed then. "
    "Drag the bars to move, and zoom with + and − or Ctrl and the wheel."
)


def draw_timeline_page(timeline: Timeline, owner: str) -> str:
    """The page, as the text of an HTML file.

    Args:
        timeline: what to draw.
        owner: whose it is, for the title.
    """
    recorded, valid = recorded_scale(timeline), valid_scale(timeline)
    last = timeline.events[-1].recorded_at if timeline.events else timeline.end.at
    data = {
        "left": LEFT,
        "width": WIDTH,
        "row": ROW,
        "label": LABEL,
        "longest": LONGEST_NAME,
        "recorded": _range(recorded),
        "valid": _range(valid),
        "latest": float(milliseconds(last)),
        "grouped": timeline.grouped,
    }
    height = ROW * max(len(timeline.rows), 1) + 8
    line = '<g id="line"><line y1="26" y2="72"/><path d="M-6 20h12l-6 8z"/></g>'
    body = "\n".join(
        (
            f'<header><h1>{text(owner)}</h1><div class="soft">{text(heading(timeline))}</div>',
            _TOOLS,
            '<div class="card">',
            f'<svg id="strip" viewBox="0 0 {WIDTH} {STRIP}" tabindex="0" role="slider"',
            'aria-label="as of">',
            *draw_events(timeline, recorded),
            f"{line}</svg>",
            f'<svg id="axis" viewBox="0 0 {WIDTH} {AXIS + 2}">',
            *draw_axis(valid, "when it holds"),
            "</svg></div></header>",
            f'<main class="card"><svg id="chart" viewBox="0 0 {WIDTH} {height}">',
            *draw_rows(timeline, valid, past=True),
            f'</svg></main><p class="soft">{_HINT}</p><div id="tip" class="card" hidden></div>',
        )
    )
    script = files("remembrancer.entrypoints.cli").joinpath("timeline.js").read_text("utf-8")
    return page(f"Timeline of {owner}", body, style=_STYLE, script=script, data=data)


def _range(scale: Scale) -> list[float]:
    return [float(milliseconds(each)) for each in (scale.start, scale.end)]
