"""The words under which a fact store keeps an ending, for sentences that say the opposite.

"I quit drinking green tea" has the key "drink green tea", which "I drink green tea every morning"
looks up. Longer statements are kept under their first words.
"""

from __future__ import annotations

import re

from remembrancer.application.extraction.rules.answers import in_one_sentence
from remembrancer.application.extraction.rules.readings import remembered
from remembrancer.application.reconciliation.negations import Assertion, assertion_in
from remembrancer.domain.conversation import Role

ENDINGS_VERSION = 1
"""Increment with every change of ``ending_key``: rows hold its results, and must be rebuilt."""

PREFIX_WORDS = 3
"""Words at the start of a statement that are indexed, to find its negations."""


_CUES = re.compile(
    r"\b(?:stopped|quit|gave|given|used|longer|not|\w+n['\u2019\u02bc\uff07]?t)\b", re.IGNORECASE
)
"""Every ending has one of these words, unless it is a question with its answer."""


@remembered
def ending_key(text: str) -> str | None:
    """The key of a text that says that something is over, or denies it; ``None`` for others."""
    if _CUES.search(text) is None and in_one_sentence(text) is None:
        return None
    # Who speaks changes the subject alone, which is no part of the key.
    assertion = assertion_in(text, Role.USER.value)
    if assertion is None or not assertion.over:
        return None
    return _key(prefixes(assertion)[-1])


def opposing_keys(assertion: Assertion) -> list[str]:
    """The keys of the endings that may oppose an assertion."""
    return [] if assertion.over else [_key(words) for words in prefixes(assertion)]


def prefixes(assertion: Assertion) -> list[tuple[str, ...]]:
    """The first words of an assertion, from one word up to ``PREFIX_WORDS``."""
    words = assertion.words
    return [words[:count] for count in range(1, min(len(words), PREFIX_WORDS) + 1)]


def _key(words: tuple[str, ...]) -> str:
    return " ".join(words)
