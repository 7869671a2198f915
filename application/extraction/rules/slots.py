"""Slot filling: read the value of an attribute that has only one value at a time.

Attributes: residence, employer, occupation, name, form of address, age, birthday, relationship
status, diet, weight, phone, email, address, persons of whom one has one ("my boss"), the name of a
pet or other belonging, and favourites; of the speaker ("I live in Oslo") or of a named person
("Caroline lives in Oslo"). Only if the attribute is the main point of the sentence. Plans ("I'm
moving to Oslo"), past states ("I lived in Oslo"), hearsay, conditions, additions ("I also work at
Acme") and what holds for a time or at times ("for the summer", "on weekends") fill no slot.

This module reads English; ``languages`` reads the languages that have a file.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from remembrancer.application.extraction.rules import cues, languages, slot_values
from remembrancer.application.extraction.rules.answers import in_one_sentence
from remembrancer.application.extraction.rules.gazetteer import NameKind, kinds_of
from remembrancer.application.extraction.rules.reading import SlotReading, Stance
from remembrancer.application.extraction.rules.readings import remembered
from remembrancer.application.extraction.rules.slot_patterns import (
    UNIQUE,
    Pattern,
    of_possession,
    of_sentence,
    of_subject,
)
from remembrancer.application.extraction.rules.statements import JOINT, plain, statements_in
from remembrancer.application.extraction.rules.value_kind import fits
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
_ANYMORE = re.compile(r"\b(?:anymore|any more|any longer)\b", re.IGNORECASE)
_SINCE = re.compile(r"\bsince\b", re.IGNORECASE)
_DIGIT = re.compile(r"\d")
_TOGETHER = re.compile(r"\W*(?:we|our)\b", re.IGNORECASE)
_ONE_AT_A_TIME = re.compile(
    rf"(?:{UNIQUE}|phone|email|address|employer|occupation|name|(?:first|last) name|favourite .*|"
    r"relationship status|form of address)$"
)

_LASTING = ("have been ", "have lived ", "have worked ")
"""Openings of a predicate that holds still: "have been living in Oslo for a month"."""

LONGEST_SEARCHED = 300
"""Characters of a sentence in which later clauses are looked for."""


def attribute_of(slot: str) -> str:
    """The attribute of a slot: ``residence`` of ``caroline/residence``."""
    return slot.rpartition("/")[2]


@remembered
def read(sentence: str, speaker: str) -> SlotReading | None:
    """The slot that a sentence fills, ``None`` if it fills none.

    Args:
        sentence: as it was said.
        speaker: the person that "I" means.
    """
    sentence = in_one_sentence(sentence) or sentence
    reading = _of_clause(sentence, sentence, speaker)
    for joint in JOINT.finditer(sentence[:LONGEST_SEARCHED]) if reading is None else ():
        reading = _of_clause(sentence[joint.end() :], sentence, speaker)
        if reading is not None:
            break
    if reading is None:
        return languages.read(sentence, speaker)
    return None if cues.limited(sentence) else reading


def _of_clause(clause: str, sentence: str, speaker: str) -> SlotReading | None:
    for statement in statements_in(clause, speaker):
        patterns = of_possession() if statement.possessed else of_subject()
        reading = _first(
            patterns, statement.predicate, statement.subject, sentence, new=statement.new
        )
        if reading is not None:
            return reading
    text = plain(clause)
    if text is None:
        return None
    return _first(of_sentence(), text, normalised(speaker), sentence, new=" new favo" in text)


def _first(
    patterns: Sequence[Pattern], text: str, subject: str, sentence: str, *, new: bool
) -> SlotReading | None:
    for pattern in patterns:
        match = pattern.regex.match(text)
        reading = None if match is None else _reading(pattern, match, subject, sentence, new=new)
        if reading is not None:
            return reading
    return None


def _reading(
    pattern: Pattern, match: re.Match[str], subject: str, sentence: str, *, new: bool
) -> SlotReading | None:
    groups = match.groupdict()
    attribute = pattern.attribute.format(thing=_spelled(groups.get("thing") or ""))
    said = groups.get("value")
    value, tail = ("", "") if said is None else slot_values.cut(said, attribute)
    tail += groups.get("tail") or ""
    stance = _stance(pattern, groups, sentence)
    origin = groups.get("origin")
    if (
        _asks_something_else(attribute, sentence, new=new)
        or not (said is None or _is_value(value, attribute, pattern, sentence))
        or not _holds(tail, attribute, pattern, stance, match[0])
        or (_is_state(stance, match[0]) and cues.passing(sentence))
        or (origin is None and not _may_fill(pattern.kind, value, stance))
    ):
        return None
    announced = stance in (Stance.BEGAN, Stance.ENDED) or (
        new or cues.says_now(sentence) or cues.correction(sentence) > 0
    )
    return SlotReading(
        slot=f"{subject}/{attribute}",
        stance=stance,
        value=pattern.means if said is None else slot_values.folded(value, attribute),
        more=slot_values.tells_more(tail),
        changes=announced and fits(value, pattern.kind),
        since=_SINCE.search(tail) is not None and fits(value, pattern.kind),
        origin=None if origin is None else slot_values.folded(origin, attribute),
        proper=None
        if pattern.kind is not None or sentence.startswith(value)
        else value[:1].isupper(),
    )


def _is_value(value: str, attribute: str, pattern: Pattern, sentence: str) -> bool:
    return slot_values.is_answer(value, attribute, proper=pattern.proper, sentence=sentence)


def _is_state(stance: Stance, said: str) -> bool:
    """Whether a sentence tells how things are, and not since when."""
    return stance in (Stance.HOLDS, Stance.DENIED) and not said.casefold().startswith(_LASTING)


def _stance(pattern: Pattern, groups: Mapping[str, str | None], sentence: str) -> Stance:
    if groups.get("no_longer"):
        return Stance.ENDED
    if groups.get("not"):
        return Stance.ENDED if _ANYMORE.search(sentence) else Stance.DENIED
    return pattern.stance


def _asks_something_else(attribute: str, sentence: str, *, new: bool) -> bool:
    words = attribute.split(" ")
    if not _OFTEN_SEVERAL.isdisjoint(words) or words[-1] in _FLEETING:
        return True
    if attribute == "age" and _TOGETHER.match(sentence):
        return True
    # A new boss takes the place of the old one, a new dog does not.
    return new and not _ONE_AT_A_TIME.match(attribute)


def _may_fill(kind: NameKind | None, value: str, stance: Stance) -> bool:
    """Whether a value fills the slot at all: where people live is a known place, or has a name that
    could be one.
    """
    if kind is NameKind.PLACE and not fits(value, kind):
        named = value[:1].isupper() and not _DIGIT.search(value)
        return named and stance is Stance.HOLDS and not kinds_of(value)
    # "I started at seven."
    return fits(value, kind) and not (kind is NameKind.ORGANISATION and value[:1].islower())


def _holds(tail: str, attribute: str, pattern: Pattern, stance: Stance, said: str) -> bool:
    if pattern.lasting:
        return slot_values.is_lasting(tail)
    if pattern.closed and not slot_values.is_closed(tail):
        return False
    lasting = said.casefold().startswith(_LASTING)
    return lasting or stance is Stance.ENDED or slot_values.is_settled(tail, attribute)


def _spelled(thing: str) -> str:
    return " ".join(_SPELLINGS.get(word, word) for word in thing.casefold().split())
