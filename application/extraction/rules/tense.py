"""Detect past or future tense of an English sentence by keywords.

Keywords are auxiliaries, some eighty irregular verbs and the ending -ed. A sentence with none
of them, or with both past and future ones, has no tense.
"""

from __future__ import annotations

import re
from enum import Enum

_IRREGULAR_PAST = (
    "ate awoke became began bent blew bought broke brought built came caught chose crept did drank "
    "drew drove fell flew forgot forgave fought found froze gave got grew had heard held hid hung "
    "kept laid learnt led left lent lit lost made met paid ran rang rode rose said sang sank sat "
    "saw sent shook shot slept sold spent spoke stole stood struck stuck swam swore taught threw "
    "told took tore understood went woke won wore wrote"
).split()
_STATES = "lived worked loved liked hated wanted needed preferred believed owned used".split()
_ED = r"(?!\w*eed\b)[^\W\d_]{2,}ed"
_PAST = re.compile(
    rf"\b(?:was|were|felt|thought|knew|{'|'.join(_IRREGULAR_PAST)}|{_ED})\b", re.IGNORECASE
)
_FUTURE = re.compile(
    r"\b(?:will|'ll|shall|going to|gonna|plan(?:s|ning)? (?:to|on)|hop(?:e|es|ing) to|tomorrow|"
    r"about to|upcoming|next|look(?:s|ing)? forward|(?:can't|can not) wait|soon|"
    r"(?:am|is|are|'m|'re|'s) [^\W\d_]+ing)\b",
    re.IGNORECASE,
)
_ADVERB = r"(?:(?:just|finally|recently|also|even|actually|already|then|once|both|all)\s+)?"
_NARRATED = re.compile(
    rf"\b(?:I|we|he|she|they)\s+{_ADVERB}(?!(?:{'|'.join(_STATES)})\b)"
    rf"(?:{'|'.join(verb for verb in _IRREGULAR_PAST if verb != 'had')}|{_ED})\b",
    re.IGNORECASE,
)


class Tense(Enum):
    """The tense of a sentence."""

    PAST = "past"
    FUTURE = "future"


def tense_of(sentence: str) -> Tense | None:
    """The tense, ``None`` if there are no keywords or they contradict each other."""
    past, future = _PAST.search(sentence), _FUTURE.search(sentence)
    if (past is None) == (future is None):
        return None
    return Tense.PAST if past else Tense.FUTURE


def narrates(sentence: str) -> bool:
    """Whether a sentence says that somebody did something ("I bought a car")."""
    return _NARRATED.search(sentence) is not None
