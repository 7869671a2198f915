"""Slot filling: read the value of an attribute that has only one value at a time.

Attributes: residence, employer, occupation, name, form of address, age, birthday, relationship
status, phone, email, address, the name of a pet or other belonging, and favourites; of the speaker
("I live in Oslo") or of a named person ("Caroline lives in Oslo"). English only, and only if the
attribute is the main point of the sentence. Plans ("I'm moving to Oslo"), past states ("I lived in
Oslo"), hearsay, conditions and temporary stays ("for the summer") fill no slot.
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
from remembrancer.application.extraction.rules.statements import plain, statements_in
from remembrancer.domain.text import normalised

_OFTEN_SEVERAL = frozenset(
    "friend sister brother son daughter cousin neighbour neighbor colleague coworker co-worker kid "
    "child student uncle aunt niece nephew roommate teammate it which that one".split()
)
"""A person can have several of these, so another name does not replace the first."""

_FLEETING = frozenset(
    "part thing things moment memory one bit way time place person people kind type sort day scene "
    "line quote".split()
)
"""Favourites that depend on the topic of the conversation."""

_SPELLINGS = {"favorite": "favourite", "color": "colour", "flavor": "flavour"}


@frozen(kw_only=True)
class SlotReading:
    """A slot and its value in a sentence. ``value`` is normalised; ``None``: the sentence ends the
    value without naming it. ``more``: the sentence has content besides the value.
    """

    slot: str
    stance: Stance
    value: str | None = None
    more: bool = False


def attribute_of(slot: str) -> str:
    """The attribute of a slot: ``residence`` of ``caroline/residence``."""
    return slot.rpartition("/")[2]


def read(sentence: str, speaker: str) -> SlotReading | None:
    """The slot that a sentence fills, ``None`` if it fills none.

    Args:
        sentence: as it was said.
        speaker: the person that "I" means.
    """
    for statement in statements_in(sentence, speaker):
        patterns = of_possession() if statement.possessed else of_subject()
        reading = _first(patterns, statement.predicate, statement.subject, sentence)
        if reading is not None:
            return reading
    text = plain(sentence)
    return None if text is None else _first(of_sentence(), text, normalised(speaker), sentence)


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
    if not _holds(tail, pattern, stance, match[0]):
        return None
    return SlotReading(
        slot=f"{subject}/{attribute}",
        stance=stance,
        value=None if said is None else slot_values.folded(value, attribute),
        more=slot_values.tells_more(tail),
    )


def _holds(tail: str, pattern: Pattern, stance: Stance, said: str) -> bool:
    if pattern.lasting:
        return slot_values.is_lasting(tail)
    # "I have been living here for a month" is not temporary.
    lasting = said.casefold().startswith("have been")
    return lasting or stance is Stance.ENDED or slot_values.is_settled(tail)


def _spelled(thing: str) -> str:
    return " ".join(_SPELLINGS.get(word, word) for word in thing.casefold().split())
