"""Words that say whether a sentence changes what was said before.

A belief ends only on a word of change ("now", "new", "sorry, I meant"), and only if nothing in the
sentence limits it: a condition, a wish, another time or place, an addition, a joke. English; other
languages have their words in ``languages/``.
"""

from __future__ import annotations

import re

from remembrancer.application.extraction.rules.calendar_words import MONTH, WEEKDAY
from remembrancer.application.extraction.rules.contractions import straight

_REQUEST = re.compile(
    r"\W*(?:(?:can|could|would|will) (?:you|u)|(?:do|would) you mind)(?: please| kindly)? ",
    re.IGNORECASE,
)
"""The opening of "could you remember that …"."""


_UNREAL = re.compile(
    r"\b(?:if|unless|would|could|might|maybe|perhaps|possibly|supposedly|imagin\w*|"
    r"pretend\w*|suppose|as though|wish(?:ed|es)?|dream(?:s|ed|t|ing)?|nearly|almost|whether|"
    r"hop(?:e|es|ed|ing)|want(?:s|ed)? to|thinking (?:of|about)|thought (?:of|about)|considering|"
    r"plan(?:s|ned|ning)? (?:to|on)|about to|yeah,? right|as the saying goes|so to speak|joking|"
    r"just kidding|haha\w*|lol|once upon|according to|(?:in|from|for) (?:the|a|my|our|this) "
    r"(?:game|book|film|movie|novel|dream|play|story|song|poem|series|show|lyrics))\b",
    re.IGNORECASE,
)
_ADDED = re.compile(r"\b(?:also|besides|additionally|too(?! \w)|as well(?! as))\b", re.IGNORECASE)
_LIMITED = re.compile(
    r"\b(?:sometimes|occasionally|usually|"
    r"often|mostly|rarely|part[- ]time|temporarily|temporary|briefly|for now|for the time being|"
    r"for the moment|until|till|during|second(?:ary)?|third|another|other|extra|additional|"
    r"side|spare|half|except|apart from|other than|only|once|twice|whenever|unsuccessfully|"
    rf"weekends?|weekdays?|{WEEKDAY}s|"
    rf"on (?:a |most |some )?{WEEKDAY}s? (?:and|or|morning|evening)\w*|"
    r"(?:at|by|every|each|most|some|two|three|few) (?:nights?|evenings?|mornings?|afternoons?)|"
    r"(?:evenings?|nights?|days?|hours?|mornings?|times?) (?:a|per|each) (?:week|month|year)|"
    r"when(?:ever)? (?:i|we|you|it|the|my|travell?ing|working)|while (?:i|we|travell?ing|my)|"
    r"started again|again yesterday|still do|kept|on and off|"
    r"as (?:a|an) (?:kid|child|teenager|teen|student|boy|girl|volunteer|guest|visitor|hobby))\b"
    r"|\((?:just|only|not)\b",
    re.IGNORECASE,
)
_PASSING = re.compile(
    r"\b(?:today|tonight|this (?:week|weekend|month|morning|afternoon|evening|time|summer|winter|"
    r"spring|autumn|semester|term)|right now|at the moment|for (?:a|an|one|two|three|four|five|"
    r"ten|\d+|the|some|several) (?:\w+ ){0,2}(?:while|bit|moments?|minutes?|hours?|days?|weeks?|"
    r"weekend|months?|summer|winter|semester|term|holidays?|trip|visit))\b",
    re.IGNORECASE,
)
_ELSEWHERE = re.compile(
    r"(?:and |but |well,? )?(?:in|at|over in|down in) (?-i:[A-Z])[^,]{1,40},", re.IGNORECASE
)
_MONTHS = re.compile(
    rf"in (?:early |late |mid-?)?(?:{MONTH}|spring|summer|autumn|winter)\b",
    re.IGNORECASE,
)

_PRESENT = re.compile(
    r"\b(?:now(?! and then\b)|nowadays|these days|from now on|as of (?:today|now)|instead|"
    r"has changed|changed to|switched to|again)\b",
    re.IGNORECASE,
)
_CORRECTION = re.compile(
    r"(?:(?:oh|oops|ah|um|uh|well|hm+|wait|hang on|no|nope|hey)[\s,.!:;-]+)*"
    r"(?:(?:(?:i am )?sorry|apologies|my (?:bad|mistake|apologies)|oops|whoops|"
    r"scratch that|scrap that|strike that|forget that|wait|no)\b[\s,.!:;-]+"
    r"(?:(?:i )?(?:meant|mean)(?: to (?:say|write))?(?: that)?\b|typo|"
    r"i (?:misspoke|mistyped|was wrong|made a mistake|"
    r"got (?:it|that) wrong|mixed (?:it|that|them) up)|wrong \w+|"
    r"that (?:is|was) (?:wrong|not right|a typo)|"
    r"correction|(?:it|that) should (?:be|say)|it is (?:actually|really)|actually|"
    r"(?=my|i am|our|it is not))"
    r"|correction\s*[:,-]|typo\s*[:,-]|to correct (?:myself|that|what i said)"
    r"|(?:i|we) (?:misspoke|mistyped|meant to say|said (?:that|it) wrong|got (?:it|that) wrong|"
    r"made a mistake|was mistaken|changed (?:my|our) minds?)\b"
    r"|what i said (?:\w+ )?(?:was|is) (?:wrong|not right))",
    re.IGNORECASE,
)


def _told(sentence: str) -> str:
    return _REQUEST.sub("", straight(sentence))


def limited(sentence: str) -> bool:
    """Whether a sentence holds only sometimes, somewhere, beside others, or not in earnest."""
    return _ADDED.search(sentence) is not None or limited_throughout(sentence)


def limited_throughout(sentence: str) -> bool:
    """Whether what limits a sentence limits all of its clauses: "also" does not."""
    text = _told(sentence)
    return bool(
        _UNREAL.search(text)
        or _LIMITED.search(text)
        or (_ELSEWHERE.match(text) and not _MONTHS.match(text))
    )


def unreal(sentence: str) -> bool:
    """Whether a sentence is about what may be, not about what is."""
    return _UNREAL.search(_told(sentence)) is not None


def passing(sentence: str) -> bool:
    """Whether a sentence tells about today, this week, or a span of time."""
    return _PASSING.search(straight(sentence)) is not None


def says_now(sentence: str) -> bool:
    """Whether a sentence contrasts the present with the past: "now", "these days"."""
    return _PRESENT.search(straight(sentence)) is not None


def correction(sentence: str) -> int:
    """The length of an opening that takes something back ("sorry, I meant", "correction:"), 0 if
    there is none.
    """
    match = _CORRECTION.match(straight(sentence))
    return 0 if match is None else match.end()
