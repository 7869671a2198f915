"""Find and resolve the first Chinese or Japanese date expression of a text.

Both are written without spaces, so that an expression can be a part of another word: "声明日期" has
no "明日" in it, "车上周先生" no "上周". What stands before and after an expression decides.
"""

from __future__ import annotations

import re
from datetime import date, timedelta
from fractions import Fraction
from functools import cache

from remembrancer.application.extraction.rules.date_spans import (
    Dated,
    Unit,
    away,
    next_but,
    span_of,
)
from remembrancer.application.extraction.rules.titles import is_title

_DIGITS = "一二三四五六七八九"
_NUMBER = r"(?:\d[\d,.]*|[一二两三四五六七八九十百千万半]+)"
_UNITS = {
    "天": Unit.DAY, "日": Unit.DAY, "周": Unit.WEEK, "週間": Unit.WEEK, "星期": Unit.WEEK,
    "个星期": Unit.WEEK, "个月": Unit.MONTH, "か月": Unit.MONTH, "ヶ月": Unit.MONTH,
    "カ月": Unit.MONTH, "ヵ月": Unit.MONTH, "ケ月": Unit.MONTH, "個月": Unit.MONTH,
    "年": Unit.YEAR,
}  # fmt: skip
_DAYS = {
    "大前天": -3, "前天": -2, "一昨日": -2, "昨天": -1, "昨日": -1, "明天": 1, "明日": 1,
    "后天": 2, "明後日": 2,
}  # fmt: skip
_PERIODS = {
    "上周": (-1, Unit.WEEK), "上星期": (-1, Unit.WEEK), "上个星期": (-1, Unit.WEEK),
    "先週": (-1, Unit.WEEK), "下周": (1, Unit.WEEK), "下星期": (1, Unit.WEEK),
    "下个星期": (1, Unit.WEEK), "来週": (1, Unit.WEEK), "上个月": (-1, Unit.MONTH),
    "先月": (-1, Unit.MONTH), "下个月": (1, Unit.MONTH), "来月": (1, Unit.MONTH),
    "前年": (-2, Unit.YEAR), "去年": (-1, Unit.YEAR), "昨年": (-1, Unit.YEAR),
    "明年": (1, Unit.YEAR), "来年": (1, Unit.YEAR),
}  # fmt: skip
_WEEKDAYS = {
    **{character: place for place, character in enumerate("一二三四五六日")},
    "天": 6,
    **{character: place for place, character in enumerate("月火水木金土日")},
}

_HAN = "\u3400-\u9fff"
# Words after which an expression can begin: pronouns, particles, prepositions.
_FREE = (
    rf"(?:(?<![{_HAN}])|(?<=[我你您他她它们咱在从自到于和与跟是将会要就才都也已了的妈爸哥姐弟妹友"
    r"私僕俺彼]))"
)
# "上周日本队赢了" is about Japan, "上周一直" no Monday.
_NO_WEEKDAY = "(?![个次人天名位本直些起样般共定部点年月手])"
_PATTERN = rf"""
    (?P<date>(?P<year>(?:19|20)\d\d)年(?P<month>\d{{1,2}})月(?:(?P<day>\d{{1,2}})日)?)
  | (?<![\d.,，．第几数好十{_DIGITS}])(?P<number>{_NUMBER})(?P<unit>{"|".join(_UNITS)})
        (?P<half>半)?前(?![半期面方台线線进進往夕任])
  | (?P<dayname>大前天|昨天|(?<![目以之从眼面跟提])前天(?![气空线])
        |(?<![声说證证])明天(?!集团|公司|科技|系|控股|传媒|出版|书店)|(?<![以之然最此])后天(?!性)
        |{_FREE}(?:一昨日|明後日|昨日|明日(?![香菜子美奈実那太也期])))
  | (?P<period>(?<![失过出回上下进来死除忘])去年|(?<![文声说證证表透聪黎光发発])明年|昨年|来年
        |{_FREE}(?:{"|".join(sorted(_PERIODS, key=len, reverse=True))}))
        (?![末轻轮輕代华紀纪度级家某]|先生|女士|阿姨|叔叔|老师)
        (?:の?(?P<ja>[月火水木金土日])曜|(?P<zh>[一二三四五六日天]){_NO_WEEKDAY})?
"""
# 「昨日の世界」という本: a title.
_CALLED = re.compile(r"[^、。，,]{0,12}(?:という|と呼ばれる|と言う|叫做)")


def han(text: str, today: date) -> Dated | None:
    """The days of the first expression in ``text``, ``None`` if there is none.

    Raises:
        ValueError, OverflowError: there is no such day.
    """
    for match in _pattern().finditer(text):
        if not is_title(text, match.span()) and not _CALLED.match(text, match.end()):
            return _resolved(match, today)
    return None


@cache
def _pattern() -> re.Pattern[str]:
    # Compiled on first use, to keep the import fast.
    return re.compile(_PATTERN, re.VERBOSE)


def _resolved(match: re.Match[str], today: date) -> Dated | None:
    if match["date"]:
        day = date(int(match["year"]), int(match["month"]), int(match["day"] or 1))
        return span_of(day, Unit.DAY if match["day"] else Unit.MONTH)
    if match["number"]:
        count = _value_of(match["number"])
        if count is not None and match["half"]:
            count += Fraction(1, 2)
        return None if count is None else away(-count, _UNITS[match["unit"]], today)
    if match["dayname"]:
        return next_but(_DAYS[match["dayname"]], Unit.DAY, today)
    step, unit = _PERIODS[match["period"]]
    found = next_but(step, unit, today)
    weekday = match["ja"] or match["zh"]
    if weekday is None or unit is not Unit.WEEK:
        return found
    return span_of(found.start + timedelta(days=_WEEKDAYS[weekday]), Unit.DAY)


def _value_of(number: str) -> Fraction | None:
    """The value of a number below 100 in characters, or of any in digits."""
    if number[0].isdigit():
        digits = number.replace(",", "")
        return Fraction(digits) if re.fullmatch(r"\d+(?:\.\d+)?", digits) else None
    if number == "半":
        return Fraction(1, 2)
    plain = number.replace("两", "二")
    if not re.fullmatch(f"[{_DIGITS}]|[{_DIGITS}]?十[{_DIGITS}]?", plain):
        return None
    if "十" not in plain:
        return Fraction(_DIGITS.index(plain) + 1)
    tens, ones = plain.split("十")
    return Fraction(
        (_DIGITS.index(tens) + 1 if tens else 1) * 10 + (_DIGITS.index(ones) + 1 if ones else 0)
    )
