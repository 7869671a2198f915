"""Resolve the date expression in a sentence, relative to the day on which it was said.

A regular expression finds the first date expression, dateparser computes the day. dateparser is
imported only if there is an expression. English is covered best; some simple expressions in
German, French, Spanish, Italian, Portuguese, Russian, Chinese and Japanese are recognised too.

Not resolved on purpose: seasons (they depend on the hemisphere), vague words ("a few days ago",
"recently"), dates such as 05/07/2023, and months, weekdays and days of a month alone in a sentence
of unclear tense. Times of day are ignored: the unit is a day.
"""

from __future__ import annotations

import re
from datetime import date, datetime, time, timedelta
from functools import cache, lru_cache
from importlib import import_module
from typing import Any

from attrs import frozen

from remembrancer.application.extraction.rules.contractions import straight
from remembrancer.application.extraction.rules.tense import Tense, tense_of

LOOKED_AT = 500
"""Characters at the start of a sentence that are searched for a date expression."""

EARLIEST, LATEST = date(1900, 1, 1), date(2200, 1, 1)
"""Dates outside of this range are ignored as misread."""


@frozen(kw_only=True)
class Dated:
    """The days of a date expression: from ``start`` until before ``until``.

    ``standing``: true from ``start`` up to the day on which it was said ("since 2019").
    """

    start: date
    until: date
    standing: bool = False


_MONTHS: tuple[str, ...] = (
    "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec",
)  # fmt: skip
_MONTH = (
    r"(?:jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|"
    r"sept?(?:ember)?|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?)"
)
_WEEKDAY = r"(?:mon|tues|wednes|thurs|fri|satur|sun)day"
_SHORT_WEEKDAY = r"(?:mon|tues?|wed|thurs?|fri|sat|sun)"
_YEAR = r"(?:19|20)\d\d"
_DAY = r"\d{1,2}(?:st|nd|rd|th)?"
_COUNT = (
    r"(?:\d{1,3}|an?|one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|"
    r"(?:a\ )?couple(?:\ of)?|half\ an?)"
)
_UNIT = r"(?:days?|weeks?|months?|years?|decades?|fortnights?)"
_NO_NOUN = r"(?!\s+(?:words|people|dollars|euros|pounds|miles|pieces|steps|calories)|[-/:.,]?\d)"

_ENGLISH = rf"""(?:(?<![\w-])|(?='))(?:
      (?P<iso>{_YEAR}-\d\d-\d\d)(?!\d)
    | (?P<day>(?:the\ )?{_DAY}\ (?:of\ )?{_MONTH}\.?(?:,?\ {_YEAR})?
          | {_MONTH}\.?\ {_DAY}(?:,?\ {_YEAR})?)(?![\w'%])
    | (?P<month>{_MONTH}\.?,?\ (?:of\ )?{_YEAR})\b
    | (?P<which>last|next|this(?:\ (?:past|coming))?)\ (?P<near>{_MONTH})\b
    | (?:in|during|by|since|back\ in)\ (?:early\ |late\ |mid-?\ ?)?(?P<bare>{_MONTH})\b
          (?!\.?,?\ (?:of\ )?\d)
    | (?:in|since|during|back\ in|summer\ of|(?:in\ )?(?:early|late|mid))\ (?P<year>{_YEAR})\b
          {_NO_NOUN}
    | (?P<ago>{_COUNT}\ {_UNIT}(?:\ or\ so)?\ ago)\b
    | (?:have|has|been|'ve|'s)\ (?:[^\W\d_]+\ ){{0,6}}?for\ (?:(?:about|over|almost|nearly)\ )?
          (?:(?:the\ )?(?:last|past)\ )?(?P<span>{_COUNT}\ {_UNIT})(?:\ now)?\b
    | (?P<ahead>in\ (?:about\ )?{_COUNT}\ {_UNIT})\b
    | (?P<when>last|next|this(?:\ (?:past|coming))?)\ (?P<weekend>weekend)\b
    | (?P<period>(?:last|next|this)\ (?:week|month|year|{_WEEKDAY}|{_SHORT_WEEKDAY}))\b
    | this\ past\ (?P<past>{_WEEKDAY}|week|month|year)\b
    | this\ (?P<today>morning|afternoon|evening)\b
    | (?P<adverb>(?:the\ )?day\ before\ yesterday|(?:the\ )?day\ after\ tomorrow
          | last\ night|yesterday|today|tonight|tomorrow)\b
    | (?:on|since|this\ coming)\ (?P<weekday>{_WEEKDAY})\b
    )"""
_REPEATED = re.compile(r"\b(?:every|each|any)\s*$", re.IGNORECASE)
_SINCE = re.compile(r"\bsince\b", re.IGNORECASE)

_COUNT_DE = r"(?:\d{1,3}|eine[mnr]|zwei|drei|vier|fünf|sechs|sieben|acht|neun|zehn)"
_SCRIPTED = re.compile("[\u3040-\u30ff\u3400-\u9fff\u0400-\u04ff]")
_KANA = re.compile("[\u3040-\u30ff]")
_OTHERS: tuple[tuple[str, re.Pattern[str]], ...] = (
    ("de", re.compile(
        rf"\b(vorgestern|gestern|übermorgen|(?:letzte|nächste)[nrs]? (?:Woche|Monat|Jahr)|"
        rf"vor {_COUNT_DE} (?:Tag(?:en)?|Wochen?|Monat(?:en)?|Jahr(?:en)?)|"
        rf"(?<=seit ){_YEAR}|(?<=im Jahr ){_YEAR}|\d{{1,2}}\. (?:Januar|Februar|März|April|Mai|"
        rf"Juni|Juli|August|September|Oktober|November|Dezember) {_YEAR})\b", re.IGNORECASE)),
    ("fr", re.compile(
        rf"\b(avant-hier|hier (?=soir|matin)|(?:la semaine|le mois) derni[eè]re?|l'an(?:née)? "
        rf"derni[eè]re?|il y a \d{{1,3}} (?:jours?|semaines?|mois|ans?)|(?<=depuis ){_YEAR}|"
        rf"la semaine prochaine|demain)\b", re.IGNORECASE)),
    ("es", re.compile(
        rf"\b(anteayer|ayer|la semana pasada|el mes pasado|el año pasado|"
        rf"hace \d{{1,3}} (?:días?|semanas?|mes(?:es)?|años?)|(?<=desde ){_YEAR}|"
        rf"la próxima semana)\b", re.IGNORECASE)),
    ("it", re.compile(
        rf"\b(ieri|settimana scorsa|(?<=dal ){_YEAR}|domani)\b", re.IGNORECASE)),
    ("pt", re.compile(
        r"\b(ontem|amanhã|semana passada|mês passado|ano passado|"
        r"há \d{1,3} (?:dias?|semanas?|mes(?:es)?|anos?))\b", re.IGNORECASE)),
)  # fmt: skip
_NOT_ENGLISH = re.compile(
    r"gestern|übermorgen|letzte|nächste|\bvor\b|seit|\bim Jahr\b|\d\. |hier|derni|il y a|depuis|"
    r"prochaine|demain|ayer|pasad|hace|desde|próxima|ieri|scorsa|\bdal\b|domani|ontem|amanhã|\bhá\b",
    re.IGNORECASE,
)  # fmt: skip
_RUSSIAN = re.compile(
    rf"\b(позавчера|вчера|завтра|на прошлой неделе|в прошлом году|в прошлом месяце|"
    rf"(?<=с ){_YEAR}(?= года))\b",
    re.IGNORECASE,
)
_HAN = re.compile(
    rf"({_YEAR}年\d{{1,2}}月(?:\d{{1,2}}日)?|一昨日|昨日|昨天|明天|明日|昨年|去年|(?<!文)明年|来年|"
    rf"先週|先月|来週|来月|(?<![晚早])上周(?!末)|上个月|(?<![晚早])下周(?!末)|下个月|"
    rf"\d{{1,3}}(?:天|日|周|週間|个月|か月|ヶ月|年)前)"
)
_COUNTED = re.compile(r" ago$|^in |^vor |^il y a |^hace |^há |前$")
_STANDING_WORD = re.compile(r"(?:seit|depuis|desde|dal|с)\s*$", re.IGNORECASE)


def resolve(sentence: str, said_at: datetime) -> Dated | None:
    """The days of the date expression in ``sentence``, ``None`` if there is none.

    Args:
        sentence: as it was said.
        said_at: when it was said (aware); relative dates count from its calendar day, in its own
            time zone.
    """
    try:
        found = _found(straight(sentence[:LOOKED_AT]), said_at.date())
    except (OverflowError, ValueError):
        # The day is beyond the range of ``date``.
        return None
    return found if found is not None and EARLIEST <= found.start <= LATEST else None


def _found(text: str, today: date) -> Dated | None:
    for match in _english_pattern().finditer(text):
        if not _REPEATED.search(text, max(0, match.start() - 12), match.start()):
            return _english(match, text, today)
    if _SCRIPTED.search(text):
        return _scripted(text, today)
    if _NOT_ENGLISH.search(text):
        return _european(text, today)
    return None


@cache
def _english_pattern() -> re.Pattern[str]:
    # Compiled on first use, to keep the import fast.
    return re.compile(_ENGLISH, re.IGNORECASE | re.VERBOSE)


def _english(match: re.Match[str], text: str, today: date) -> Dated | None:
    kind = match.lastgroup
    words = match[kind].lower() if kind else ""
    standing = kind == "span" or _SINCE.search(match.group()) is not None
    if not standing:
        standing = _SINCE.search(text, max(0, match.start() - 6), match.start()) is not None
    tense = Tense.PAST if standing else tense_of(text)
    match kind:
        case "weekend":
            return _weekend(match["when"].lower(), tense, today)
        case "near":
            return _near_month(match["which"].lower(), words, today)
        case "bare":
            found = _bare_month(words, tense, today)
        case "ahead" if tense is not Tense.FUTURE:
            return None
        case "day" if re.search(_YEAR, words) is None:
            found = _parsed("en", words, today, tense) if tense else None
        case "weekday":
            found = _parsed("en", words, today, tense) if tense else None
        case "past":
            found = _period("last", words, tense, today)
        case "period":
            which, what = words.split()
            found = _period(which, what, tense, today)
        case "today":
            found = _span(today, "day")
        case "span":
            found = _parsed("en", f"{_plain(words)} ago", today, Tense.PAST)
        case _:
            found = _parsed("en", _plain(words), today, tense)
    if found is None or not standing:
        return found
    return Dated(start=found.start, until=today + timedelta(days=1), standing=True)


def _period(which: str, what: str, tense: Tense | None, today: date) -> Dated | None:
    """A week, month, year or weekday after "last", "this" or "next"."""
    if what in ("week", "month", "year"):
        return _parsed("en", f"{which} {what}", today, tense)
    direction = {"last": Tense.PAST, "next": Tense.FUTURE}.get(which, tense)
    return _parsed("en", what, today, direction) if direction else None


def _plain(words: str) -> str:
    """The expression in words that dateparser supports."""
    words = re.sub(r"\bhalf an? year\b", "6 months", words).replace(" or so", "")
    words = re.sub(r"\b(?:a )?couple(?: of)?\b", "2", words)
    return words.replace("in about ", "in ").replace("last night", "yesterday")


def _weekend(which: str, tense: Tense | None, today: date) -> Dated:
    saturday = today + timedelta(days=5 - today.weekday())
    if which in ("last", "this past") or (tense is Tense.PAST and saturday > today):
        saturday -= timedelta(weeks=1)
    elif which == "next":
        saturday += timedelta(weeks=1)
    return Dated(start=saturday, until=saturday + timedelta(days=2))


def _near_month(which: str, name: str, today: date) -> Dated:
    month = _MONTHS.index(name[:3]) + 1
    year = today.year
    if which in ("last", "this past") and month >= today.month:
        year -= 1
    elif which in ("next", "this coming") and month <= today.month:
        year += 1
    return _span(date(year, month, 1), "month")


def _bare_month(name: str, tense: Tense | None, today: date) -> Dated | None:
    month = _MONTHS.index(name[:3]) + 1
    if tense is None:
        return None
    year = today.year
    if tense is Tense.PAST and month > today.month:
        year -= 1
    elif tense is Tense.FUTURE and month < today.month:
        year += 1
    return _span(date(year, month, 1), "month")


def _scripted(text: str, today: date) -> Dated | None:
    russian = _RUSSIAN.search(text)
    if russian is not None:
        return _foreign("ru", russian, text, today)
    han = _HAN.search(text)
    if han is not None:
        return _foreign("ja" if _KANA.search(text) else "zh", han, text, today)
    return None


def _european(text: str, today: date) -> Dated | None:
    for language, pattern in _OTHERS:
        match = pattern.search(text)
        if match is not None:
            return _foreign(language, match, text, today)
    return None


def _foreign(language: str, match: re.Match[str], text: str, today: date) -> Dated | None:
    found = _parsed(language, match[1].lower().strip(), today, None)
    if found is None or not _STANDING_WORD.search(text, 0, match.start()):
        return found
    return Dated(start=found.start, until=today + timedelta(days=1), standing=True)


@lru_cache(maxsize=4096)
def _parsed(language: str, words: str, today: date, tense: Tense | None) -> Dated | None:
    """The whole period of an expression, computed by dateparser."""
    data = _parser(language, today, tense).get_date_data(words)
    if data.date_obj is None:
        return None
    day: date = data.date_obj.date()
    # "last week" is a calendar week, "a week ago" begins seven days before.
    if data.period == "week" and _COUNTED.search(words):
        return Dated(start=day, until=day + timedelta(days=7))
    return _span(day, data.period)


def _parser(language: str, today: date, tense: Tense | None) -> Any:
    # The import takes 60 ms; without date expressions it never happens.
    return import_module("dateparser.date").DateDataParser(
        languages=[language],
        settings={
            "RELATIVE_BASE": datetime.combine(today, time(12)),
            # Explicit, because the default is the zone of the machine.
            "TIMEZONE": "UTC",
            "PREFER_DATES_FROM": (tense or Tense.PAST).value,
            "PREFER_DAY_OF_MONTH": "first",
            "PREFER_MONTH_OF_YEAR": "first",
        },
    )


def _span(day: date, period: str) -> Dated:
    match period:
        case "week":
            start = day - timedelta(days=day.weekday())
            return Dated(start=start, until=start + timedelta(days=7))
        case "month":
            start = day.replace(day=1)
            return Dated(start=start, until=(start + timedelta(days=31)).replace(day=1))
        case "year":
            start = day.replace(month=1, day=1)
            return Dated(start=start, until=start.replace(year=start.year + 1))
        case _:
            return Dated(start=day, until=day + timedelta(days=1))
