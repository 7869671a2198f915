"""Resolve the date expression in a sentence, relative to the day on which it was said.

English is covered best (``english_dates``), Chinese and Japanese next (``han_dates``); of German,
French, Spanish, Italian, Portuguese and Russian simple expressions, whose days dateparser computes.
It is imported only if there is one.

Not resolved on purpose: seasons (they depend on the hemisphere), vague words ("a few days ago",
"recently", "over ten years ago"), dates such as 05/07/2023, titles ("Yesterday"), and months,
weekdays and days of a month alone in a sentence of unclear tense. Times of day are ignored: the
unit is a day.
"""

from __future__ import annotations

import re
from datetime import date, datetime, time
from fractions import Fraction
from functools import lru_cache
from importlib import import_module
from typing import Any

from remembrancer.application.extraction.rules.contractions import straight
from remembrancer.application.extraction.rules.date_spans import (
    Dated,
    Unit,
    away,
    span_of,
    standing_since,
    weekday_near,
)
from remembrancer.application.extraction.rules.english_dates import english
from remembrancer.application.extraction.rules.han_dates import han
from remembrancer.application.extraction.rules.titles import is_title

__all__ = ["EARLIEST", "LATEST", "LOOKED_AT", "Dated", "resolve"]

LOOKED_AT = 500
"""Characters at the start of a sentence that are searched for a date expression."""

EARLIEST, LATEST = date(1900, 1, 1), date(2200, 1, 1)
"""Dates outside of this range are ignored as misread."""

_YEAR = r"(?:19|20)\d\d"
_COUNT_DE = r"(?:\d{1,3}|eine[mnr]|zwei|drei|vier|fünf|sechs|sieben|acht|neun|zehn)"
_MONTH_ES = (
    r"(?:enero|febrero|marzo|abril|mayo|junio|julio|agosto|septiembre|octubre|noviembre|diciembre)"
)
_MONTH_FR = (
    r"(?:janvier|février|mars|avril|mai|juin|juillet|août|septembre|octobre|novembre|décembre)"
)
_WHOLE = r"(?<![\d.,/-])"
_LANGUAGES: tuple[tuple[str, re.Pattern[str]], ...] = (
    ("de", re.compile(
        rf"\b(vorgestern|gestern|übermorgen|(?:letzte|nächste)[nrs]? (?:Woche|Monat|Jahr)|"
        rf"letzten (?P<weekday>(?:Mon|Diens|Donners|Frei|Sams|Sonn)tag|Mittwoch)|"
        rf"vor {_COUNT_DE} (?:Tag(?:en)?|Wochen?|Monat(?:en)?|Jahr(?:en)?)|"
        rf"(?<=seit ){_YEAR}|(?<=im Jahr ){_YEAR}|{_WHOLE}\d{{1,2}}\. (?:Januar|Februar|März|April|"
        rf"Mai|Juni|Juli|August|September|Oktober|November|Dezember) {_YEAR})\b", re.IGNORECASE)),
    ("fr", re.compile(
        rf"\b(avant-hier|hier (?=soir|matin)|(?:la semaine|le mois) derni[eè]re?|l'an(?:née)? "
        rf"derni[eè]re?|il y a \d{{1,3}} (?:jours?|semaines?|mois|ans?)|(?<=depuis ){_YEAR}|"
        rf"la semaine prochaine|demain|{_WHOLE}\d{{1,2}} {_MONTH_FR} {_YEAR})\b", re.IGNORECASE)),
    ("es", re.compile(
        rf"\b(anteayer|ayer|la semana pasada|el mes pasado|el año pasado|"
        rf"hace \d{{1,3}} (?:días?|semanas?|mes(?:es)?|años?)|(?<=desde ){_YEAR}|"
        rf"la próxima semana|{_WHOLE}\d{{1,2}} de {_MONTH_ES} de {_YEAR})\b", re.IGNORECASE)),
    ("it", re.compile(
        rf"\b(ieri|settimana scorsa|(?<=dal ){_YEAR}|domani)\b", re.IGNORECASE)),
    ("pt", re.compile(
        r"\b(ontem|amanhã|semana passada|mês passado|ano passado|"
        r"há \d{1,3} (?:dias?|semanas?|mes(?:es)?|anos?))\b", re.IGNORECASE)),
)  # fmt: skip
_LATIN = re.compile(
    r"gestern|übermorgen|letzte|nächste|\bvor\b|seit|\bim Jahr\b|\d\. |hier|derni|il y a|depuis|"
    r"prochaine|demain|ayer|pasad|hace|desde|próxima|ieri|scorsa|\bdal\b|domani|ontem|amanhã|"
    rf"\bhá\b|\d \w+ {_YEAR}|\bde {_YEAR}",
    re.IGNORECASE,
)
_CYRILLIC = re.compile("[\u0400-\u04ff]")
_RUSSIAN = re.compile(
    rf"\b(позавчера|вчера|завтра|на прошлой неделе|в прошлом году|в прошлом месяце|"
    rf"{_WHOLE}\d{{1,3}} (?:день|дня|дней|недел[юиь]|месяц(?:а|ев)?|год(?:а)?|лет) назад|"
    rf"(?<=с ){_YEAR}(?= года)|(?<=в ){_YEAR}(?= году))\b",
    re.IGNORECASE,
)
_HAN = re.compile("[\u3040-\u30ff\u3400-\u9fff]")
_WEEKDAYS_DE = ("montag", "dienstag", "mittwoch", "donnerstag", "freitag", "samstag", "sonntag")
_DAYS_LONG = re.compile(r"^vor |^il y a |^hace |^há | назад$")
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
        # There is no such day, or it is beyond the range of ``date``.
        return None
    return found if found is not None and EARLIEST <= found.start <= LATEST else None


def _found(text: str, today: date) -> Dated | None:
    found = english(text, today)
    if found is None and _HAN.search(text):
        return han(text, today)
    if found is None and _CYRILLIC.search(text):
        return _first("ru", _RUSSIAN, text, today)
    if found is None and _LATIN.search(text):
        each = (_first(language, pattern, text, today) for language, pattern in _LANGUAGES)
        return next(filter(None, each), None)
    return found


def _first(language: str, pattern: re.Pattern[str], text: str, today: date) -> Dated | None:
    for match in pattern.finditer(text):
        if not is_title(text, match.span(), capital_nouns=language == "de"):
            return _foreign(language, match, text, today)
    return None


def _foreign(language: str, match: re.Match[str], text: str, today: date) -> Dated | None:
    if match.groupdict().get("weekday"):
        return weekday_near(_WEEKDAYS_DE.index(match["weekday"].lower()), today, ahead=False)
    found = _parsed(language, match[1].lower().strip(), today)
    if found is None or not _STANDING_WORD.search(text, 0, match.start()):
        return found
    return standing_since(found, today)


@lru_cache(maxsize=4096)
def _parsed(language: str, words: str, today: date) -> Dated | None:
    """The whole period of an expression, computed by dateparser."""
    data = _parser(language, today).get_date_data(words)
    if data.date_obj is None:
        return None
    day: date = data.date_obj.date()
    # "letzte Woche" is a calendar week, "vor einer Woche" begins seven days before.
    if data.period == "week" and _DAYS_LONG.search(words):
        return away(Fraction((day - today).days, 7), Unit.WEEK, today)
    return span_of(day, Unit.DAY if data.period == "time" else Unit(data.period))


def _parser(language: str, today: date) -> Any:
    # The import takes 60 ms; without such an expression it never happens.
    return import_module("dateparser.date").DateDataParser(
        languages=[language],
        settings={
            "RELATIVE_BASE": datetime.combine(today, time(12)),
            # Explicit, because the default is the zone of the machine.
            "TIMEZONE": "UTC",
            "PREFER_DATES_FROM": "past",
            "PREFER_DAY_OF_MONTH": "first",
            "PREFER_MONTH_OF_YEAR": "first",
        },
    )
