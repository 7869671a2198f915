"""Find and resolve the first English date expression of a sentence.

Some months and weekdays are words or names, too ("may", "march", "Jan", "sat"): they need a capital
letter, a preposition, an ordinal or a year. "For three years" is a date only after a verb that says
that something has lasted ("has lived", not "has booked"). When unsure, there is no date.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date, timedelta
from fractions import Fraction
from functools import cache, partial

from remembrancer.application.extraction.rules.calendar_words import WEEKDAY
from remembrancer.application.extraction.rules.counts import COUNT, value_of
from remembrancer.application.extraction.rules.date_spans import (
    Dated,
    Unit,
    away,
    next_but,
    span_of,
    standing_since,
    weekday_near,
)
from remembrancer.application.extraction.rules.tense import Tense, tense_of
from remembrancer.application.extraction.rules.titles import is_title

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_MONTH = (
    r"(?:jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|"
    r"sept?(?:ember)?|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?)"
)
_NAMES = frozenset("jan april may june august".split())
_WORDS = frozenset("may march mar mon wed sat sun".split())
_WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_SHORT_WEEKDAY = r"(?:mon|tues?|wed|thurs?|fri|sat|sun)"
_YEAR = r"(?:19|20)\d\d"
_DAY = r"(?P<{0}day>\d{{1,2}})(?P<{0}nth>st|nd|rd|th)?"
_UNIT = r"(?:days?|weeks?|months?|years?|decades?|fortnights?)"
_COUNTED = rf"{COUNT}\ {_UNIT}"
# "In 2000 words", "in 1995 tries": the number counts something.
_NO_NOUN = (
    r"(?![-/:.,]?\d)(?!\ (?:people|dollars|euros|pounds|percent|different)\b)"
    r"(?!\ (?!(?:was|is|has|as|this|his|its|does|us|always|sometimes|besides|across)\b)"
    r"[a-z]{2,}s\b)"
)

# The verb of a state that lasts. "Been given" and "been to Rome" happened.
_LASTED = (
    r"(?:been(?!\ (?:to|for|given|told|sent|promised|offered|granted|hired|booked|paid|asked|"
    r"invited|sentenced|signed|chosen|selected|shown|sold|lent|taken|put)\b)|had(?!\ to\b)|lived|"
    r"worked|known|owned|studied|played|loved|liked|hated|wanted|used|dated|smoked|stayed|run|"
    r"taught|kept|suffered|struggled|practi[sc]ed|trained|felt|slept|believed|wondered|waited|"
    r"belonged|served|rented|shared|driven|ridden|danced|painted|written|collected|enjoyed|"
    r"preferred|needed|trusted|supported|followed|volunteered|lasted|existed|looked|tried|dreamed|"
    r"dreamt|avoided)\b"
)
_NO_GUESS = "".join(
    rf"(?<!{word}\ )"
    for word in ("will", "'ll", "would", "could", "should", "might", "must", "may")
)
_SPAN = (
    rf"{_NO_GUESS}(?:(?:have|has|'ve|'s)(?:(?:n't|\ not|\ never)(?:\ [\w'-]+){{1,6}}?"
    rf"|\ (?:(?:\w+ly|also|always|now|just)\ )?{_LASTED}(?:\ [\w'-]+){{0,6}}?)"
    # "Been living here for a year", without a subject.
    rf"|(?<![\w']\ )been\ \w+ing\b(?:\ [\w'-]+){{0,6}}?)"
    rf"\ for\ (?:(?:the\ )?(?:last|past)\ )?(?P<lasting>{_COUNTED}(?:\ and\ a\ half)?)(?:\ now)?\b"
)

_PATTERN = rf"""(?:(?<![\w-])(?<!\d[.,/–])|(?='))(?:
      (?P<iso>{_YEAR}-\d\d-\d\d)(?!\d)
    | (?P<daymonth>(?:the\ )?{_DAY.format("a")}\ (?P<of>of\ )?(?P<amonth>{_MONTH})\.?
          (?:,?\ (?P<ayear>{_YEAR}))?)(?![\w'%])
    | (?P<monthday>(?P<bmonth>{_MONTH})\.?\ {_DAY.format("b")}(?:,?\ (?P<byear>{_YEAR}))?)
          (?![\w'%]|[-.,:/]\d)
    | (?P<monthyear>(?P<cmonth>{_MONTH})\.?,?\ (?:of\ )?(?P<cyear>{_YEAR}))\b
    | (?P<near>(?P<which>last|next|this(?:\ (?:past|coming))?)\ (?P<nearmonth>{_MONTH}))\b
    | (?:in|during|since|back\ in)\ (?:early\ |late\ |mid-?\ ?)?(?P<bare>{_MONTH})\b
          (?!\.?,?\ (?:of\ )?\d)
    | (?<!set\ )(?:in|since|during|back\ in|summer\ of|(?:in\ )?(?:early|late|mid))
          \ (?P<year>{_YEAR})\b{_NO_NOUN}
    | (?P<ago>(?P<passed>{_COUNTED})(?P<more>\ and\ a\ half|(?:,|,?\ and)\ {_COUNTED})?
          (?:\ or\ so)?\ ago)\b
    | {_SPAN}
    | in\ (?P<ahead>{_COUNTED}(?:\ and\ a\ half)?)\b
    | (?P<weekend>(?:last|next|this(?:\ (?:past|coming))?)\ weekend)\b
    | (?P<period>(?:last|next|this(?:\ (?:past|coming))?)
          \ (?:week|month|year|{WEEKDAY}|{_SHORT_WEEKDAY}))\b
    | this\ (?P<today>morning|afternoon|evening)\b
    | (?P<adverb>(?:the\ )?day\ before\ yesterday|(?:the\ )?day\ after\ tomorrow
          | last\ night|yesterday|today|tonight|tomorrow)\b
    | (?:on|since)\ (?P<weekday>{WEEKDAY})\b
    )"""
# Every expression has a digit or one of these words; most sentences have none.
_HINT = re.compile(
    r"\d|day|night|tomorrow|week|month|year|decade|morning|afternoon|evening|"
    r"\b(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec|mon|tue|wed|thu|fri|sat|sun)",
    re.IGNORECASE,
)
_REPEATED = re.compile(r"\b(?:every|each|any)\s*$", re.IGNORECASE)
_SINCE = re.compile(r"\bsince\b", re.IGNORECASE)
_ADVERBS = {
    "before": -2, "yesterday": -1, "night": -1, "today": 0, "tonight": 0, "tomorrow": 1, "after": 2,
}  # fmt: skip

# Before a month and a number alone ("on May 7", "moved to May 5").
_ANCHOR = re.compile(
    r"(?:^|[(,:;\u2013\u2014-]|\b(?:on|by|since|until|till?|from|before|after|of|for|around|about|"
    r"to|is|was|are|were|be|between|past|[a-z]+day))\s*$",
    re.IGNORECASE,
)
_AFTER = re.compile(
    r"\W*$|\s*[,.;:!?)]|\s+(?:at|in|and|or|with|for|we|I|but|because|so|then|to|from|when|while|was|"
    r"is|will)\b"
)
_MEASURED = re.compile(
    r"\s*(?:st|nd|rd|th|years?|months?|weeks?|days?|hours?|hrs?|h|minutes?|mins?|seconds?|times?|"
    r"decades?|am|pm|km|kg|g|m|cm|mm|miles?|lbs?|pounds?|euros?|dollars?|people|percent|fortnights?)"
    r"\b",
    re.IGNORECASE,
)
_FULL_STOP = re.compile(r"\W*(?:$|[,.;!?)])")
_SURNAME = re.compile(r"\ (?!I\b)[A-Z][a-z]")


def english(text: str, today: date) -> Dated | None:
    """The days of the first English date expression in ``text``, ``None`` if there is none.

    Raises:
        ValueError, OverflowError: there is no such day.
    """
    match = _pattern().search(text) if _HINT.search(text) else None
    while match is not None:
        if _REPEATED.search(text, max(0, match.start() - 12), match.start()) is None and _is_date(
            match, text
        ):
            return _resolved(match, text, today)
        # The number of "I met Jan 2 years ago" belongs to what comes after it.
        within = _kind(match) in ("daymonth", "monthday")
        match = _pattern().search(text, match.start() + 1 if within else match.end())
    return None


@cache
def _pattern() -> re.Pattern[str]:
    # Compiled on first use, to keep the import fast.
    return re.compile(_PATTERN, re.IGNORECASE | re.VERBOSE)


def _kind(match: re.Match[str]) -> str:
    return next(kind for kind in _RESOLVERS if match[kind] is not None)


def _is_date(match: re.Match[str], text: str) -> bool:
    """Whether the words of an expression are not used in another sense."""
    kind = _kind(match)
    before, after = text[: match.start()], text[match.end() :]
    match kind:
        case "daymonth":
            sure = match["of"] or match["ayear"] or _ANCHOR.search(before)
            return bool(sure) or not _is_word(match["amonth"])
        case "monthday":
            return _is_month_and_day(match, before, after)
        case "near":
            return not _is_word(match["nearmonth"])
        case "bare":
            month = match["bare"]
            if _is_word(month):
                return _FULL_STOP.match(after) is not None
            return month.lower() not in _NAMES or _SURNAME.match(after) is None
        case "period":
            what = match["period"].split()[-1]
            return not (_is_word(what) or is_title(text, match.span(kind)))
        case "today" | "adverb" | "weekend":
            start, end = match.span(kind) if kind != "today" else match.span()
            return not is_title(text, (start, end))
        case _:
            return True


def _is_word(name: str) -> bool:
    """Whether a month or weekday is written as the word of the same spelling is."""
    return name.lower() in _WORDS and name[0].islower()


def _is_month_and_day(match: re.Match[str], before: str, after: str) -> bool:
    if match["byear"] or match["bnth"]:
        return True
    if _MEASURED.match(after):
        return False
    if _ANCHOR.search(before):
        return True
    month = match["bmonth"]
    return month.lower() not in _NAMES | _WORDS and _AFTER.match(after) is not None


def _resolved(match: re.Match[str], text: str, today: date) -> Dated | None:
    kind = _kind(match)
    standing = kind == "lasting" or _SINCE.search(match.group()) is not None
    if not standing:
        standing = _SINCE.search(text, max(0, match.start() - 6), match.start()) is not None
    tense = Tense.PAST if standing else tense_of(text)
    found = _RESOLVERS[kind](match, tense, today)
    return standing_since(found, today) if found is not None and standing else found


def _iso(match: re.Match[str], tense: Tense | None, today: date) -> Dated:
    return span_of(date.fromisoformat(match["iso"]), Unit.DAY)


def _day_of_month(
    part: str, match: re.Match[str], tense: Tense | None, today: date
) -> Dated | None:
    month, day = _number_of(match[f"{part}month"]), int(match[f"{part}day"])
    if match[f"{part}year"]:
        return span_of(date(int(match[f"{part}year"]), month, day), Unit.DAY)
    if tense is None:
        return None
    this_year = date(today.year, month, day)
    if tense is Tense.PAST and this_year > today:
        return span_of(date(today.year - 1, month, day), Unit.DAY)
    if tense is Tense.FUTURE and this_year < today:
        return span_of(date(today.year + 1, month, day), Unit.DAY)
    return span_of(this_year, Unit.DAY)


def _month_of_year(match: re.Match[str], tense: Tense | None, today: date) -> Dated:
    return span_of(date(int(match["cyear"]), _number_of(match["cmonth"]), 1), Unit.MONTH)


def _near_month(match: re.Match[str], tense: Tense | None, today: date) -> Dated | None:
    which, month = match["which"].lower(), _number_of(match["nearmonth"])
    year = today.year
    if which in ("last", "this past"):
        year -= month >= today.month
    elif which in ("next", "this coming"):
        year += month <= today.month
    elif tense is Tense.FUTURE:
        year += month < today.month
    elif tense is Tense.PAST and month > today.month:
        return None
    return span_of(date(year, month, 1), Unit.MONTH)


def _bare_month(match: re.Match[str], tense: Tense | None, today: date) -> Dated | None:
    if tense is None:
        return None
    month, year = _number_of(match["bare"]), today.year
    if tense is Tense.PAST:
        year -= month > today.month
    else:
        year += month < today.month
    return span_of(date(year, month, 1), Unit.MONTH)


def _year(match: re.Match[str], tense: Tense | None, today: date) -> Dated:
    return span_of(date(int(match["year"]), 1, 1), Unit.YEAR)


def _ago(match: re.Match[str], tense: Tense | None, today: date) -> Dated | None:
    more = (match["more"] or "").lower()
    if not more or more == " and a half":
        return _counted(match["passed"] + more, -1, today)
    second = re.sub(r"^,? ?(?:and )?", "", more)
    # "A year and two months ago" is a month; of other units it is unclear which one is meant.
    months = [_months(part) for part in (match["passed"], second)]
    if months[0] is None or months[1] is None:
        return None
    return next_but(-(months[0] + months[1]), Unit.MONTH, today)


def _months(counted: str) -> int | None:
    count, unit = _count_and_unit(counted)
    if count is None or unit not in (Unit.MONTH, Unit.YEAR):
        return None
    months = count * (12 if unit is Unit.YEAR else 1)
    return int(months) if months.denominator == 1 else None


def _lasting(match: re.Match[str], tense: Tense | None, today: date) -> Dated | None:
    return _counted(match["lasting"], -1, today)


def _ahead(match: re.Match[str], tense: Tense | None, today: date) -> Dated | None:
    return _counted(match["ahead"], 1, today) if tense is Tense.FUTURE else None


def _counted(counted: str, sign: int, today: date) -> Dated | None:
    count, unit = _count_and_unit(counted)
    return None if count is None else away(sign * count, unit, today)


def _count_and_unit(counted: str) -> tuple[Fraction | None, Unit]:
    """The count and the unit of "two years", "a year and a half", "three decades"."""
    words = counted.lower()
    bare = words.removesuffix(" and a half")
    number, _, unit = bare.rpartition(" ")
    count = value_of(number)
    if count is not None and bare != words:
        count += Fraction(1, 2)
    name = unit.rstrip("s")
    times, of = {"decade": (10, Unit.YEAR), "fortnight": (2, Unit.WEEK)}.get(name) or (
        1,
        Unit(name),
    )
    return None if count is None else count * times, of


def _weekend(match: re.Match[str], tense: Tense | None, today: date) -> Dated:
    which = match["weekend"].lower().removesuffix(" weekend")
    saturday = today + timedelta(days=5 - today.weekday())
    if which in ("last", "this past") or (tense is Tense.PAST and saturday > today):
        saturday -= timedelta(weeks=1)
    elif which == "next":
        saturday += timedelta(weeks=1)
    return Dated(start=saturday, until=saturday + timedelta(days=2))


def _period(match: re.Match[str], tense: Tense | None, today: date) -> Dated | None:
    """A week, month, year or weekday after "last", "this" or "next"."""
    which, _, what = match["period"].lower().rpartition(" ")
    step = {"last": -1, "this past": -1, "this": 0, "next": 1, "this coming": 1}[which]
    if what in ("week", "month", "year"):
        return next_but(step, Unit(what), today)
    ahead = step > 0 or (step == 0 and tense is Tense.FUTURE)
    if step == 0 and tense is None:
        return None
    return weekday_near(_WEEKDAYS.index(what[:3]), today, ahead=ahead)


def _weekday(match: re.Match[str], tense: Tense | None, today: date) -> Dated | None:
    if tense is None:
        return None
    place = _WEEKDAYS.index(match["weekday"][:3].lower())
    return weekday_near(place, today, ahead=tense is Tense.FUTURE)


def _day_near(match: re.Match[str], tense: Tense | None, today: date) -> Dated:
    words = (match["adverb"] or "today").lower().split()
    return next_but(next(_ADVERBS[word] for word in words if word in _ADVERBS), Unit.DAY, today)


def _number_of(month: str) -> int:
    return _MONTHS.index(month[:3].lower()) + 1


_RESOLVERS: dict[str, Callable[[re.Match[str], Tense | None, date], Dated | None]] = {
    "iso": _iso,
    "daymonth": partial(_day_of_month, "a"),
    "monthday": partial(_day_of_month, "b"),
    "monthyear": _month_of_year,
    "near": _near_month,
    "bare": _bare_month,
    "year": _year,
    "ago": _ago,
    "lasting": _lasting,
    "ahead": _ahead,
    "weekend": _weekend,
    "period": _period,
    "today": _day_near,
    "adverb": _day_near,
    "weekday": _weekday,
}
"""What resolves an expression, by the group that matched."""
