"""Extract proper names from a sentence by capital letters.

A capitalised word is a name, except at the start of a sentence, and except days, months and "I";
adjacent names are joined ("San Francisco", "Bank of America"). Limits: persons and places are not
told apart; no names in scripts without capitals, in lower case or in all capitals; no unknown name
at the start of a sentence; every German noun is a name.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection

from remembrancer.domain.text import normalised

LOOKED_AT = 1_000
"""Characters at the start of a sentence that are searched for names."""

MOST = 16
"""Entities per sentence; a sentence with more is a list, not a statement."""

_WORD = re.compile(r"[^\W\d_][\w&.'’-]{0,40}|[.,;:!?()\"“”]")
_JOINERS = frozenset("of de la le del von van der den di da du".split())
_NEVER = frozenset(
    "i i'm i've i'd i'll monday tuesday wednesday thursday friday saturday sunday january february "
    "march april may june july august september october november december ok okay yes no hi hey "
    "hello wow thanks mr mrs ms dr".split()
)


def names_in(sentence: str, known: Collection[str] = ()) -> tuple[str, ...]:
    """The names in order of appearance, each once, in NFC.

    Args:
        sentence: as it was said.
        known: names of the people in the conversation, found at any place.
    """
    text = unicodedata.normalize("NFC", sentence[:LOOKED_AT])
    words = _WORD.findall(text)
    letters = [word for word in words if word[0].isalpha()]
    if len(letters) > 3 and sum(word.isupper() for word in letters) * 2 > len(letters):
        return ()
    people = {part for name in known for part in normalised(name).split()}
    found: dict[str, None] = {}
    run: list[str] = []
    opening = True
    for word in [*words, "."]:
        bare = word.rstrip(".").removesuffix("'s").removesuffix("’s")
        if _is_name(bare, opening=opening, people=people):
            run.append(bare)
            complete = bare != word
        elif run and word in _JOINERS:
            run.append(word)
            complete = False
        else:
            complete = True
        if complete and run:
            found.setdefault(" ".join(_trimmed(run)))
            run = []
        opening = (opening and not word[0].isalpha()) or word in ".!?:"
    return tuple(found)[:MOST]


def _is_name(word: str, *, opening: bool, people: Collection[str]) -> bool:
    if not word or not word[0].isupper() or word.casefold().replace("’", "'") in _NEVER:
        return False
    return (len(word) > 1 and not opening) or normalised(word) in people


def _trimmed(run: list[str]) -> list[str]:
    while run[-1] in _JOINERS:
        run.pop()
    return run
