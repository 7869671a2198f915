"""Numbers before a unit, in English: "2.5", "1,500", "1/2", "twenty-five", "two and a half".

A number is read whole or not at all: of "a hundred and five years" no "five years" is left. Ranges
("3-4") and vague numbers ("over 10", "a hundred") have no value.
"""

from __future__ import annotations

import re
from fractions import Fraction

_UNITS = (
    "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen "
    "sixteen seventeen eighteen nineteen".split()
)
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety".split()
_VALUES = {
    **{word: number for number, word in enumerate(_UNITS, 1)},
    **{word: number * 10 for number, word in enumerate(_TENS, 2)},
}
_WORD = rf"(?:{'|'.join(_VALUES)}|an?|couple|half|dozens?|hundreds?|thousands?)"
_PLAIN = (
    r"(?:\d+(?:,\d{3})*(?:\.\d+)?(?:\ ?[½¼¾]|\ \d/\d)?|\d+/\d+|[½¼¾]"
    rf"|{_WORD}(?:(?:-|\ (?:and\ )?){_WORD})*(?:\ of)?)"
)
COUNT = (
    r"(?:(?:well\ )?(?:over|more\ than|less\ than|fewer\ than|under|at\ least|up\ to|about|around|"
    rf"almost|nearly|roughly)\ )?(?:{_PLAIN}\ ?(?:-|–|to|or)\ ?)?{_PLAIN}(?:\ and\ a\ half)?"
)
"""A verbose regular expression for a count, without groups."""

_VAGUE = re.compile(r"(?:well )?(?:over|more than|less than|fewer than|under|at least|up to)\b")
_ABOUT = re.compile(r"(?:about|around|almost|nearly|roughly) ")
_RANGE = re.compile(r"(?<=[\w½¼¾]) ?(?:–|\b(?:to|or)\b) ?|(?<=\d)-(?=\d)")
_AND_A_HALF = re.compile(r" and a half$")
_FRACTIONS = {"½": Fraction(1, 2), "¼": Fraction(1, 4), "¾": Fraction(3, 4)}


def value_of(count: str) -> Fraction | None:
    """The value of a count that ``COUNT`` matched, ``None`` for a range or a vague number."""
    words = count.lower().strip()
    if _VAGUE.match(words) or _RANGE.search(words):
        return None
    words = _ABOUT.sub("", words).removesuffix(" of")
    bare = _AND_A_HALF.sub("", words)
    value = _in_digits(bare) if bare[0].isdigit() or bare[0] in _FRACTIONS else _in_words(bare)
    return value if value is None or bare == words else value + Fraction(1, 2)


def _in_digits(words: str) -> Fraction | None:
    total = Fraction(0)
    for part in re.findall(r"[½¼¾]|[^\s½¼¾]+", words.replace(",", "")):
        try:
            total += _FRACTIONS[part] if part in _FRACTIONS else Fraction(part)
        except (ValueError, ZeroDivisionError):
            return None
    return total


def _in_words(words: str) -> Fraction | None:
    parts = words.replace("-", " ").split()
    if parts in (["half", "a"], ["half", "an"], ["a", "half"], ["half"]):
        return Fraction(1, 2)
    if parts in (["couple"], ["a", "couple"]):
        return Fraction(2)
    if parts in (["a"], ["an"]):
        return Fraction(1)
    values = [_VALUES.get(part, 0) for part in parts]
    match values:
        case [single] if single:
            return Fraction(single)
        case [tens, ones] if tens >= 20 and 0 < ones < 10:
            return Fraction(tens + ones)
        case _:
            return None
