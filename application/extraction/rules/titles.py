"""Detect titles made of date words: the film "Yesterday", USA Today, "Last Week Tonight".

They have capitals where a date expression has none, or quotation marks of their own.
"""

from __future__ import annotations

import re

_OPENING, _CLOSING = frozenset("\"'«„“‘‹「*_"), frozenset("\"'»”“’›」*_")
_BOOK = frozenset("『《")
"""What follows these marks is a title, whatever its end is."""
_CALENDAR = re.compile(
    r"(?:mon|tue|wed|thu|fri|sat|sun|jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*",
    re.IGNORECASE,
)


def is_title(text: str, span: tuple[int, int], *, capital_nouns: bool = False) -> bool:
    """Whether the date words in ``span`` are a title, or part of one.

    Args:
        text: a sentence.
        span: where the date words are.
        capital_nouns: the language writes nouns with capitals, as German does.
    """
    start, end = span
    before, after = text[:start].rstrip(), text[end:]
    marks = text[max(0, start - 1) : start], after[:1]
    if marks[0] in _BOOK or (marks[0] in _OPENING and marks[1] in _CLOSING):
        return True
    if text.isupper():
        return False
    words = [word for word in text[start:end].split() if not _CALENDAR.fullmatch(word)]
    capitals = [word[0].isupper() for word in words]
    if not capitals or not capitals[0]:
        return False
    opening = not before or not (before[-1].isalnum() or before[-1] in ",:'\")")
    if opening:
        # "Last Night in Soho", but "Last night we met".
        return len(capitals) > 1 and all(capitals) and not capital_nouns
    return before[-1] != ":" or not any(character.isalnum() for character in after)
