"""Which facts the graph leads to, and how much of the way there a question speaks of.

Pure. It tells "Ann's sister" from all the rest that is near Ann by the words of the question alone:
a step along a relation is spoken of if the question holds a word of its predicate, or of the name
that it leads to.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Sequence
from math import log

from attrs import frozen

from remembrancer.domain.facts.fact import FactId
from remembrancer.domain.graph.graph import LinkKey, Relation
from remembrancer.domain.graph.walk import Path, Reached, Step
from remembrancer.domain.recall.function_words import FUNCTION_WORDS
from remembrancer.domain.text import FIRST_UNSPACED_SCRIPT, normalised

_WORD = re.compile(r"[^\W_]+")
LONGEST_ENDING = 3
"""Letters by which two forms of a word may differ at the end: work, works, working."""


UNSPOKEN = 0.25
"""What a step counts that the question does not speak of, on a way that it does speak of."""


@frozen(kw_only=True)
class Lead:
    """A fact that tells a relation within reach of what a question names, and the way to it.

    ``bearing``, above 0 and up to 1, is the mean of what the steps of ``path`` count: 1 for one
    that is spoken of, less the more of its kind there are (``1 / (1 + ln n)``: who likes many
    things is not told by one of them), ``UNSPOKEN`` for any other.
    """

    fact_id: FactId
    bearing: float
    path: Path


def leads(reached: Sequence[Reached], question: str) -> list[Lead]:
    """The facts behind the relations that were reached, each by its best path, best first.

    Where the question speaks of no step of the way there is no lead: to be near somebody is to be
    near everything about them.

    Args:
        reached: what a walk from the names in the question came to, nearest first.
        question: as it was asked.
    """
    text = normalised(question)
    asked = _words(text)
    kinds = Counter(_kind(item.path) for item in reached)
    # How much a step counts, by the link: a walk goes along each link in one way only.
    counts: dict[LinkKey, float] = {}
    best: dict[FactId, Lead] = {}
    for item in reached:
        link = item.link
        if not isinstance(link, Relation) or link.synonym:
            continue
        spoken_of = _spoken_of(item.path.steps[-1], asked, text)
        counts[link.key] = 1 / (1 + log(kinds[_kind(item.path)])) if spoken_of else 0.0
        steps = [counts[key] for one in item.path.links if (key := one.key) in counts]
        if link.fact_id is None or not any(steps):
            continue
        bearing = sum(count or UNSPOKEN for count in steps) / len(steps)
        if link.fact_id not in best or best[link.fact_id].bearing < bearing:
            best[link.fact_id] = Lead(fact_id=link.fact_id, bearing=bearing, path=item.path)
    return sorted(best.values(), key=lambda lead: -lead.bearing)


def _kind(path: Path) -> tuple[str, ...]:
    """What the last steps of several paths have in common: where from, and along what."""
    link = path.links[-1]
    here = path.steps[-2].to if len(path.steps) > 1 else path.start
    predicate = link.predicate if isinstance(link, Relation) else ""
    return (normalised(here or ""), normalised(predicate))


def _spoken_of(step: Step, asked: Collection[str], text: str) -> bool:
    if not isinstance(step.link, Relation):
        return False
    said = normalised(f"{step.link.predicate} {step.to or ''}")
    return any(
        word in text if word[0] >= FIRST_UNSPACED_SCRIPT else any(_akin(word, one) for one in asked)
        for word in _words(said)
    )


def _words(text: str) -> list[str]:
    words = dict.fromkeys(_WORD.findall(text))
    return [word for word in words if word not in FUNCTION_WORDS and len(word) > 1]


def _akin(one: str, other: str) -> bool:
    """Whether two words are, by their looks, forms of one."""
    shorter, longer = sorted((one, other), key=len)
    if shorter == longer:
        return True
    stem = 0
    while stem < len(shorter) and shorter[stem] == longer[stem]:
        stem += 1
    return stem >= max(3, len(shorter) - 2) and len(longer) - stem <= LONGEST_ENDING
