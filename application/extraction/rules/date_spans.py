"""Calendar arithmetic: the days of a day, week, month or year, and those a count of them away.

The precision of a count is its unit: "two years ago" is a whole year, "18 months ago" a month, "two
weeks ago" seven days.
"""

from __future__ import annotations

from datetime import date, timedelta
from enum import StrEnum
from fractions import Fraction

from attrs import frozen


@frozen(kw_only=True)
class Dated:
    """The days of a date expression: from ``start`` until before ``until``.

    ``standing``: true from ``start`` up to the day on which it was said ("since 2019").
    """

    start: date
    until: date
    standing: bool = False


class Unit(StrEnum):
    """A unit of the calendar."""

    DAY = "day"
    WEEK = "week"
    MONTH = "month"
    YEAR = "year"


def span_of(day: date, unit: Unit) -> Dated:
    """The whole day, calendar week (from Monday), month or year that ``day`` is in."""
    match unit:
        case Unit.WEEK:
            start = day - timedelta(days=day.weekday())
            return Dated(start=start, until=start + timedelta(days=7))
        case Unit.MONTH:
            start = day.replace(day=1)
            return Dated(start=start, until=(start + timedelta(days=31)).replace(day=1))
        case Unit.YEAR:
            start = day.replace(month=1, day=1)
            return Dated(start=start, until=start.replace(year=start.year + 1))
        case Unit.DAY:
            return Dated(start=day, until=day + timedelta(days=1))


def next_but(count: int, unit: Unit, today: date) -> Dated:
    """The calendar unit ``count`` after the present one; -1 is the last one."""
    match unit:
        case Unit.DAY | Unit.WEEK:
            return span_of(today + timedelta(days=count * (7 if unit is Unit.WEEK else 1)), unit)
        case Unit.MONTH:
            return span_of(_month_away(count, today), unit)
        case Unit.YEAR:
            return span_of(date(today.year + count, 1, 1), unit)


def away(count: Fraction, unit: Unit, today: date) -> Dated | None:
    """The days that are ``count`` units after ``today``, before it if negative.

    ``None`` if ``count`` has a fraction that is no whole number of months.
    """
    if unit is Unit.YEAR and count.denominator > 1:
        return away(count * 12, Unit.MONTH, today)
    if count.denominator > 1:
        return None
    whole = int(count)
    if unit is Unit.WEEK:
        start = today + timedelta(weeks=whole)
        return Dated(start=start, until=start + timedelta(days=7))
    return next_but(whole, unit, today)


def weekday_near(weekday: int, today: date, *, ahead: bool) -> Dated:
    """The nearest such weekday (0 is Monday) before or after ``today``, never ``today``."""
    distance = (
        (weekday - today.weekday() - 1) % 7 + 1
        if ahead
        else -((today.weekday() - weekday - 1) % 7 + 1)
    )
    return span_of(today + timedelta(days=distance), Unit.DAY)


def standing_since(found: Dated, today: date) -> Dated:
    """What began on the first of the days and has lasted until ``today``."""
    return Dated(start=found.start, until=today + timedelta(days=1), standing=True)


def _month_away(count: int, today: date) -> date:
    years, month = divmod(today.year * 12 + today.month - 1 + count, 12)
    return date(years, month + 1, 1)
