"""What a sentence answers when only one answer can hold at a time, and which answer it gives.

Read are residence, employer, occupation, name, form of address, age, birthday, relationship
status, phone, email, address, what somebody's pet or other belonging is called, and favourites;
of the speaker ("I live in Oslo") and of anybody named ("Caroline lives in Oslo"). English only, and
only where the sentence is built around that one thing. Plans ("I'm moving to Oslo"), pasts ("I
lived in Oslo"), hearsay, conditions and stays ("for the summer") answer nothing.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from attrs import frozen

from remembrancer.application.extraction.rules import slot_values
from remembrancer.application.extraction.rules.slot_patterns import (
    Pattern,
    Stance,
    of_possession,
    of_sentence,
    of_subject,
)
from remembrancer.application.extraction.rules.statements import plain, statements_in, subject_of

_OFTEN_SEVERAL = frozenset(
    "friend sister brother son daughter cousin neighbour neighbor colleague coworker co-worker kid "
    "child student uncle aunt niece nephew roommate teammate it which that one".split()
)
"""What one has several of, so that another name is not news."""

_FLEETING = frozenset(
    "part thing things moment memory one bit way time place person people kind type sort day scene "
    "line quote".split()
)
"""Favourites that are about whatever is being talked of."""

_SPELLINGS = {"favorite": "favourite", "color": "colour", "flavor": "flavour"}


@frozen(kw_only=True)
class SlotReading:
    """``value`` is in the form for comparing, ``None`` where something ended without being named.
    ``more`` says that the sentence tells something beside the answer.
    """

    slot: str
    stance: Stance
    value: str | None = None
    more: bool = False


def attribute_of(slot: str) -> str:
    """What is answered, without whom it is about: ``residence`` of ``caroline/residence``."""
    return slot.rpartition("/")[2]


def read(sentence: str, speaker: str) -> SlotReading | None:
    """The answer that a sentence gives, if it gives one.

    Args:
        sentence: as it was said.
        speaker: who "I" is.
    """
    for statement in statements_in(sentence, speaker):
        patterns = of_possession() if statement.possessed else of_subject()
        reading = _first(patterns, statement.predicate, statement.subject, sentence)
        if reading is not None:
            return reading
    text = plain(sentence)
    return None if text is None else _first(of_sentence(), text, subject_of(speaker), sentence)


def _first(
    patterns: Sequence[Pattern], text: str, subject: str, sentence: str
) -> SlotReading | None:
    for pattern in patterns:
        match = pattern.regex.match(text)
        reading = None if match is None else _reading(pattern, match, subject, sentence)
        if reading is not None:
            return reading
    return None


def _reading(
    pattern: Pattern, match: re.Match[str], subject: str, sentence: str
) -> SlotReading | None:
    groups = match.groupdict()
    attribute = pattern.attribute.format(thing=_spelled(groups.get("thing") or ""))
    words = attribute.split(" ")
    if not _OFTEN_SEVERAL.isdisjoint(words) or words[-1] in _FLEETING:
        return None
    said = groups.get("value")
    value, tail = ("", "") if said is None else slot_values.cut(said, attribute)
    tail += groups.get("tail") or ""
    if said is not None and not slot_values.is_answer(
        value, attribute, proper=pattern.proper, sentence=sentence
    ):
        return None
    stance = Stance.ENDED if groups.get("not") else pattern.stance
    if not _stands(tail, pattern, stance, match[0]):
        return None
    return SlotReading(
        slot=f"{subject}/{attribute}",
        stance=stance,
        value=None if said is None else slot_values.folded(value, attribute),
        more=slot_values.tells_more(tail),
    )


def _stands(tail: str, pattern: Pattern, stance: Stance, said: str) -> bool:
    if pattern.lasting:
        return slot_values.is_lasting(tail)
    # "I have been living here for a month" is no visit.
    lasting = said.casefold().startswith("have been")
    return lasting or stance is Stance.ENDED or slot_values.is_settled(tail)


def _spelled(thing: str) -> str:
    return " ".join(_SPELLINGS.get(word, word) for word in thing.casefold().split())
