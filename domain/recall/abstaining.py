"""Whether a search found an answer, or only the nearest of what is no answer. Pure."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from remembrancer.domain.recall.ranking import Ranked

UNANSWERED = 0.3
"""A best score below this is not known. On LoCoMo 2 of 100 questions about the conversation score
lower, and three of four about another one."""


def is_answered(ranked: Sequence[Ranked], names: Collection[str]) -> bool:
    """Whether the best hit scores at least ``UNANSWERED`` and, if the question names speakers, one
    of them said it: what another speaker said of himself is no answer.

    Args:
        ranked: hits, best first.
        names: the speakers that the question names.
    """
    if not ranked or ranked[0].score < UNANSWERED:
        return False
    return not names or ranked[0].hit.speaker in (None, *names)
