"""Negations ("I stopped drinking coffee"), and the statements that they are about.

A negation opposes a statement about the same subject with the same words ("I drink coffee every
morning"); only the form of the verb, and how often, may differ. Synonyms are not detected, and
narrower or similar statements ("I drink coffee at work", "I drink coffee liqueur") do not match.
Residence, employer and the like are handled by ``extraction.rules.slots``. English; other languages
have their endings in ``extraction/rules/languages``.
"""

from __future__ import annotations

import re

from attrs import frozen

from remembrancer.application.extraction.rules import cues
from remembrancer.application.extraction.rules.answers import in_one_sentence
from remembrancer.application.extraction.rules.calendar_words import MONTH, WEEKDAY
from remembrancer.application.extraction.rules.readings import remembered
from remembrancer.application.extraction.rules.statements import Statement, statements_in


@frozen(kw_only=True)
class Assertion:
    """A statement of at least one word about a subject.

    ``over``: it is negated. ``flatly``: it is denied without saying that it was ever true ("I don't
    drink coffee"), so that nobody knows since when. ``exactly``: it negates nothing but the very
    same words ("I used to smoke"). ``renewed``: it says that this is so again, or from now on.
    """

    subject: str
    words: tuple[str, ...]
    over: bool = False
    flatly: bool = False
    exactly: bool = False
    renewed: bool = False


_OVER = re.compile(
    r"(?:(?P<ceased>(?:have )?(?:stopped|quit|gave up|given up)) (?P<gerund>[^\W\d_]+ing\b.*)"
    r"|used to (?P<formerly>.+)|no longer (?P<lapsed>.+)"
    r"|am no longer (?P<been>.+)|do not (?P<denied>.+)|am not (?P<unlike>.+))$",
    re.IGNORECASE,
)
_STARTED = re.compile(
    r"(?:have )?(?:started|began|begun|took up|taken up|am back to) (?P<gerund>[^\W\d_]+ing\b.*)$",
    re.IGNORECASE,
)
_ANYMORE = re.compile(r" (?:anymore|any more|any longer)\b", re.IGNORECASE)
_TAIL = re.compile(
    r"(?:,? (?:for good|completely|altogether|entirely|recently|now|nowadays|these days|yesterday|"
    r"finally|already|actually|(?:last|this) (?:week|weekend|month|year|spring|summer|autumn|fall|"
    rf"winter)|in (?:{MONTH}|(?:19|20)\d\d)|since .*|because .*|due to .*|as (?:it|the|i|my) .*|"
    r"(?:a |an )?\w+(?: of)? (?:days?|weeks?|months?|years?) ago)|[,;:] .*)+$",
    re.IGNORECASE,
)
_ARTICLES = frozenset(("a", "an", "the", "any"))
_OFTEN = frozenset(
    "every each daily weekly monthly now so very again twice once lots much often regularly "
    "always".split()
)
_SPANS = frozenset("day week month year".split())
_DAY_PARTS = re.compile(rf"(?:morning|evening|afternoon|night|weekend|weekday|{WEEKDAY})s?$")
_OPEN = frozenset("in on at of to for from with by about as into".split())
# Pronouns that refer to something outside of the sentence.
_POINTING = frozenset("it that this them him her there here one those these".split())
_MARKS = ".,!?;:…\"'()"

MOST_WORDS_OF_AMOUNT = 4
"""Words of "ten cigarettes a day", without articles."""


@remembered
def assertion_in(sentence: str, speaker: str) -> Assertion | None:
    """The assertion or negation of a sentence, ``None`` if it has another form.

    Args:
        sentence: as it was said.
        speaker: the person that "I" means.
    """
    sentence = in_one_sentence(sentence) or sentence
    for statement in statements_in(sentence, speaker):
        if statement.possessed:
            continue
        match = _OVER.match(statement.predicate)
        if match is not None:
            limited = cues.limited(sentence) or cues.passing(sentence)
            return None if limited else _ending(statement, match)
        started = _STARTED.match(statement.predicate)
        words = _words(statement.predicate if started is None else started["gerund"])
        if not words:
            return None
        return Assertion(
            subject=statement.subject,
            words=words,
            renewed=(started is not None or cues.says_now(sentence)) and not cues.limited(sentence),
        )
    return None


def opposes(ending: Assertion, assertion: Assertion) -> bool:
    """Whether ``ending`` negates ``assertion``: the same words, which may go on with how often."""
    if not ending.over or assertion.over or ending.subject != assertion.subject:
        return False
    count = len(ending.words)
    if assertion.words[:count] != ending.words:
        return False
    rest = assertion.words[count:]
    if rest and rest[-1] in ("again", "now"):
        rest = rest[:-1]
    if not rest or ending.flatly or ending.exactly:
        return not rest
    return (
        rest[0] in _OFTEN
        # "a pack a day"
        or (rest[-1] in _SPANS and 2 <= len(rest) <= MOST_WORDS_OF_AMOUNT and rest[0] not in _OPEN)
        or (len(rest) == 2 and rest[0] in _OPEN and _DAY_PARTS.match(rest[1]) is not None)
    )


def _ending(statement: Statement, match: re.Match[str]) -> Assertion | None:
    found = {name: text for name, text in match.groupdict().items() if text is not None}
    found.pop("ceased", None)
    [(form, text)] = found.items()
    flatly = form in ("denied", "unlike") and _ANYMORE.search(text) is None
    text = _ANYMORE.sub("", text)
    text = text if flatly else _TAIL.sub("", text)
    if form in ("been", "unlike"):
        text = f"am {text}"
    words = _words(text)
    if not words or words[-1] in _OPEN or not _POINTING.isdisjoint(words):
        return None
    return Assertion(
        subject=statement.subject,
        words=words,
        over=True,
        flatly=flatly,
        exactly=form == "formerly",
    )


def _words(predicate: str) -> tuple[str, ...]:
    words = [word.strip(_MARKS).casefold() for word in predicate.split()]
    kept = [word for word in words if word and word not in _ARTICLES]
    return (_stem(kept[0]), *kept[1:]) if kept else ()


def _stem(verb: str) -> str:
    """The same stem for "smoke", "smokes" and "smoking"."""
    if verb.endswith("ing") and len(verb) > 4:
        verb = verb[:-3]
        if len(verb) > 2 and verb[-1] == verb[-2] and verb[-1] not in "lsaeiou":
            verb = verb[:-1]
    elif verb.endswith("s") and not verb.endswith("ss"):
        verb = verb[:-1]
    return verb.rstrip("e") or verb
