"""When two texts say the same thing to the letter, case, spacing and closing marks apart, and when
one names the other.
"""

from __future__ import annotations

import re
import unicodedata

FIRST_UNSPACED_SCRIPT = "\u0e00"
"""Thai; from there upwards most scripts put no spaces between words: a name is found inside one."""

# Inner marks stay, since "C" and "C++" are two things.
_CLOSING_MARKS = " .!?,;:…。！？、，；：\"'“”‘’"


def normalised(text: str) -> str:
    """The form in which texts are compared: NFKC, case folded, single spaces, no closing marks."""
    folded = " ".join(unicodedata.normalize("NFKC", text).casefold().split())
    return folded.strip(_CLOSING_MARKS) or folded


def names(text: str, name: str) -> bool:
    """Whether ``name`` stands in ``text``, as a word of its own where its script has words."""
    wanted = normalised(name)
    before = r"(?<!\w)" if wanted[:1] < FIRST_UNSPACED_SCRIPT else ""
    after = r"(?!\w)" if wanted[-1:] < FIRST_UNSPACED_SCRIPT else ""
    return re.search(f"{before}{re.escape(wanted)}{after}", normalised(text)) is not None
