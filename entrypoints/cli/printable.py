"""Escape control characters of untrusted text before it is printed on a terminal."""

from __future__ import annotations

import re

# Escape sequences and bidirectional marks could change what the screen shows.
_UNPRINTABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def printable(text: str) -> str:
    """``text`` with control characters escaped; line ends and tabs stay."""
    return _UNPRINTABLE.sub(lambda found: f"\\u{ord(found.group()):04x}", text)


def one_line(text: str) -> str:
    """``text`` without line ends, printable."""
    return printable(" ".join(text.split()))
