"""Candidate entity names in a query.

There is no list of entities here: an index compares the candidates with the entities of its ledger.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

from remembrancer.domain.text import normalised

LONGEST_NAME = 4
"""Maximum words of a name, as in ``Museum of Modern Art``."""

LONGEST_UNSPACED_NAME = 8
"""Maximum characters of a name in a script without spaces between words."""

MAX_NAMES = 256
"""Maximum candidates per query; bounds the cost of pasted pages."""

_CLITIC = re.compile("'s$")
_MARKS = (
    "\"'()[]{}<>.,;:!?\u00a1\u00bf\u2018\u2019\u201c\u201d\u2026\u00ab\u00bb\u3001\u3002\uff0c"
    "\uff1f\uff01"
)
_UNSPACED = re.compile("[\u0e01-\u0eff\u1000-\u109f\u1780-\u17ff\u3041-\u30ff\u3400-\u9fff]+")


def names_in(text: str) -> list[str]:
    """Return the candidate entity names in a query, in the form of ``normalised``.

    A candidate is a run of words that begins with a capital, or with a letter of a script without
    capitals. In a query without capitals every word can begin a name.
    """
    found: dict[str, None] = {}
    for candidate in _candidates(unicodedata.normalize("NFKC", text)):
        key = normalised(candidate)
        for name in (key, normalised(_CLITIC.sub("", key))):
            if name:
                found[name] = None
            if len(found) == MAX_NAMES:
                return list(found)
    return list(found)


def _candidates(text: str) -> Iterator[str]:
    words = [(word, bare) for word in text.split() if (bare := _bare(word))]
    typed_in_lower_case = text == text.lower()
    for start, (_, first) in enumerate(words):
        if first[0].islower() and not typed_in_lower_case:
            continue
        for end in range(start + 1, min(start + LONGEST_NAME, len(words)) + 1):
            # Marks inside may be part of a name: "J. R. R. Tolkien", "Acme (UK)".
            as_typed, phrase = (" ".join(part) for part in zip(*words[start:end], strict=True))
            yield phrase
            if as_typed != phrase:
                yield as_typed
    for run in _UNSPACED.findall(text):
        for start in range(len(run)):
            for end in range(start + 2, min(start + LONGEST_UNSPACED_NAME, len(run)) + 1):
                yield run[start:end]


def _bare(word: str) -> str:
    """``word`` without the marks around it. A single dot before it belongs to it: ".NET"."""
    bare = word.strip(_MARKS)
    dotted = f".{bare}"
    return dotted if bare and dotted in word and f".{dotted}" not in word else bare
