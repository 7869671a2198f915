"""Escape characters of untrusted text that a terminal would obey instead of showing."""

from __future__ import annotations

import re

_UNPRINTABLE = re.compile(
    "["
    "\x00-\x08\x0b-\x1f\x7f-\x9f"  # C0 without tab and line feed, DEL, C1
    "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"  # marks that change the direction of text
    "\ud800-\udfff"  # lone surrogates, which no stream can encode
    "]"
)


def printable(text: str) -> str:
    """``text`` with control characters escaped; line ends and tabs stay."""
    return _UNPRINTABLE.sub(lambda found: f"\\u{ord(found.group()):04x}", text)


def one_line(text: str) -> str:
    """``text`` without line ends, printable."""
    return printable(" ".join(text.split()))
