"""Extract proper names from a sentence by capital letters, and by lists at its start.

A capitalised word is a name, except days, months and "I"; adjacent names are joined ("San
Francisco", "Bank of America"). The first word of a sentence has a capital anyway: it begins a name
if the lists of ``gazetteer`` have it ("New York is my home."). Limits: no names in scripts without
capitals, in lower case or in all capitals; no unknown name at the start of a sentence; every German
noun is a name.
"""

from __future__ import annotations

import itertools
import re
import unicodedata
from collections.abc import Collection, Sequence

from remembrancer.application.extraction.rules.gazetteer import NameKind, kinds_of
from remembrancer.domain.recall.function_words import FUNCTION_WORDS
from remembrancer.domain.text import normalised

LOOKED_AT = 1_000
"""Characters at the start of a sentence that are searched for names."""

MOST = 16
"""Entities per sentence; a sentence with more is a list, not a statement."""

_WORD = re.compile(r"[^\W\d_][\w&.'’-]{0,40}|[.,;:!?()\"“”]")
_MOST_LISTED = 5
"""Words of a name in the lists."""
_OBJECTS = frozenset(
    "a an the my your our his her its their this that these those it me us".split()
)
_JOINERS = frozenset("of de la le del von van der den di da du".split())
_NEVER = frozenset(
    "i i'm i've i'd i'll monday tuesday wednesday thursday friday saturday sunday january february "
    "march april may june july august september october november december ok okay yes no hi hey "
    "hello wow thanks mr mrs ms dr".split()
)
_NEVER_FIRST = _NEVER | FUNCTION_WORDS


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
    known_until = 0
    for place, word in enumerate([*words, "."]):
        bare = _bare(word)
        if opening and place >= known_until:
            known_until = place + _listed(words[place : place + _MOST_LISTED])
        if place < known_until or _is_name(bare, opening=opening, people=people):
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


def _bare(word: str) -> str:
    return word.rstrip(".").removesuffix("'s").removesuffix("’s")


def _listed(words: Sequence[str]) -> int:
    """How many of the first words of a sentence are a name in the lists."""
    first = _bare(words[0]) if words else ""
    if not first[:1].isupper() or first.casefold() in _NEVER_FIRST:
        return 0
    run = list(itertools.takewhile(_goes_on, words))
    for count in range(len(run), 1, -1):
        if run[count - 1] not in _JOINERS and kinds_of(_bare(" ".join(run[:count]))):
            return count
    # "Reading is fun": alone, only a large place counts.
    if NameKind.PLACE in kinds_of(first.lower()):
        return 1
    called = NameKind.PERSON in kinds_of(first)
    # "Mark the date": a verb with its object.
    return int(called and (len(words) == 1 or words[1].casefold() not in _OBJECTS))


def _goes_on(word: str) -> bool:
    return word[0].isupper() or word in _JOINERS


def _is_name(word: str, *, opening: bool, people: Collection[str]) -> bool:
    if not word or not word[0].isupper() or word.casefold().replace("’", "'") in _NEVER:
        return False
    return (len(word) > 1 and not opening) or normalised(word) in people


def _trimmed(run: list[str]) -> list[str]:
    while run[-1] in _JOINERS:
        run.pop()
    return run
