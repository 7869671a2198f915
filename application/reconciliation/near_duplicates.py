"""Near-duplicate detection: a signature that ignores contractions, spelling and filler words.

Word order, names, numbers and negations count: "I'm really fond of Al" equals "I am fond of Al",
but not "I'm not fond of Al". Synonyms and other word orders are not detected: a wrong merge loses a
statement, a missed one only keeps a duplicate.
"""

from __future__ import annotations

from remembrancer.application.extraction.rules.contractions import written_out
from remembrancer.application.extraction.rules.readings import remembered
from remembrancer.domain.text import normalised

SIGNATURE_VERSION = 1
"""Increment with every change of ``signature``: rows hold its results, and must be rebuilt."""

_WEIGHTLESS = frozenset("really just actually definitely absolutely totally honestly".split())
_OPENERS = frozenset(
    "and but so well oh ah hey hi wow yes yeah yep ok okay haha lol btw also anyway".split()
)
_SPELLINGS = {
    "favorite": "favourite", "color": "colour", "neighbor": "neighbour", "flavor": "flavour",
    "theater": "theatre", "center": "centre",
}  # fmt: skip
# Other marks are kept: "$5", "C++" and "#1" are not "5", "C" and "1".
_CLOSING_MARKS = ".,!?;:…。！？、，；：\"'()"


@remembered
def signature(text: str) -> str:
    """Return a form that is the same for near duplicates, and so for texts with one ``normalised``
    form.
    """
    plain = written_out(normalised(text)).casefold()
    words = [word.strip(_CLOSING_MARKS) for word in plain.split()]
    kept = [_SPELLINGS.get(word, word) for word in words if word and word not in _WEIGHTLESS]
    start = 0
    while start < len(kept) - 1 and kept[start] in _OPENERS:
        start += 1
    end = len(kept) - 1 if len(kept) - start > 2 and kept[-1] == "too" else len(kept)
    return " ".join(kept[start:end]) or plain
