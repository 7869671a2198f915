"""Regular expressions that match slot values in English predicates.

A predicate is a sentence as ``statements`` normalises it: first person, contractions expanded,
subject removed. A match still has to be checked by ``slot_values``.
"""

from __future__ import annotations

import re
from functools import cache

from attrs import frozen

from remembrancer.application.extraction.rules.gazetteer import NameKind
from remembrancer.application.extraction.rules.reading import Stance


@frozen(kw_only=True)
class Pattern:
    """A pattern for one attribute. Groups of the regex: ``value`` is the value and the text after
    it, ``tail`` the text after the value where the pattern separates it, ``thing`` completes the
    attribute, ``origin`` is the value that the new one replaces, ``not`` and ``no_longer`` negate.

    ``means`` is the value of a pattern without one ("we broke up": single). ``proper``: the value
    is a proper name. ``kind``: the value must be known to be of that kind to replace another one.
    ``lasting``: matches only with a duration or a "since". ``closed``: after the value there may be
    nothing but a time or a reason.
    """

    attribute: str
    regex: re.Pattern[str]
    stance: Stance
    proper: bool
    lasting: bool
    closed: bool
    kind: NameKind | None
    means: str | None


def _pattern(
    attribute: str,
    *regex: str,
    stance: Stance = Stance.HOLDS,
    proper: bool = False,
    lasting: bool = False,
    closed: bool = False,
    kind: NameKind | None = None,
    means: str | None = None,
) -> Pattern:
    return Pattern(
        attribute=attribute,
        regex=re.compile(f"(?:{''.join(regex)})$", re.IGNORECASE),
        stance=stance,
        proper=proper,
        lasting=lasting,
        closed=closed,
        kind=kind,
        means=means,
    )


_VALUE = r"(?P<value>.+)"
_JOB = r"(?:(?:my|a|an|the|that) )?(?:[\w-]+ ){0,2}(?:job|position|role)"
_MY_JOB = r"my (?:current |day |full-time )?job"
_OCCUPATION = (
    r"(?:engineer|developer|programmer|designer|manager|director|analyst|architect|scientist|"
    r"researcher|consultant|accountant|auditor|nurse|doctor|surgeon|pharmacist|therapist|teacher|"
    r"lecturer|professor|lawyer|paralegal|clerk|assistant|secretary|receptionist|technician|"
    r"electrician|plumber|mechanic|carpenter|driver|pilot|chef|cook|waiter|waitress|barista|"
    r"bartender|cashier|salesperson|salesman|saleswoman|recruiter|editor|reporter|journalist|"
    r"writer|copywriter|translator|interpreter|photographer|illustrator|administrator|operator|"
    r"officer|guard|inspector|supervisor|foreman|planner|buyer|trader|banker|broker|agent|"
    r"specialist|coordinator|executive|intern|trainee|apprentice|postdoc|lead|head|vp|c[a-z]o)\b"
)
_NOT = r"(?P<not>do not|am not|have not been)"
_NO_LONGER = r"(?P<no_longer>no longer|am no longer|have no longer)"
_NEGATED = f"(?:{_NOT}|{_NO_LONGER})"
_STATUS = r"(?P<value>single|married|engaged|divorced|widowed|separated)"
_STATUS_TAIL = r"(?P<tail>(?: (?:to|with|from|again|in|on|at|last|now|for|since|\w+ ago)\b.*)?)"
_PARTNER = r"(?:girlfriend|boyfriend|partner|fianc[eé]e?|husband|wife|spouse)"
_NUMBER = r"(?P<value>[+(\d][\d\s().-]{4,}\d)"
_WEIGHT = r"(?P<value>\d{2,3}(?:[.,]\d)? ?(?:kg|kilos?|kilograms?|pounds?|lbs?))"
_DIET = (
    r"(?:an? )?(?:strict |full )?(?P<value>vegetarian|vegan|pescatarian|omnivore|flexitarian|"
    r"carnivore|meat[ -]eater)"
)

UNIQUE = (
    r"(?:boss|manager|supervisor|team lead|landlord|landlady|therapist|psychologist|dentist|gp|"
    r"doctor|physio(?:therapist)?|trainer|hairdresser|lawyer|accountant|employer|"
    r"girlfriend|boyfriend|partner|fianc[eé]e?|husband|wife|spouse)"
)
"""Persons and firms of whom one has one: a new one takes the place of the old one."""


# Compiled on first use, to keep the import fast.
@cache
def of_subject() -> tuple[Pattern, ...]:
    """Patterns for predicates of a person: "live in Oslo"."""
    return (*_residence(), *_employer(), *_person())


def _residence() -> tuple[Pattern, ...]:
    now = r"(?:live|reside|am (?:living|residing|based)|have been (?:living|based))"
    return (
        _pattern(
            "residence",
            now,
            "(?: over| out| back| up| down)? in ",
            _VALUE,
            proper=True,
            kind=NameKind.PLACE,
        ),
        _pattern(
            "residence",
            "have lived in ",
            _VALUE,
            proper=True,
            lasting=True,
            kind=NameKind.PLACE,
        ),
        _pattern(
            "residence",
            r"(?:have )?(?:moved|relocated)(?: back| over| out| down| up| in)?",
            r"(?: from (?P<origin>[^,]{1,60}?))? to ",
            _VALUE,
            stance=Stance.BEGAN,
            proper=True,
            kind=NameKind.PLACE,
        ),
        _pattern(
            "residence",
            rf"(?:{_NEGATED} (?:live|living|residing|based) in|used to live in",
            r"|(?:have )?moved (?:out of|away from)) ",
            _VALUE,
            stance=Stance.ENDED,
            proper=True,
        ),
        _pattern("address", r"live at (?P<value>\d.*)"),
    )


def _employer() -> tuple[Pattern, ...]:
    now = rf"(?:work|(?:am|have been) (?:working|employed)|have {_JOB})"
    began = (
        rf"(?:(?:got|gotten|landed|started|took|accepted) {_JOB} (?:at|for|with)"
        r"|started (?:(?:to work|work|working) (?:at|for)|at)"
        r"|(?:got|was|am|have been) hired (?:at|by|for)(?!.* to [a-z]))"
    )
    return (
        _pattern("employer", now, " (?:at|for) ", _VALUE, proper=True),
        _pattern(
            "employer",
            rf"am (?:an? |the )?(?:[\w-]+ ){{0,3}}{_OCCUPATION} at ",
            _VALUE,
            proper=True,
        ),
        _pattern("employer", "have worked (?:at|for) ", _VALUE, proper=True, lasting=True),
        _pattern(
            "employer",
            rf"(?:have )?{began} ",
            _VALUE,
            stance=Stance.BEGAN,
            proper=True,
            kind=NameKind.ORGANISATION,
        ),
        _pattern(
            "employer",
            rf"(?:have )?joined (?P<value>.+?)(?P<tail> as (?:(?:an?|the|their) )?"
            rf"(?:[\w-]+ ){{0,3}}{_OCCUPATION}.*)",
            stance=Stance.BEGAN,
            proper=True,
            kind=NameKind.ORGANISATION,
        ),
        _pattern(
            "employer",
            rf"(?:{_NEGATED} (?:work|working|employed)|used to work) (?:at|for|by) ",
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
        # People leave the office, too: "I left Acme at six".
        _pattern(
            "employer",
            "(?:have )?left ",
            _VALUE,
            stance=Stance.ENDED,
            proper=True,
            closed=True,
        ),
        _pattern(
            "employer",
            rf"(?:(?:have )?(?:quit|left|lost|resigned from) {_MY_JOB}",
            r"|(?:was|got|have been) (?:fired|laid off|made redundant)",
            r"|am (?:unemployed|between jobs|retired)|(?:have )?retired)",
            r"(?P<tail>(?! (?:at|with|for) [A-Z]).*)",
            stance=Stance.ENDED,
            closed=True,
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
        *_relationship(),
        _pattern("form of address", "(?:go by|am known as) ", _VALUE, proper=True),
        _pattern("diet", f"am {_DIET}(?P<tail>.*)", closed=True),
        _pattern(
            "diet",
            f"(?:have )?(?:became|become|turned|gone|went) {_DIET}(?P<tail>.*)",
            stance=Stance.BEGAN,
            closed=True,
        ),
        _pattern(
            "diet",
            f"(?:(?P<not>am not)|(?P<no_longer>am no longer)) {_DIET}(?P<tail>.*)",
            stance=Stance.ENDED,
            closed=True,
        ),
        _pattern("weight", f"weigh {_WEIGHT}(?P<tail>.*)", closed=True),
        _pattern(
            "weight",
            f"(?:am|have gone|went|got) (?:back )?(?:down|up) to {_WEIGHT}(?P<tail>.*)",
            stance=Stance.BEGAN,
            closed=True,
        ),
        _pattern(
            "phone",
            r"have (?:got )?a new (?:phone |cell |mobile )?number(?: \w+)?[:,]? (?:it is )?",
            _NUMBER,
            stance=Stance.BEGAN,
        ),
    )


def _relationship() -> tuple[Pattern, ...]:
    status = "relationship status"
    return (
        _pattern(status, f"am {_STATUS}{_STATUS_TAIL}", closed=True),
        _pattern(
            status,
            rf"(?:have )?(?:got|gotten) {_STATUS}(?P<tail>.*)",
            stance=Stance.BEGAN,
            closed=True,
        ),
        _pattern(
            status,
            f"(?:(?P<not>am not)|(?P<no_longer>am no longer)) {_STATUS}{_STATUS_TAIL}",
            stance=Stance.ENDED,
            closed=True,
        ),
        _pattern(
            status,
            rf"have an? (?:new )?{_PARTNER}(?P<tail>(?:,| now| called| named| who| since|$).*)",
            means="taken",
        ),
        _pattern(
            status,
            "am (?:in a relationship|dating (?:someone|somebody))(?P<tail>.*)",
            means="taken",
        ),
        _pattern(
            status,
            r"(?:have )?(?:broke|broken|split) up"
            rf"(?P<tail>(?: with (?:my {_PARTNER}|[A-Z]\w+))?.*)",
            stance=Stance.BEGAN,
            closed=True,
            means="single",
        ),
    )


@cache
def of_possession() -> tuple[Pattern, ...]:
    """Patterns for predicates of a person's belonging: "favourite colour is blue"."""
    thing = r"(?P<thing>[^\W\d_][\w-]*(?: [\w-]+){0,2}?)"
    named = r"(?P<thing>(?:first|last|middle|maiden) name)"
    not_ = r"(?:(?P<no_longer> no longer)|(?P<not> not))?"
    is_ = rf"is{not_} "
    return (
        favourite(rf"(?P<thing>favou?rite [\w-]+(?: [\w-]+){{0,2}}?) {is_}{_VALUE}"),
        _pattern("name", f"(?:full )?name {is_}", _VALUE, proper=True),
        _pattern("{thing}", f"{named} {is_}", _VALUE, proper=True),
        _pattern("form of address", f"nickname {is_}", _VALUE, proper=True),
        _pattern(
            "phone", rf"(?:(?:cell|mobile|tele)? ?phone |cell |mobile )?number {is_}{_NUMBER}"
        ),
        _pattern("email", rf"e-?mail(?: address)? {is_}(?P<value>\S+@\S+\.\w+)"),
        _pattern("address", rf"(?:home |postal |street )?address {is_}(?P<value>.*\d.*)"),
        _pattern("birthday", f"(?:birthday|date of birth|birth date) {is_}(?:on )?", _VALUE),
        _pattern("age", rf"age {is_}(?P<value>\d{{1,3}})"),
        _pattern("occupation", f"(?:job title|occupation|profession) {is_}(?:an? )?", _VALUE),
        _pattern("relationship status", f"relationship status {is_}{_STATUS}"),
        _pattern("{thing}", f"(?P<thing>{UNIQUE}) {is_}{_VALUE}", proper=True),
        _pattern("{thing} name", f"{thing}'s name {is_}(?:going to be )?", _VALUE, proper=True),
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
            r"(?:new )?(?P<thing>favou?rite [\w-]+(?: [\w-]+){0,2}?)(?: now)?"
        ),
        _pattern(
            "phone",
            rf"(?:you can |please |just )*(?:reach|call|text|ring) me (?:at|on|under) {_NUMBER}",
        ),
        _pattern(
            "phone",
            r"(?:that|the old|my old|this) number (?:is|does) [^,;.]{2,40}[,;.] ?(?:please )?"
            rf"(?:use|call|try|text) {_NUMBER}(?: instead| now)?",
            stance=Stance.BEGAN,
        ),
    )
