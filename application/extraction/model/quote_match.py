"""Match a model's quote against the original text.

White space, quotation marks and dashes may differ, since models normalise them; every letter must
match. The result is always the original wording.
"""

from __future__ import annotations

import re

LONGEST_QUOTE = 2_000
"""Characters; a longer quote is no evidence for one fact."""

_ALIKE = (
    "'’‘‛`´ʼ",
    '"“”„‟«»',
    "-‐‑‒–—−",
)
_CLASS = {mark: f"[{re.escape(marks)}]" for marks in _ALIKE for mark in marks}
_MARGINS = ' \t\r\n"“”„«»…'
_UNSPACED = "\u2e80"
"""From this character on, scripts write without spaces, so words have no visible borders."""


def find_quote(quote: str, text: str) -> str | None:
    """The part of ``text`` that ``quote`` matches, ``None`` if there is no match.

    A quote must begin and end at word borders: "art" does not match in "start".
    """
    wanted = quote.strip() if quote.strip() in text else quote.strip(_MARGINS)
    if not any(character.isalnum() for character in wanted) or len(wanted) > LONGEST_QUOTE:
        return None
    pattern = r"\s+".join(
        "".join(_CLASS.get(character, re.escape(character)) for character in word)
        for word in wanted.split()
    )
    for match in re.finditer(pattern, text):
        if not _torn(text, match.start()) and not _torn(text, match.end()):
            return match.group()
    return None


def _torn(text: str, place: int) -> bool:
    """Whether ``place`` is inside a word."""
    if not 0 < place < len(text):
        return False
    return all(
        character.isalnum() and character < _UNSPACED for character in text[place - 1 : place + 1]
    )
