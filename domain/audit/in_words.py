"""The answer of ``why`` in plain words: where a fact came from, what was believed before, what
holds now. Every sentence repeats what was recorded.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from remembrancer.domain.events import FactRestored
from remembrancer.domain.facts.fact import FactStatus
from remembrancer.domain.recall.index_context import MONTHS

if TYPE_CHECKING:
    from remembrancer.domain.audit.provenance import Ended, Quote, Why, WhyStep

LONGEST = 200
"""Characters of a quote in a sentence."""


def answer_of(why: Why) -> tuple[str, ...]:
    """One to three lines."""
    lines = (_origin(why), _before(why), _now(why))
    return tuple(line for line in lines if line)


def day(moment: datetime) -> str:
    """``3 May 2026``, on the day that the speaker's clock showed."""
    return f"{moment.day} {MONTHS[moment.month - 1]} {moment.year}"


def quoted(text: str) -> str:
    """A text in quotes, on one line and not too long."""
    line = " ".join(text.split())
    return f"“{line if len(line) <= LONGEST else line[:LONGEST] + '…'}”"


def closed(text: str) -> str:
    """A sentence with the mark that ends it, unless the quote at its end has one."""
    return text if text.rstrip("”")[-1:] in (".", "!", "?", "…") else f"{text}."


def _origin(why: Why) -> str:
    if not why.versions:
        return "Nothing is recorded about where this came from."
    step = why.versions[_wording(why)]
    said = _readable(step)
    again = [each for each in why.versions if each.type == "fact.reaffirmed"]
    repeated = f" It was said again, last on {day(_said_at(again[-1]))}." if again else ""
    if said is not None:
        words = said.quote or said.text or ""
        sentence = f"{_capital(_speaker(said))} said so on {_day_of(said)}: {quoted(words)}"
        return closed(sentence) + repeated
    edited = step.decision is None and not step.evidence
    because = f": {step.reason}" if step.reason and edited else ""
    return closed(_capital(_because(step)) + because) + repeated


def _before(why: Why) -> str:
    at = _wording(why) if why.versions else 0
    if at > 0 and why.versions[at - 1].text != why.versions[at].text:
        earlier = why.versions[:at]
        source = earlier[_last_wording(earlier)]
        text, because, changed = earlier[-1].text, _because(source), why.versions[at].reason
    elif why.replaced and why.replaced[0].text is not None:
        first = why.replaced[0]
        text, changed = first.text or "", first.why
        because = _said_so(first.said) if first.said else ""
    else:
        return ""
    reason = closed(f" Why it changed: {changed}") if changed else ""
    believed = f"Before, I believed {quoted(text)}"
    return (closed(f"{believed}, because {because}") if because else closed(believed)) + reason


def _now(why: Why) -> str:
    if why.ended is not None:
        now = _ending(why.ended)
    elif why.fact.recorded.end is not None:
        now = f"That was believed until {day(why.fact.recorded.end)}."
    elif why.fact.rivals:
        now = "I still believe it; another answer stands beside it, and nobody said which holds."
    else:
        now = "I still believe it."
    gaps = "; ".join(why.gaps)
    return f"{now} Not everything can be followed: {gaps}." if gaps else now


def _ending(ended: Ended) -> str:
    because = f": {ended.why}" if ended.why else ""
    since = day(ended.recorded_at)
    if ended.status is FactStatus.RETRACTED:
        return closed(f"{_capital(ended.actor)} withdrew it on {since}{because}")
    if ended.status is FactStatus.EXPIRED:
        return f"It expired on {since}."
    if ended.text is not None:
        return closed(f"Since {since} I believe {quoted(ended.text)} instead{because}")
    return closed(f"Since {since} I do not believe it any more{because}")


def _wording(why: Why) -> int:
    return _last_wording(why.versions)


def _last_wording(steps: tuple[WhyStep, ...]) -> int:
    """The step that the text comes from: the last one that changed or restored it."""
    for at in range(len(steps) - 1, 0, -1):
        if steps[at].text != steps[at - 1].text or steps[at].type == FactRestored.type_name:
            return at
    return 0


def _because(step: WhyStep) -> str:
    said = _readable(step)
    if said is not None:
        return _said_so(said)
    if step.statement is not None and step.version == 1:
        stated = step.statement
        parts = f"{stated.subject} {stated.predicate} {stated.value}"
        return f"it was stated on {day(step.recorded_at)} (by {step.actor}): {quoted(parts)}"
    if step.type == FactRestored.type_name:
        return f"{step.actor} took a change back on {day(step.recorded_at)}"
    if step.version > 1 and not step.evidence:
        return f"{step.actor} changed it on {day(step.recorded_at)}"
    erased = any(each.erased for each in step.evidence)
    what = "a message that was erased" if erased else "something that can't be read"
    return f"it came from {what}, on {day(step.recorded_at)}"


def _readable(step: WhyStep) -> Quote | None:
    return next((each for each in step.evidence if each.text is not None), None)


def _said_so(said: Quote | None) -> str:
    if said is None or said.text is None:
        return ""
    return f"{_speaker(said)} said so on {_day_of(said)}"


def _speaker(said: Quote) -> str:
    return {"user": "you", "assistant": "the assistant", "tool": "a tool"}.get(
        said.speaker or "", said.speaker or "somebody"
    )


def _said_at(step: WhyStep) -> datetime:
    said = _readable(step)
    return said.occurred_at if said and said.occurred_at else step.recorded_at


def _day_of(said: Quote) -> str:
    return day(said.occurred_at) if said.occurred_at else "an unknown day"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
