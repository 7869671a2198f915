"""Escaping of NUL characters, which PostgreSQL can't store; keeps the order of code points."""

from __future__ import annotations

import re
from typing import Final

from remembrancer.adapters.stores.shared.escaping import Escaping

_SPECIAL: Final = re.compile("[\0\x01]")
_ESCAPED: Final = re.compile("\x01([\x01\x02])")


def storable(text: str) -> str:
    """Escape a text for storage. Equality and sort order stay the same."""
    if "\0" not in text and "\x01" not in text:
        return text
    return _SPECIAL.sub(lambda found: "\x01\x01" if found[0] == "\0" else "\x01\x02", text)


def restored(text: str) -> str:
    """Reverse ``storable``."""
    if "\x01" not in text:
        return text
    return _ESCAPED.sub(lambda found: "\0" if found[1] == "\x01" else "\x01", text)


NUL_ESCAPED: Final = Escaping(storable, restored)
