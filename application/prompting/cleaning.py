"""Clean a model's text for storage and display: remove invisible characters.

Invisible characters (bidirectional controls, tags, zero-width marks) can carry a prompt injection
into later prompts.
"""

from __future__ import annotations

import unicodedata

_JOINERS = "\u200c\u200d"
"""Needed for Persian, Indic scripts and emoji."""


def cleaned(text: str) -> str:
    """``text`` in NFC, on one line, without control and format characters."""
    seen = "".join(
        character if character in _JOINERS else _visible(character)
        for character in unicodedata.normalize("NFC", text)
    )
    return " ".join(seen.split())


def storable(text: str) -> str:
    """``text`` with unpaired surrogates replaced, which can't be encoded."""
    return text.encode("utf-8", "replace").decode()


def _visible(character: str) -> str:
    category = unicodedata.category(character)
    if category in ("Cc", "Zl", "Zp"):
        return " "
    return "" if category in ("Cf", "Cs", "Co", "Cn") else character
