"""Text that may hold NUL, in columns that can't: an escape that keeps the order of code points."""

from __future__ import annotations

import re
from typing import Final

_SPECIAL: Final = re.compile("[\0\x01]")
_ESCAPED: Final = re.compile("\x01([\x01\x02])")


def storable(text: str) -> str:
    """The text as it is stored: equal for equal texts, and sorted as they are."""
    if "\0" not in text and "\x01" not in text:
        return text
    return _SPECIAL.sub(lambda found: "\x01\x01" if found[0] == "\0" else "\x01\x02", text)


def restored(text: str) -> str:
    """The text that ``storable`` was given."""
    if "\x01" not in text:
        return text
    return _ESCAPED.sub(lambda found: "\0" if found[1] == "\x01" else "\x01", text)
