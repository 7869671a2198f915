"""Find facts by the graph, and score how much of the path to them a question mentions.

Pure. A question mentions a step along a relation if it contains a word of the predicate, or of the
name that the step leads to. So "Ann's sister" matches her sister, and not everything near Ann.
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
from remembrancer.domain.text import COMBINING_MARKS, FIRST_UNSPACED_SCRIPT, normalised

_WORD = re.compile(rf"[^\W_](?:[^\W_]|[{COMBINING_MARKS}])*")
LONGEST_ENDING = 3
"""Letters that may differ at the end of two forms of a word: work, works, working."""

UNSPOKEN = 0.25
"""The weight of a step that the question does not mention, on a path with one that it mentions."""


@frozen(kw_only=True)
class Lead:
    """A fact behind a relation that a walk reached, and the path to it.

    ``bearing``, in (0, 1], is the mean weight of the steps of ``path``, aliases apart. The weight
    of a mentioned step is ``1 / (1 + ln n)``, if ``n`` relations of its kind were reached (one of
    many likes is less specific); that of any other step is ``UNSPOKEN``.
    """

    fact_id: FactId
    bearing: float
    path: Path


def leads(reached: Sequence[Reached], question: str) -> list[Lead]:
    """The facts behind the relations that were reached, each by its best path, best first.

    A path without a mentioned step gives no lead: otherwise every fact near an entity would match.

    Args:
        reached: the result of a walk from the names in the question, nearest first.
        question: as it was asked.
    """
    text = normalised(question)
    asked = _words(text)
    kinds = Counter(_kind(item.path) for item in reached)
    # The weight of a step, by its link: a walk goes along each link in one direction only.
    weights: dict[LinkKey, float] = {}
    best: dict[FactId, Lead] = {}
    for item in reached:
        link = item.link
        if not isinstance(link, Relation) or link.synonym:
            continue
        mentioned = _mentioned(item.path.steps[-1], asked, text)
        weights[link.key] = 1 / (1 + log(kinds[_kind(item.path)])) if mentioned else 0.0
        steps = [weights[key] for one in item.path.links if (key := one.key) in weights]
        if link.fact_id is None or not any(steps):
            continue
        bearing = sum(weight or UNSPOKEN for weight in steps) / len(steps)
        if link.fact_id not in best or best[link.fact_id].bearing < bearing:
            best[link.fact_id] = Lead(fact_id=link.fact_id, bearing=bearing, path=item.path)
    return sorted(best.values(), key=lambda lead: -lead.bearing)


def _kind(path: Path) -> tuple[str, ...]:
    """The origin and the predicate of the last step."""
    link = path.links[-1]
    here = path.steps[-2].to if len(path.steps) > 1 else path.start
    predicate = link.predicate if isinstance(link, Relation) else ""
    return (normalised(here or ""), normalised(predicate))


def _mentioned(step: Step, asked: Collection[str], text: str) -> bool:
    if not isinstance(step.link, Relation):
        return False
    step_text = normalised(f"{step.link.predicate} {step.to or ''}")
    return any(
        word in text
        if word[0] >= FIRST_UNSPACED_SCRIPT
        else any(_same_stem(word, one) for one in asked)
        for word in _words(step_text)
    )


def _words(text: str) -> list[str]:
    words = dict.fromkeys(_WORD.findall(text))
    return [word for word in words if word not in FUNCTION_WORDS and len(word) > 1]


def _same_stem(one: str, other: str) -> bool:
    """Whether two words look like forms of one word."""
    shorter, longer = sorted((one, other), key=len)
    if shorter == longer:
        return True
    stem = 0
    while stem < len(shorter) and shorter[stem] == longer[stem]:
        stem += 1
    return stem >= max(3, len(shorter) - 2) and len(longer) - stem <= LONGEST_ENDING
