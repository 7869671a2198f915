"""A model's words made fit to be stored and shown: no character that nobody sees.

Hidden characters (bidirectional controls, tags, zero-width marks) smuggle instructions into the
prompts that a memory ends up in.
"""

from __future__ import annotations

import unicodedata

_JOINERS = "\u200c\u200d"
"""Persian, Indic scripts and emoji are written with them."""


def cleaned(text: str) -> str:
    """``text`` in NFC, on one line, without control and format characters."""
    seen = "".join(
        character if character in _JOINERS else _visible(character)
        for character in unicodedata.normalize("NFC", text)
    )
    return " ".join(seen.split())


def storable(text: str) -> str:
    """``text`` as it is, but for halves of surrogate pairs, which can't be stored."""
    return text.encode("utf-8", "replace").decode()


def _visible(character: str) -> str:
    category = unicodedata.category(character)
    if category in ("Cc", "Zl", "Zp"):
        return " "
    return "" if category in ("Cf", "Cs", "Co", "Cn") else character
