"""Analyse a question before the search: find names and dates, and remove function words.

Regular expressions and word lists only: relative dates ("last summer") and months without a year
are left to keyword search. Names and numeric dates are found in any language; the names of months
and the function words are English.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Iterator
from datetime import UTC, datetime, timedelta

from attrs import frozen

from remembrancer.domain.conversation import Role
from remembrancer.domain.facts.fact import Interval
from remembrancer.domain.recall.function_words import FUNCTION_WORDS
from remembrancer.domain.recall.index_context import MONTHS
from remembrancer.domain.text import COMBINING_MARKS, FIRST_UNSPACED_SCRIPT, normalised

PHRASE_WORDS = 4
"""Maximum length of a possible name: in words, or in characters for scripts without spaces."""

LOOKED_AT = 300
"""Possible names are taken from this many characters; a longer text is no question."""

ASKING = "The user"
"""The name of a user in facts and relations if the real name is unknown."""

_LETTERS = rf"[^\W_](?:[^\W_]|[{COMBINING_MARKS}])*"
_CLITIC = r"(?:['\u2019](?:s|d|m|ll|re|ve)\b)?"
_WORD = re.compile(rf"({_LETTERS}){_CLITIC}", re.IGNORECASE)
# With the marks that belong to a name: "C++", ".NET".
_NAME_WORD = re.compile(rf"((?:(?<!\S)\.)?{_LETTERS}(?:[+#]+(?![^\W_]))?){_CLITIC}", re.IGNORECASE)
_ACCENTS = re.compile("[\u0300-\u036f]+")
_NAMELESS = frozenset(role.value for role in Role)
_FIRST_PERSON = frozenset("i me my mine myself we us our ours".split())

_ADDRESSES = frozenset(
    "you your yours yourself assistant chatbot bot du dir dich dein deine deinen deinem deiner "
    "assistent tú te ti tu tus usted asistente toi ton ta tes vous votre vos".split()
)
"""Words of questions that are about the assistant, or ask it what it said."""

_MONTH_NUMBERS = {
    spelling: number
    for number, month in enumerate(MONTHS, start=1)
    for spelling in (month.lower(), month[:3].lower(), month[:4].lower())
}
_MONTH = rf"\b(?P<month>{'|'.join(sorted(_MONTH_NUMBERS, key=len, reverse=True))})\b\.?"
_DAY = r"\b(?P<day>\d{1,2})(?:st|nd|rd|th)?"
_YEAR = r"(?P<year>(?:19|20)\d\d)(?!\d)"
_DATE_FORMS = tuple(
    re.compile(form, re.IGNORECASE)
    for form in (
        rf"{_DAY}(?: of)? {_MONTH},? ?{_YEAR}",
        rf"{_MONTH} {_DAY},? ?{_YEAR}",
        rf"{_MONTH}(?: of)?,? ?{_YEAR}",
        rf"(?<!\d){_YEAR}(?P<mark>[-/.])(?P<month>\d\d?)(?P=mark)(?P<day>\d\d?)(?!\d)",
        rf"(?<!\d){_YEAR}[-/](?P<month>\d\d?)(?!\d)",
        rf"(?<!\d){_YEAR}年(?:(?P<month>\d\d?)月(?:(?P<day>\d\d?)日)?)?",
        rf"(?<!\d)(?P<day>\d\d?)(?P<mark>[-.])(?P<month>\d\d?)(?P=mark){_YEAR}",
        rf"(?<!\d)(?P<day>\d\d?)(?P<either_way>/)(?P<month>\d\d?)/{_YEAR}",
        rf"(?<![\d.,]){_YEAR}(?![.,]\d)",
    )
)
"""Tried in this order, each on the text that the earlier ones did not match."""


@frozen(kw_only=True)
class Query:
    """The analysis of a question.

    ``text`` is as it was asked, all else is taken from its NFC form. ``text_for_keywords`` is
    without names and function words; ``text_for_embedding`` is without names (they pull towards any
    text that greets that person); either is the whole text if nothing would be left.
    ``names`` are the known speakers that the question names, spelled as given.
    ``spans`` are the days, months and years that it mentions, in UTC. ``entities`` are all possible
    names in it, most of which are none: the named speakers, the user who says "I", every short run
    of words. ``to_assistant``: it addresses the assistant or is about it ("What did you
    recommend?"), in English, German, Spanish or French.
    """

    text: str
    text_for_keywords: str
    text_for_embedding: str
    names: tuple[str, ...] = ()
    spans: tuple[Interval, ...] = ()
    entities: tuple[str, ...] = ()
    to_assistant: bool = False


def understand(text: str, *, speakers: Collection[str] = ()) -> Query:
    """Analyse a question.

    Args:
        text: the question as asked.
        speakers: the names of the speakers in the ledger. Any part of a name matches ("Caroline"
            for "Caroline Smith"), spelled with other accents or as ``normalised`` allows; names of
            roles are ignored.
    """
    asked, text = text, unicodedata.normalize("NFC", text)
    spans, rest = _take_dates(text)
    names, named = _find_names(rest, speakers)
    function_words = [
        match.span()
        for match in _WORD.finditer(rest)
        if _is_function_word(rest, match) and match.span() not in named
    ]
    bare = _without(text, [*named, *function_words])
    content = _has_content(bare)
    without_function_words = _without(text, function_words)
    return Query(
        text=asked,
        text_for_keywords=(
            bare
            if content
            else without_function_words
            if _has_content(without_function_words)
            else text
        ),
        text_for_embedding=_without(text, named) if content else text,
        names=names,
        spans=spans,
        entities=tuple(
            dict.fromkeys((*names, *_asking(text, speakers), *_phrases(text[:LOOKED_AT])))
        ),
        to_assistant=not _ADDRESSES.isdisjoint(
            match[1].lower() for match in _WORD.finditer(text[:LOOKED_AT])
        ),
    )


def _asking(text: str, speakers: Collection[str]) -> tuple[str, ...]:
    """The possible names of the user, if the question says "I"."""
    if not any(match[1].lower() in _FIRST_PERSON for match in _WORD.finditer(text)):
        return ()
    named = [speaker for speaker in speakers if speaker not in _NAMELESS]
    # With several speakers it is unknown which of them asks.
    return (ASKING, *(named if len(named) == 1 else ()))


def _phrases(text: str) -> list[str]:
    """Runs of words that neither begin nor end with a function word, the longest first."""
    words = list(_NAME_WORD.finditer(text))
    carries = [not _is_function_word(text, match) for match in words]
    found: dict[str, None] = {}
    for length in range(PHRASE_WORDS, 0, -1):
        for first in range(len(words) - length + 1):
            last = first + length - 1
            if carries[first] and carries[last]:
                start = words[first].start()
                # With the ending and without: "Ann's sister" names Ann, "at St. Mary's" St. Mary's.
                found[text[start : words[last].end()]] = None
                found[text[start : words[last].end(1)]] = None
    for match in words:
        if match[1][-1] >= FIRST_UNSPACED_SCRIPT:
            found.update(dict.fromkeys(_parts(match[1])))
    return list(found)


def _parts(word: str) -> Iterator[str]:
    """Possible names in a run of characters without spaces, the longest first."""
    for length in range(PHRASE_WORDS, 0, -1):
        for first in range(len(word) - length + 1):
            yield word[first : first + length]


def _take_dates(text: str) -> tuple[tuple[Interval, ...], str]:
    """The dates in ``text``, and the text with each of them replaced by as many blanks."""
    spans: list[Interval] = []

    def take(match: re.Match[str]) -> str:
        found = list(_readings(match.groupdict()))
        spans.extend(span for span in found if span not in spans)
        return " " * len(match[0]) if found else match[0]

    for form in _DATE_FORMS:
        text = form.sub(take, text)
    return tuple(spans), text


def _readings(parts: dict[str, str | None]) -> Iterator[Interval]:
    """The days, months or years that a date may mean: 05/08/2023 is a day in May or in August."""
    year, month = int(parts["year"] or 0), parts.get("month")
    if month is None:
        yield _span(year)
        return
    number = _MONTH_NUMBERS.get(month.lower()) or int(month)
    written_day = parts.get("day")
    day = int(written_day) if written_day else None
    readings = [(number, day)]
    if parts.get("either_way") and day is not None and day != number:
        readings.append((day, number))
    for reading in readings:
        try:
            yield _span(year, *reading)
        except ValueError:
            continue


def _span(year: int, month: int | None = None, day: int | None = None) -> Interval:
    if month is None:
        start, end = datetime(year, 1, 1, tzinfo=UTC), datetime(year + 1, 1, 1, tzinfo=UTC)
    elif day is None:
        start = datetime(year, month, 1, tzinfo=UTC)
        end = datetime(year + month // 12, month % 12 + 1, 1, tzinfo=UTC)
    else:
        start = datetime(year, month, day, tzinfo=UTC)
        end = start + timedelta(days=1)
    return Interval(start=start, end=end)


def _find_names(
    text: str, speakers: Collection[str]
) -> tuple[tuple[str, ...], list[tuple[int, int]]]:
    """The speakers that ``text`` names, and the positions of the names."""
    words: dict[str, list[tuple[int, int]]] = {}
    for match in _WORD.finditer(text):
        if not _is_function_word(text, match):
            words.setdefault(_unaccented(match[1]), []).append(match.span())
    names: list[str] = []
    places: list[tuple[int, int]] = []
    for speaker in speakers:
        if speaker in _NAMELESS:
            continue
        found = [place for part in _unaccented(speaker).split() for place in words.get(part, ())]
        name = unicodedata.normalize("NFC", speaker)
        if name[:1] >= FIRST_UNSPACED_SCRIPT and len(name) > 1:
            found += [match.span() for match in re.finditer(re.escape(name), text)]
        if found:
            names.append(speaker)
            places += found
    return tuple(names), places


def _is_function_word(text: str, match: re.Match[str]) -> bool:
    """Whether a word is a function word. A capital inside a sentence makes a name: May, Will."""
    word = match[1]
    if word.lower() not in FUNCTION_WORDS:
        return False
    begins_sentence = text[: match.start()].rstrip()[-1:] in ("", ".", "!", "?")
    return word.islower() or len(word) == 1 or begins_sentence


def _unaccented(name: str) -> str:
    return _ACCENTS.sub("", unicodedata.normalize("NFKD", normalised(name)))


def _without(text: str, places: list[tuple[int, int]]) -> str:
    """``text`` without those places, with single spaces."""
    kept: list[str] = []
    position = 0
    for start, end in sorted(places):
        kept.append(text[position:start])
        position = max(position, end)
    return " ".join(" ".join((*kept, text[position:])).split())


def _has_content(text: str) -> bool:
    return any(character.isalnum() for character in text)
