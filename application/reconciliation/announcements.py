"""Announced changes of things that fill no slot: an appointment moved, a rent went up, a car sold.

An announcement names a thing and what happened to it; it ends statements of the same speaker about
that thing which can no longer be so. If it could mean several of them, it ends none. English.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import cache
from typing import TypeAlias

from attrs import frozen

from remembrancer.application.extraction.rules import cues, slot_values
from remembrancer.application.extraction.rules.calendar_words import MONTH, WEEKDAY
from remembrancer.application.extraction.rules.contractions import written_out
from remembrancer.application.extraction.rules.readings import remembered
from remembrancer.application.extraction.rules.statements import plain
from remembrancer.domain.recall.function_words import FUNCTION_WORDS

_THING = r"(?P<thing>(?:my|our|the) [^,;]+?)"
_WHEN = (
    rf"(?:(?:the |next |this |early |late )*(?:{WEEKDAY}|{MONTH}|\d{{1,2}}(?:st|nd|rd|th)|"
    rf"\d{{1,2}} {MONTH}|\d{{1,2}}[:.]\d\d|\d{{1,2}} ?(?:am|pm|o'clock)|noon|midday|midnight|"
    r"tomorrow|week|month|year|spring|summer|autumn|fall|winter|20\d\d))"
)
_HAS = r"(?:has been|have been|had been|was|were|got|is|are|has|have)"
_MOVED = r"(?:moved|postponed|pushed|rescheduled|delayed|shifted|brought|put|deferred)"
_MOVE = r"(?:move|postpone|push|reschedule|delay|shift|bring|put|defer)"
_AWAY = r"(?: back| forward| up| off| out)?"
_AMOUNT = r"(?P<amount>(?:about |around |over )?[$€£¥]? ?\d[\d.,]*(?: ?[^\W\d_]+|%)?)"
_TIMES = (
    r"(?P<tail>(?: (?:to|for|on|in|at|last|this|yesterday|today|recently|because|since|after|"
    r"before|when|while|so|and|but|already|now|again|for good|(?:a |an )?\w+ \w+ ago)\b.*"
    r"|[,;].*)?)"
)
_OWN = r"(?:i|we|my|our)\b"
_PARTNER = (
    r"\b(?:girlfriend|boyfriend|partner|fianc[eé]e?|husband|wife|spouse|dating|engaged to|seeing|"
    r"going out with|in a relationship)\b"
)
_GROUP = (
    r"(?:choir|band|team|church|committee|board|group|union|society|orchestra|league|squad|company|"
    r"firm|project)"
)
_VENUE = r"(?:club|course|class|gym|program(?:me)?)"
_PAST_OR_REGULAR = re.compile(
    r"\b(?:was|were|had|every|each|weekly|monthly|daily|regular(?:ly)?|usually|always)\b|days\b",
    re.IGNORECASE,
)
_OWNER = re.compile(r"\b[\w-]+(?='s\b)|\b(?:his|her|their|your)\b", re.IGNORECASE)
_OWN_WORDS = ("it", "that", "there", "here", "what", "let", "today", "tomorrow", "tonight")
_PETS = "pet dog cat puppy kitten rabbit hamster parrot bird fish turtle guinea"
_CHILDREN = "child children kid kids baby son daughter"
_CLASSES = tuple(frozenset(words.split()) for words in (_PETS, _CHILDREN))
_VERBS = {"flight": "fly", "trip": "travel", "marathon": "run", "move": "move", "visit": "visit"}
_INFLECTED = re.compile(r"(?:ing|ied|ies|ed|es|s)$")

_INSTEAD = re.compile(
    r"(?:^|[\s,(])not (?P<old>[^,;.]+?)(?:[,;] ?(?:but )?(?:it is |rather )?.+| but .+|$)",
    re.IGNORECASE,
)


@frozen(kw_only=True)
class Announcement:
    """What happened to a thing. ``ends`` tells whether a statement (without contractions) can no
    longer be so; ``alone``: it means one statement, and ends none if there are several.
    """

    what: str
    ends: Callable[[str], bool]
    alone: bool


Maker: TypeAlias = Callable[[re.Match[str]], Announcement | None]


@remembered
def announcement_in(sentence: str) -> Announcement | None:
    """The announcement of a sentence, ``None`` if it makes none."""
    text = plain(sentence)
    if text is None or cues.unreal(sentence):
        return None
    if cues.correction(sentence):
        corrected = _INSTEAD.search(text)
        if corrected is not None:
            return _corrected(corrected)
    for make, pattern in _makers():
        match = pattern.match(text)
        made = None if match is None else make(match)
        if made is not None:
            return made
    return None


def ended_by(announcement: Announcement, statements: Sequence[str]) -> list[int]:
    """The places of the statements that an announcement ends."""
    found = [
        place
        for place, statement in enumerate(statements)
        if announcement.ends(written_out(statement))
    ]
    same = {statements[place].casefold() for place in found}
    return [] if announcement.alone and len(same) > 1 else found


@cache
def _makers() -> tuple[tuple[Maker, re.Pattern[str]], ...]:
    # Compiled on first use, to keep the import fast.
    return tuple(
        (make, re.compile(f"(?:{pattern})$", re.IGNORECASE))
        for make, *patterns in (*_OF_PLANS, *_OF_BELONGINGS, *_OF_PEOPLE)
        for pattern in patterns
    )


def _corrected(match: re.Match[str]) -> Announcement:
    old = written_out(match["old"]).casefold()

    def ends(statement: str) -> bool:
        return statement.casefold().rstrip(" .!").endswith(f" {old}")

    return Announcement(what="corrected", ends=ends, alone=True)


def _fired(match: re.Match[str]) -> Announcement | None:
    if not slot_values.is_closed(match["tail"]):
        return None
    works = re.compile(r"(?:i|we) (?:\w+ )?work (?:at|for) ", re.IGNORECASE)

    def ends(statement: str) -> bool:
        return works.match(statement) is not None and not cues.limited(statement)

    return Announcement(what="job ended", ends=ends, alone=True)


def _rescheduled(match: re.Match[str]) -> Announcement | None:
    about = _about(match)
    new = _times(match["when"])

    def ends(statement: str) -> bool:
        return (
            about(statement)
            and bool(_times(statement) - new)
            and _PAST_OR_REGULAR.search(statement) is None
        )

    return None if cues.passing(match[0]) else Announcement(what="new date", ends=ends, alone=True)


def _cancelled(match: re.Match[str]) -> Announcement:
    about = _about(match, only=False)
    planned = re.compile(
        rf"\b(?:plan(?:ning|s)?|going to|booked|will|signed up|appointment|have|training for|"
        rf"subscribe\w*|pay|am \w+ing|are \w+ing)\b|\b(?:on|in|at) {_WHEN}",
        re.IGNORECASE,
    )

    def ends(statement: str) -> bool:
        return about(statement) and planned.search(statement) is not None

    return Announcement(what="cancelled", ends=ends, alone=True)


def _amount(match: re.Match[str]) -> Announcement | None:
    about = _about(match)
    new = _amounts(match["amount"])

    def ends(statement: str) -> bool:
        told = _amounts(statement)
        return (
            about(statement)
            and len(told) == 1
            and told != new
            and {unit for _, unit in told} == {unit for _, unit in new}
        )

    return Announcement(what="new amount", ends=ends, alone=True) if len(new) == 1 else None


def _about(match: re.Match[str], *, only: bool = True) -> Callable[[str], bool]:
    """Whether a statement is about the thing of an announcement: it has its main noun, and no other
    owner ("my sister's"); with ``only``, nothing before it that tells it from others of its kind
    and was not said ("dentist").
    """
    first = re.split(r" (?:to|with|in|for|at|on|of|from|by)\b", match["thing"], maxsplit=1)[0]
    named = _words(match["thing"])
    head = (_words(first) or named or [""])[-1]
    verb = _VERBS.get(head, head)
    said = {*_words(match[0]), *_OWN_WORDS}

    def about(statement: str) -> bool:
        words = _words(statement)
        if head not in words and _stem(verb) not in words:
            return False
        place = words.index(head) if head in words else 0
        owners = _words(" ".join(_OWNER.findall(statement)))
        return (
            set(named) - {head} <= set(words)
            and (not only or said.issuperset(words[max(place - 1, 0) : place]))
            and said.issuperset(owners)
        )

    return about


def _gone(match: re.Match[str]) -> Announcement | None:
    thing = match["thing"]
    if not slot_values.is_closed(_sold_to(match["tail"])):
        return None
    return _of_owner(f"{thing} gone", thing, r"(?:have|own|drive|ride|still have|keep|bought|got)")


def _sold_to(tail: str) -> str:
    return re.sub(r"^ (?:to|on|for) [\w $€£.,'-]{1,40}$", "", tail)


def _of_owner(what: str, thing: str, verb: str) -> Announcement | None:
    named = set(_words(thing))
    about = re.compile(rf"(?:i|we) (?:\w+ )?{verb}\b", re.IGNORECASE)

    def ends(statement: str) -> bool:
        return about.match(statement) is not None and named <= set(_words(statement))

    return Announcement(what=what, ends=ends, alone=False) if named else None


def _parted(match: re.Match[str]) -> Announcement | None:
    if not slot_values.is_closed(match["tail"]):
        return None
    who = set(_words(match["who"] or ""))
    kin = re.compile(_PARTNER, re.IGNORECASE)
    if who and re.match(r"my ", match["who"], re.IGNORECASE) and not kin.search(match["who"]):
        return None
    named = who - set(_words("girlfriend boyfriend partner fiancé fiancée husband wife"))

    def ends(statement: str) -> bool:
        return (
            re.match(_OWN, statement, re.IGNORECASE) is not None
            and kin.search(statement) is not None
            and named <= set(_words(statement))
        )

    return Announcement(what="a couple parted", ends=ends, alone=False)


def _off(match: re.Match[str]) -> Announcement | None:
    thing = match["thing"]
    return _of_owner(
        f"{thing} ended", thing, r"(?:take|use|am on|am taking|am using|was put on|need)"
    )


def _left(match: re.Match[str]) -> Announcement | None:
    if not slot_values.is_closed(match["tail"]):
        return None
    thing = match["thing"]
    return _of_owner(
        f"{thing} left",
        thing,
        r"(?:go to|am (?:in|on|a member of|part of)|play (?:in|for|on)|sing in|belong to|attend|"
        r"work (?:at|for|in|on))",
    )


def _acquired(match: re.Match[str]) -> Announcement | None:
    words = _words(match["thing"])
    if not words or not slot_values.is_closed(match["tail"]):
        return None
    kinds = [kind for kind in _CLASSES if words[-1] in map(_stem, kind)]
    named = {words[-1]}.union(*kinds)
    lacking = re.compile(
        r"(?:i|we) (?:do not|still do not) have (?:any |a |an )?(\w+)", re.IGNORECASE
    )

    def ends(statement: str) -> bool:
        match = lacking.match(statement)
        return match is not None and _stem(match[1].casefold()) in map(_stem, named)

    return Announcement(what="no longer without", ends=ends, alone=False) if kinds else None


def _learned(match: re.Match[str]) -> Announcement | None:
    named = set(_words(match["thing"]))
    unable = re.compile(r"(?:i|we) (?:can ?not|do not (?:speak|know|play))\b", re.IGNORECASE)

    def ends(statement: str) -> bool:
        return unable.match(statement) is not None and named <= set(_words(statement))

    return Announcement(what="learned", ends=ends, alone=False) if named else None


def _words(text: str) -> list[str]:
    """The content words of a text, stemmed."""
    words = [word.casefold().removesuffix("'s") for word in re.findall(r"[^\W_][\w'-]*", text)]
    return [_stem(word) for word in words if word not in FUNCTION_WORDS]


def _stem(word: str) -> str:
    return _INFLECTED.sub("", word) if len(word) > 4 else word.rstrip("s") or word


def _times(text: str) -> set[str]:
    return {
        part.casefold()
        for part in re.findall(rf"\b(?:{WEEKDAY}|{MONTH}|tomorrow|\d+)\b", text, re.IGNORECASE)
    }


def _amounts(text: str) -> set[tuple[str, str]]:
    found = re.findall(r"([$€£¥]?) ?(\d[\d.,]*)(%| ?[^\W\d_]+)?", text)
    return {
        (number.rstrip(".,"), sign or _stem(unit.strip().casefold()))
        for sign, number, unit in found
    }


_AT = rf"(?:to|until|till|for) (?P<when>{_WHEN}\b.*)"
_HAVE = r"(?:i|we) (?:have |just |finally |recently )*"

_OF_PLANS: tuple[tuple[Maker, *tuple[str, ...]], ...] = (
    (
        _rescheduled,
        rf"{_THING} {_HAS} (?:been )?{_MOVED}{_AWAY}(?: from [^,;]+?)? {_AT}",
        rf"(?:.{{1,40}}? )?(?:{_MOVED}|{_MOVE}) {_THING}{_AWAY}(?: from [^,;]+?)? {_AT}",
        rf"{_THING} is now (?:on|at|in|going to be on) (?P<when>{_WHEN}\b.*)",
    ),
    (
        _cancelled,
        r"(?:.{1,30}? )?(?:cancel(?:l?ed)?|called off|call off|dropped out of|pulled out of|"
        rf"withdrew from) {_THING}(?:[,;].*)?",
        rf"{_THING} {_HAS} (?:been )?(?:cancell?ed|called off)(?:[ ,;].*)?",
    ),
    (
        _amount,
        rf"{_THING} (?:{_HAS} )?(?:just )?(?:went|gone|go|up|down|increased|raised|reduced|"
        rf"lowered|cut|bumped|risen|rose|dropped|fell|fallen)(?: up| down)?(?: from [^,;]+?)?"
        rf" to {_AMOUNT}{_TIMES}",
        rf"(?:.{{1,40}}? )?(?:raised|increased|reduced|lowered|cut|bumped|doubled|upped)"
        rf"(?: up)? {_THING}(?: from [^,;]+?)? to {_AMOUNT}{_TIMES}",
        rf"{_THING} (?:is|are) now {_AMOUNT}{_TIMES}",
    ),
)
_OF_BELONGINGS: tuple[tuple[Maker, *tuple[str, ...]], ...] = (
    (
        _gone,
        rf"{_HAVE}(?:sold|gave away|given away|got rid of|donated|scrapped|traded in|crashed|"
        rf"wrecked) {_THING}{_TIMES}",
        rf"(?P<thing>(?:my|our) [^,;]+?) (?:{_HAS} )?(?:been )?(?:died|passed away|put down|"
        rf"ran away|stolen|totall?ed|sold){_TIMES}",
        rf"(?P<thing>(?-i:[A-Z])[\w'-]+) (?:died|passed away|ran away|was put down){_TIMES}",
    ),
    (
        _off,
        r"(?:.{1,40}? )?took me off (?:the |my )?(?P<thing>[^,;]+?)(?:[,;].*)?",
        rf"{_HAVE}(?:came off|come off|am off|went off|got off|stopped taking|quit taking) "
        r"(?:the |my )?(?P<thing>[^,;]+?)(?: now)?(?:[,;].*)?",
    ),
    (
        _left,
        rf"{_HAVE}(?:quit|dropped out of|resigned from) "
        rf"(?P<thing>(?:my|our|the) (?:[\w-]+ ){{0,3}}(?:{_VENUE}|{_GROUP})){_TIMES}",
        rf"{_HAVE}left (?P<thing>(?:my|our|the) (?:[\w-]+ ){{0,3}}{_GROUP}){_TIMES}",
    ),
    (
        _acquired,
        rf"{_HAVE}(?:got|adopted|bought|rescued|had) "
        rf"(?:a|an|our first|my first|two|three) (?P<thing>[^,;]+?){_TIMES}",
    ),
    (
        _learned,
        rf"{_HAVE}(?:learned|learnt) (?:how to |to |some |a bit of )?"
        r"(?P<thing>[^,;.]+?)(?: since .*| last .*| this .*)?",
    ),
)
_OF_PEOPLE: tuple[tuple[Maker, *tuple[str, ...]], ...] = (
    (
        _parted,
        r"(?P<who>[\w'-]+|my [\w-]+) and (?:i|me) (?:have |just |finally |recently )*"
        rf"(?:broke|broken|split|got divorced|are divorced|separated)(?: up)?{_TIMES}",
        rf"{_HAVE}(?:broke|broken|split) up(?: with (?P<who>[\w'-]+|my [\w-]+))?{_TIMES}",
        rf"(?P<who>[\w'-]+|my [\w-]+) (?:left|dumped|broke up with) me{_TIMES}",
    ),
    (
        _fired,
        r"i (?:was|got|have been) (?:fired|laid off|made redundant|let go)(?P<tail>.*)",
        r"i (?:have )?(?:quit|lost|left|resigned from) my job(?P<tail>.*)",
    ),
)
"""What makes an announcement of a match, and the sentences that it is made of."""
