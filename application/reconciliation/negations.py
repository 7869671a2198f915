"""Negations ("I stopped drinking coffee"), and the statements that they end.

A negation ends a statement about the same subject with the same words ("I drink coffee every
morning"); only the form of the verb may differ. Synonyms are not detected, and similar statements
("I drink coffee liqueur") do not match. Residence, employer and the like are handled by
``extraction.rules.slots``. English only.
"""

from __future__ import annotations

import re

from attrs import frozen

from remembrancer.application.extraction.rules.statements import Statement, statements_in


@frozen(kw_only=True)
class Assertion:
    """A statement of at least one word about a subject.

    ``over``: it is negated. ``flatly``: it is denied without saying that it was ever true ("I don't
    drink coffee"); such a denial ends only its exact opposite.
    """

    subject: str
    words: tuple[str, ...]
    over: bool = False
    flatly: bool = False


_OVER = re.compile(
    r"(?:(?P<ceased>(?:have )?(?:stopped|quit|gave up|given up)) (?P<gerund>[^\W\d_]+ing\b.*)"
    r"|used to (?P<formerly>.+)|no longer (?P<lapsed>.+)"
    r"|am no longer (?P<been>.+)|do not (?P<denied>.+)|am not (?P<unlike>.+))$",
    re.IGNORECASE,
)
_ANYMORE = re.compile(r" (?:anymore|any more|any longer)\b.*$", re.IGNORECASE)
_TAIL = re.compile(
    r"[,;:(]| (?:because|since|as|so|but|and|after|when|while|until|due|last|this|yesterday|today|"
    r"recently|now|these days|for good|in (?:19|20)\d\d|"
    r"(?:a )?\w+(?: of)? (?:days?|weeks?|months?|years?) ago)\b",
    re.IGNORECASE,
)
_CONTRAST = re.compile(r"[,;:(]| but\b", re.IGNORECASE)
_ARTICLES = frozenset(("a", "an", "the", "any"))
_GOES_ON_WITH = frozenset(
    "every each daily weekly in on at all with for since now so very again when whenever because "
    "twice once lots much named called too as well".split()
)
_OPEN = frozenset("in on at of to for from with by about as into".split())
# Pronouns that refer to something outside of the sentence.
_POINTING = frozenset("it that this them him her there here one those these".split())
_MARKS = ".,!?;:…\"'()"


def assertion_in(sentence: str, speaker: str) -> Assertion | None:
    """The assertion or negation of a sentence, ``None`` if it has another form.

    Args:
        sentence: as it was said.
        speaker: the person that "I" means.
    """
    for statement in statements_in(sentence, speaker):
        if statement.possessed:
            continue
        match = _OVER.match(statement.predicate)
        if match is not None:
            return _ending(statement, match)
        words = _words(statement.predicate)
        return Assertion(subject=statement.subject, words=words) if words else None
    return None


def ends(ending: Assertion, assertion: Assertion) -> bool:
    """Whether ``ending`` negates ``assertion``. With the older one as ``ending``: whether a negated
    statement is true again.
    """
    if not ending.over or assertion.over or ending.subject != assertion.subject:
        return False
    count = len(ending.words)
    if assertion.words[:count] != ending.words:
        return False
    rest = assertion.words[count:]
    return not rest or (not ending.flatly and rest[0] in _GOES_ON_WITH)


def _ending(statement: Statement, match: re.Match[str]) -> Assertion | None:
    found = {name: text for name, text in match.groupdict().items() if text is not None}
    found.pop("ceased", None)
    [(form, text)] = found.items()
    flatly = form in ("denied", "unlike") and _ANYMORE.search(text) is None
    text = _ANYMORE.sub("", text)
    text = (_CONTRAST if flatly else _TAIL).split(text, maxsplit=1)[0]
    if form in ("been", "unlike"):
        text = f"am {text}"
    words = _words(text)
    if not words or words[-1] in _OPEN or not _POINTING.isdisjoint(words):
        return None
    if flatly and len(words) < 2:
        return None
    return Assertion(subject=statement.subject, words=words, over=True, flatly=flatly)


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
