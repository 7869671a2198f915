"""A difference as an HTML page, with the words that came and went."""

from __future__ import annotations

from remembrancer.entrypoints.cli.page import page, text
from remembrancer.entrypoints.cli.rendering import instant, span
from remembrancer.types import Difference, FactDifference, Moment

_STYLE = """
.totals { margin: .4rem 0 1.2rem; }
article.card { padding: .7rem 1rem; margin: .6rem 0; border-left-width: 4px; }
.added, .restored { border-left-color: var(--active); }
.superseded { border-left-color: var(--superseded); }
.retracted, .absent { border-left-color: var(--retracted); }
.expired { border-left-color: var(--expired); }
.kind { font-size: .85rem; font-weight: 650; }
.kind .soft { font-weight: 400; margin-left: .5em; }
.words { margin: .2rem 0; font-size: 1.05rem; overflow-wrap: anywhere; }
ins { background: var(--ins); text-decoration: none; border-radius: 3px; padding: 0 .1em; }
del { background: var(--del); border-radius: 3px; padding: 0 .1em; }
.cause { font-size: .85rem; overflow-wrap: anywhere; }
"""
_TAGS = {"=": "span", "-": "del", "+": "ins"}


def draw_difference(difference: Difference) -> str:
    """The page, as the text of an HTML file."""
    ends = f"{_moment(difference.before)} to {_moment(difference.after)}"
    totals = ", ".join(f"{count:,} {kind.value}" for kind, count in difference.totals.items())
    body = "\n".join(
        (
            "<header><h1>What changed</h1>",
            f'<div class="soft">{text(ends)}</div>',
            f'<div class="totals">{text(totals or "Nothing.")}</div></header>',
            *map(_article, difference),
        )
    )
    return page("What changed", body, style=_STYLE)


def _moment(moment: Moment) -> str:
    return f"@{moment.version} ({instant(moment.at)})"


def _article(change: FactDifference) -> str:
    words = "".join(f"<{_TAGS[op]}>{text_of(part)}</{_TAGS[op]}>" for op, part in change.words)
    cause = change.cause
    why = f", because: {cause.reason}" if cause.reason else ""
    kind = change.change.value
    return (
        f'<article class="card {kind}"><div class="kind">{kind} '
        f'<span class="soft">holds {text(span(change.fact.valid))}</span></div>'
        f'<div class="words">{words}</div><div class="cause soft">'
        f"{text(f'{cause.type} by {cause.actor}, {instant(cause.recorded_at)}{why}')}<br>"
        f"fact {text(change.fact_id)}, request {text(cause.correlation_id)}</div></article>"
    )


def text_of(part: str) -> str:
    """A part of a text, with the spaces at its ends."""
    before = " " if part[:1].isspace() else ""
    after = " " if part[-1:].isspace() and part.strip() else ""
    return f"{before}{text(part)}{after}"
