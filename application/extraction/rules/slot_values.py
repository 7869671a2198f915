"""Slot values: cut them out of a sentence, validate and normalise them.

"Paris with my wife" has the value "Paris"; "tears", "a new flat" and "the moment" are no places.
"""

from __future__ import annotations

import re

from remembrancer.domain.text import normalised

_LITERAL = ("phone", "email", "address", "birthday", "age", "weight", "diet")
"""Attributes whose pattern matches the exact value."""

_END = re.compile(
    r"\s*[,;:()\u2013\u2014!.…]\s|\s+-\s+|\s*[,;]$|\s+(?:and|but|because|since|so|which|where|who|"
    r"when|while|after|before|until|for|with|without|as|now|currently|right now|at the moment|"
    r"these days|nowadays|though|although|if|unless|in|at|last|this|next|yesterday|today|tomorrow|"
    r"tonight|recently|again|anymore|any|to|from|on|instead|too|over|by|full|part|during|about|"
    r"around|near|just|also|still|or|not|is|are|was|has|\w+ (?:years?|months?|weeks?|days?) ago)\b",
    re.IGNORECASE,
)
_EMPTY_TAIL = re.compile(
    r"[\s,.!]*(?:(?:now|currently|right now|at the moment|these days|nowadays|too|again|anymore|"
    r"any more|any longer|still|today|instead|actually|though|by the way|btw)\b[\s,.!]*)*$",
    re.IGNORECASE,
)
_NOT_SETTLED = re.compile(
    r"\b(?:when I was|as a (?:kid|child|teenager|student)|temporarily|briefly|for now|would|if|"
    r"unless|in my (?:dreams|mind|head)|(?:or|so) I|once|"
    r"for (?:a|the|two|three|\d+|some|one) (?:few |couple of |whole |long )?"
    r"(?:while|bit|days?|weeks?|weekend|months?|summer|winter|semester|term|vacation|holidays?|"
    r"trip|visit|conference|project))\b",
    re.IGNORECASE,
)
_NAMED = r"(?-i:[A-Z])[\w'’.-]*(?: (?-i:[A-Z])[\w'’.-]*)*"
_CLOSED = re.compile(
    rf"""(?:[\s,.!]+(?:
      (?:to|from|with)\ (?:my\ )?(?:{_NAMED}|ex|girlfriend|boyfriend|partner|husband|wife)
    | (?:in|on|at|by|since|last|this|next|over)\ (?:the\ )?(?:early\ |late\ |end\ of\ |start\ of\ )?
        (?:{_NAMED}|\d{{4}}|spring|summer|autumn|fall|winter|week|weekend|month|year|night|christmas)
        (?:\ \d{{1,4}}(?:st|nd|rd|th)?)?
    | yesterday | today | recently | now | again | finally | officially | already | too\ soon
    | for\ good | anymore | any\ more | any\ longer | nowadays | these\ days | actually
    | \w+(?:\ \w+)?\ (?:days?|weeks?|months?|years?)\ ago
    | (?:because|due\ to|after|since|as|so)\ .* | [,;].*
    ))*[\s.!]*$""",
    re.IGNORECASE | re.VERBOSE,
)
_ON_A_STAY = re.compile(
    r"\b(?:for (?:the|a|an) (?!(?:\w+ )?(?:job|position|role|career|life|change|start)\b)"
    r"|as (?:a|an|the) |in the (?!spring|summer|autumn|fall|winter|early|late|middle|end|\d))",
    re.IGNORECASE,
)
_LASTING = re.compile(r"\b(?:since|for)\b", re.IGNORECASE)

# A value with such a first word is no name, place or favourite.
_NEVER_FIRST = frozenset(
    "a an my our your his her their its this that these those it there here home me you him "
    "them us someone somebody something everything nothing anything everyone fear hope peace "
    "denial pain poverty harmony hell chaos luxury night nights noon least all once first last "
    "not no upon full-time part-time heart school work college university church scale odds "
    "random play tears be being very so really going coming on in at by up out too just "
    "probably the what where when how if later tomorrow back anytime any crazy maybe stupid "
    "tonight today soon whenever lazy paranoid silly unknown secret hard great good important "
    "easy common weird unique long short difficult unusual team whole".split()
)
_MONTH = re.compile(r"\b(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*\b", re.IGNORECASE)
_NUMERIC_DATE = re.compile(r"\d[-/.]\d")
_ORDINAL = re.compile(r"(\d+)(?:st|nd|rd|th)")

MOST_WORDS = 6
"""Words of a value."""

MOST_LOWER_WORDS = 2
"""Words of a proper name typed without capitals."""


def cut(said: str, attribute: str) -> tuple[str, str]:
    """Split ``said`` into the value and the text after it."""
    if attribute in _LITERAL:
        return said, ""
    end = _END.search(said, 1)
    answer, tail = (said[: end.start()], said[end.start() :]) if end else (said, "")
    return answer.strip(" \"'"), tail


def is_answer(said: str, attribute: str, *, proper: bool, sentence: str) -> bool:
    """Whether ``said`` is a possible value of ``attribute``.

    Args:
        said: the value as cut out.
        attribute: for example ``residence``.
        proper: whether the value must be a proper name.
        sentence: the whole sentence, to detect a writer who uses no capitals.
    """
    if attribute == "birthday":
        dated = _MONTH.search(said) or _NUMERIC_DATE.search(said)
        return dated is not None and any(character.isdigit() for character in said)
    if attribute == "age":
        return 0 < int(said) < 130
    if attribute in _LITERAL:
        return True
    words = said.split()
    if len(words) > 1 and words[0] == "the" and words[1][0].isupper():
        del words[0]
    if not words or len(words) > MOST_WORDS:
        return False
    if words[0].casefold() in _NEVER_FIRST and words[0] != "A":
        return False
    if not any(character.isalnum() for character in words[0]):
        return False
    return not proper or _is_proper(words, sentence)


def _is_proper(words: list[str], sentence: str) -> bool:
    """Whether the words may be a name: capitalised, or the writer uses no capitals."""
    if not words[0][0].islower():
        return not words[0][0].isdigit()
    others = [word for word in sentence.split()[1:] if word[0].isupper()]
    return len(words) <= MOST_LOWER_WORDS and all(
        word[:1] == "I" and not word[1:2].isalpha() for word in others
    )


def is_settled(tail: str, attribute: str) -> bool:
    """Whether the text after a value does not make it conditional, temporary or past."""
    if attribute == "residence" and _ON_A_STAY.search(tail):
        return False
    return _NOT_SETTLED.search(tail) is None


def is_closed(tail: str) -> bool:
    """Whether the text after a value has nothing but a time, a person or a reason, or is another
    clause.
    """
    return _CLOSED.match(tail) is not None


def is_lasting(tail: str) -> bool:
    """Whether the text after a value has a duration or a "since"."""
    return _LASTING.search(tail) is not None


def tells_more(tail: str) -> bool:
    """Whether the text after a value has content, more than "now"."""
    return _EMPTY_TAIL.match(tail) is None


def folded(answer: str, attribute: str) -> str:
    """The normalised value for comparing; a less exact value is a prefix of a more exact one."""
    if attribute == "phone":
        return "".join(character for character in answer if character.isdigit())
    words = normalised(answer).split()
    if attribute == "birthday":
        return _birthday(words)
    return " ".join(words).removeprefix("the ")


def _birthday(words: list[str]) -> str:
    """Month, day, year; a birthday in numbers alone keeps its form."""
    parts = [word.strip(",.") for word in words if word not in ("the", "of")]
    months = [part[:3] for part in parts if not part[:1].isdigit()]
    numbers = [_ORDINAL.sub(r"\1", part) for part in parts if part[:1].isdigit()]
    return " ".join([*months, *sorted(numbers, key=len)])
