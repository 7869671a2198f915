"""Finding what a model quotes in the text that it quotes from.

White space, kinds of quotation marks and kinds of dashes may differ, since models straighten
them; every letter has to be there. What comes back is always the text's own wording.
"""

from __future__ import annotations

import re

LONGEST_QUOTE = 2_000
"""Characters; a longer quote shows nothing in particular."""

_ALIKE = (
    "'’‘‛`´ʼ",
    '"“”„‟«»',
    "-‐‑‒–—−",
)
_CLASS = {mark: f"[{re.escape(marks)}]" for marks in _ALIKE for mark in marks}
_MARGINS = ' \t\r\n"“”„«»…'
_UNSPACED = "\u2e80"
"""From here on scripts do without spaces, and a word's margins can't be seen."""


def find_quote(quote: str, text: str) -> str | None:
    """The stretch of ``text`` that ``quote`` stands for, ``None`` if it is not there.

    A quote begins and ends where words do, so that "art" is not found in "start".
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
    """Whether a cut at ``place`` goes through a word."""
    if not 0 < place < len(text):
        return False
    return all(
        character.isalnum() and character < _UNSPACED for character in text[place - 1 : place + 1]
    )
