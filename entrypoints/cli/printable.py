"""Texts made fit for a terminal. They come from anywhere, and a terminal obeys what it is sent."""

from __future__ import annotations

import re

# Escape sequences could rewrite what is on the screen, and so could the marks that turn the
# direction of writing.
_UNPRINTABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def printable(text: str) -> str:
    """``text`` with control characters spelled out; line ends and tabs stay."""
    return _UNPRINTABLE.sub(lambda found: f"\\u{ord(found.group()):04x}", text)


def one_line(text: str) -> str:
    """``text`` without line ends, printable."""
    return printable(" ".join(text.split()))
