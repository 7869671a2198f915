"""Entity names: normalisation for comparison, and candidate names in a query.

It has no list of entities: an index checks the candidates against the entities of its ledger.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

LONGEST_NAME = 4
"""Maximum words of a name, as in ``Museum of Modern Art``."""

LONGEST_UNSPACED_NAME = 8
"""Maximum characters of a name in a script without spaces between words."""

MAX_NAMES = 256
"""Maximum candidates per query; bounds the cost of pasted pages."""

_CLITIC = re.compile(r"['\u2019]s?$")
_MARKS = "\"'()[]{}<>.,;:!?\u2018\u2019\u201c\u201d\u2026\u00ab\u00bb\u3001\u3002\uff0c\uff1f\uff01"
_UNSPACED = re.compile("[\u0e01-\u0eff\u1000-\u109f\u1780-\u17ff\u3041-\u30ff\u3400-\u9fff]+")


def folded(name: str) -> str:
    """Normalise a name for comparison: case folded, single spaces."""
    return " ".join(name.casefold().split())


def names_in(text: str) -> list[str]:
    """Return the candidate entity names in a query, folded.

    A candidate is a run of words that begins with a capital, or with a letter of a script without
    capitals. In a query without capitals every word can begin a name.
    """
    found: dict[str, None] = {}
    for name in _candidates(text):
        found[name] = None
        if len(found) == MAX_NAMES:
            break
    return list(found)


def _candidates(text: str) -> Iterator[str]:
    words = [stripped for word in text.split() if (stripped := word.strip(_MARKS))]
    typed_in_lower_case = text == text.lower()
    for start, word in enumerate(words):
        if word[0].islower() and not typed_in_lower_case:
            continue
        for end in range(start + 1, min(start + LONGEST_NAME, len(words)) + 1):
            phrase = " ".join(words[start:end])
            yield folded(phrase)
            if (bare := _CLITIC.sub("", phrase)) != phrase:
                yield folded(bare)
    for run in _UNSPACED.findall(text):
        for start in range(len(run)):
            for end in range(start + 2, min(start + LONGEST_UNSPACED_NAME, len(run)) + 1):
                yield run[start:end]
