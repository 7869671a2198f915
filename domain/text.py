"""When two texts say the same thing to the letter, case, spacing and closing marks apart."""

from __future__ import annotations

import unicodedata

# Inner marks stay, since "C" and "C++" are two things.
_CLOSING_MARKS = " .!?,;:…。！？、，；：\"'“”‘’"


def normalised(text: str) -> str:
    """The form in which texts are compared: NFKC, case folded, single spaces, no closing marks."""
    folded = " ".join(unicodedata.normalize("NFKC", text).casefold().split())
    return folded.strip(_CLOSING_MARKS) or folded
