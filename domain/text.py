"""Compare texts regardless of case, spacing and outer punctuation, and find names in texts."""

from __future__ import annotations

import re
import unicodedata

FIRST_UNSPACED_SCRIPT = "\u0e00"
"""Thai. From here upwards most scripts put no spaces between words: a name is a substring."""

# Inner marks stay, since "C" and "C++" differ.
_OUTER_MARKS = " .!?,;:…。！？、，；：\"'“”‘’"


def normalised(text: str) -> str:
    """Normalise for comparison: NFKC, case-folded, single spaces, no outer punctuation."""
    folded = " ".join(unicodedata.normalize("NFKC", text).casefold().split())
    return folded.strip(_OUTER_MARKS) or folded


def names(text: str, name: str) -> bool:
    """Whether ``text`` contains ``name``: as whole words, or anywhere in scripts without spaces."""
    wanted = normalised(name)
    before = r"(?<!\w)" if wanted[:1] < FIRST_UNSPACED_SCRIPT else ""
    after = r"(?!\w)" if wanted[-1:] < FIRST_UNSPACED_SCRIPT else ""
    return re.search(f"{before}{re.escape(wanted)}{after}", normalised(text)) is not None
