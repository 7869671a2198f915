"""Regular expressions that match slot values in English predicates.

A predicate is a sentence as ``statements`` normalises it: first person, contractions expanded,
subject removed. A match still has to be checked by ``slot_values``.
"""

from __future__ import annotations

import re
from enum import Enum
from functools import cache

from attrs import frozen


class Stance(Enum):
    """Whether a sentence says that the value holds, has begun to hold, or has ended."""

    HOLDS = "holds"
    BEGAN = "began"
    ENDED = "ended"


@frozen(kw_only=True)
class Pattern:
    """A pattern for one attribute. Groups of the regex: ``value`` is the value and the text after
    it, ``tail`` the text after the value where the pattern separates it, ``thing`` completes the
    attribute, ``not`` negates.

    ``proper``: the value is a proper name. ``lasting``: matches only with a duration or a "since".
    """

    attribute: str
    regex: re.Pattern[str]
    stance: Stance
    proper: bool
    lasting: bool


def _pattern(
    attribute: str,
    *regex: str,
    stance: Stance = Stance.HOLDS,
    proper: bool = False,
    lasting: bool = False,
) -> Pattern:
    return Pattern(
        attribute=attribute,
        regex=re.compile(f"(?:{''.join(regex)})$", re.IGNORECASE),
        stance=stance,
        proper=proper,
        lasting=lasting,
    )


_VALUE = r"(?P<value>.+)"
_JOB = r"(?:(?:my|a|an|the|that) )?(?:[\w-]+ ){0,2}(?:job|position|role)"
_NOT = r"(?:no longer|do not|am not|am no longer|have not been)"
_STATUS = r"(?P<value>single|married|engaged|divorced|widowed|separated)"
_STATUS_TAIL = r"(?P<tail>(?: (?:to|with|again) .*)?)"


# Compiled on first use, to keep the import fast.
@cache
def of_subject() -> tuple[Pattern, ...]:
    """Patterns for predicates of a person: "live in Oslo"."""
    return (*_residence(), *_employer(), *_person())


def _residence() -> tuple[Pattern, ...]:
    now = r"(?:live|reside|am (?:living|residing|based)|have been (?:living|based))"
    return (
        _pattern("residence", now, "(?: over| out| back| up| down)? in ", _VALUE, proper=True),
        _pattern("residence", "have lived in ", _VALUE, proper=True, lasting=True),
        _pattern(
            "residence",
            r"(?:have )?(?:moved|relocated)(?: back| over| out| down| up| in)?",
            r"(?: from [^,]{1,60}?)? to ",
            _VALUE,
            stance=Stance.BEGAN,
            proper=True,
        ),
        _pattern(
            "residence",
            rf"(?:{_NOT} (?:live|living|residing|based) in|used to live in",
            r"|(?:have )?moved (?:out of|away from)) ",
            _VALUE,
            stance=Stance.ENDED,
            proper=True,
        ),
    )


def _employer() -> tuple[Pattern, ...]:
    now = rf"(?:work|(?:am|have been) (?:working|employed)|have {_JOB})"
    began = (
        rf"(?:(?:got|gotten|landed|started|took) {_JOB}|started (?:to work|work|working)"
        r"|(?:got|was|am|have been) hired)"
    )
    return (
        _pattern("employer", now, " (?:at|for|by|with) ", _VALUE, proper=True),
        _pattern("employer", "have worked (?:at|for) ", _VALUE, proper=True, lasting=True),
        _pattern(
            "employer",
            rf"(?:have )?{began} (?:at|for|by|with) ",
            _VALUE,
            stance=Stance.BEGAN,
            proper=True,
        ),
        _pattern(
            "employer",
            r"(?:have )?joined (?P<value>.+?)(?P<tail> as .*)",
            stance=Stance.BEGAN,
            proper=True,
        ),
        _pattern(
            "employer",
            rf"(?:{_NOT} (?:work|working|employed)|used to work) (?:at|for|by) ",
            _VALUE,
            stance=Stance.ENDED,
            proper=True,
        ),
        _pattern(
            "employer",
            rf"(?:have )?(?:(?:quit|left|resigned from|lost) {_JOB} (?:at|with)",
            r"|quit(?! \w+ing\b)|resigned from) ",
            _VALUE,
            stance=Stance.ENDED,
            proper=True,
        ),
        _pattern(
            "employer",
            r"(?:(?:have )?(?:quit|left|lost) my (?:\w+ )?job",
            r"|(?:was|got|have been) (?:fired|laid off)",
            r"|am (?:unemployed|between jobs|retired)|(?:have )?retired)",
            r"(?P<tail>(?! (?:at|with|for)\b).*)",
            stance=Stance.ENDED,
        ),
    )


def _person() -> tuple[Pattern, ...]:
    return (
        _pattern("occupation", "work as an? ", _VALUE),
        _pattern("age", r"am (?P<value>\d{1,3})(?: years?[ -]old| yo)?"),
        _pattern(
            "age",
            r"(?:have )?turned (?P<value>\d{1,3})(?P<tail>(?: (?:today|yesterday|last) ?.*)?)",
            stance=Stance.BEGAN,
        ),
        _pattern("birthday", "was born on ", _VALUE),
        _pattern("relationship status", f"am {_STATUS}{_STATUS_TAIL}"),
        _pattern(
            "relationship status",
            rf"(?:have )?(?:got|gotten) {_STATUS}(?P<tail>.*)",
            stance=Stance.BEGAN,
        ),
        _pattern(
            "relationship status",
            f"(?:am not|am no longer) {_STATUS}{_STATUS_TAIL}",
            stance=Stance.ENDED,
        ),
        _pattern("form of address", "(?:go by|am known as) ", _VALUE, proper=True),
    )


@cache
def of_possession() -> tuple[Pattern, ...]:
    """Patterns for predicates of a person's belonging: "favourite colour is blue"."""
    thing = r"(?P<thing>[^\W\d_][\w-]*(?: [\w-]+){0,2}?)"
    named = r"(?P<thing>(?:first|last|middle|maiden) name)"
    not_ = r"(?P<not> no longer| not)?"
    is_ = rf"is{not_} "
    number = r"(?P<value>[+(\d][\d\s().-]{4,}\d)"
    return (
        favourite(rf"(?P<thing>favou?rite [\w-]+(?: [\w-]+){{0,2}}?) {is_}{_VALUE}"),
        _pattern("name", f"(?:full )?name {is_}", _VALUE, proper=True),
        _pattern("{thing}", f"{named} {is_}", _VALUE, proper=True),
        _pattern("form of address", f"nickname {is_}", _VALUE, proper=True),
        _pattern("phone", rf"(?:(?:cell|mobile|tele)? ?phone |cell |mobile )?number {is_}{number}"),
        _pattern("email", rf"e-?mail(?: address)? {is_}(?P<value>\S+@\S+\.\w+)"),
        _pattern("address", rf"(?:home |postal |street )?address {is_}(?P<value>.*\d.*)"),
        _pattern("birthday", f"(?:birthday|date of birth|birth date) {is_}(?:on )?", _VALUE),
        _pattern("age", rf"age {is_}(?P<value>\d{{1,3}})"),
        _pattern("occupation", f"(?:job title|occupation|profession) {is_}(?:an? )?", _VALUE),
        _pattern("relationship status", f"relationship status {is_}{_STATUS}"),
        _pattern("{thing} name", f"{thing}'s name {is_}", _VALUE, proper=True),
        _pattern("{thing} name", f"{thing} is{not_} (?:called|named) ", _VALUE, proper=True),
    )


def favourite(regex: str) -> Pattern:
    """A pattern for a favourite thing."""
    return _pattern("{thing}", regex)


@cache
def of_sentence() -> tuple[Pattern, ...]:
    """Patterns for sentences about the speaker with another subject: "friends call me Al"."""
    others = (
        r"(?:(?:just|please|so|then|but|you|can|may|should|everyone|everybody|people|"
        r"(?:my )?friends|"
        r"they|most|all) )*"
    )
    pointing = r"(?!(?:that|this|it|he|she|which|what|who|one|there|here)\b)"
    return (
        _pattern("form of address", others, "calls? me ", _VALUE, proper=True),
        favourite(
            rf"(?P<value>{pointing}[\w'&-]+(?: [\w'&-]+){{0,3}}) is my "
            r"(?P<thing>favou?rite [\w-]+(?: [\w-]+){0,2})"
        ),
    )
