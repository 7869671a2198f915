"""Relative dates are resolved against the day on which the sentence was said."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remembrancer.application.extraction.rules.dates import resolve

WORDS = (
    "a an the half couple of and or to in on for since last next this past every about over 0 1/0 "
    "1/2 2.5 1,500 30 31 99 1999 2024 2024-02-30 ½ twenty five hundred days weeks months years "
    "decades fortnight ago may May march Feb June 4th sat Sunday weekend yesterday Tomorrow night "
    "have been lived booked not I will went , . 's 've vor drei Jahren gestern hace años depuis "
    "вчера года назад в 上周 三 十 百 半 年 天 个月 前 去年 先週 の 金曜日 明日 2年 3.5".split()
)
WEDNESDAY = datetime(2023, 5, 10, 13, 56, tzinfo=UTC)


@pytest.mark.parametrize(
    ("sentence", "start", "until"),
    [
        ("I saw her yesterday.", "2023-05-09", "2023-05-10"),
        ("Last night was fun.", "2023-05-09", "2023-05-10"),
        ("I ran this morning.", "2023-05-10", "2023-05-11"),
        ("I left the day before yesterday.", "2023-05-08", "2023-05-09"),
        ("I leave tomorrow.", "2023-05-11", "2023-05-12"),
        ("We met two days ago.", "2023-05-08", "2023-05-09"),
        ("We met 2 weeks ago.", "2023-04-26", "2023-05-03"),
        ("We met a couple of weeks ago.", "2023-04-26", "2023-05-03"),
        ("Half a year ago I got a dog.", "2022-11-01", "2022-12-01"),
        ("Three years ago we met.", "2020-01-01", "2021-01-01"),
        ("I went hiking last week.", "2023-05-01", "2023-05-08"),
        ("I was there last month.", "2023-04-01", "2023-05-01"),
        ("I painted it last year.", "2022-01-01", "2023-01-01"),
        ("I saw her last Friday.", "2023-05-05", "2023-05-06"),
        ("I saw her last Fri.", "2023-05-05", "2023-05-06"),
        ("I met her last weekend.", "2023-05-06", "2023-05-08"),
        ("We went hiking this weekend.", "2023-05-06", "2023-05-08"),
        ("We're going hiking this weekend.", "2023-05-13", "2023-05-15"),
        ("I saw her this past Friday.", "2023-05-05", "2023-05-06"),
        ("I'm going next Friday.", "2023-05-12", "2023-05-13"),
        ("I'm going this Friday.", "2023-05-12", "2023-05-13"),
        ("I went this Monday.", "2023-05-08", "2023-05-09"),
        ("I'm moving to Berlin next June.", "2023-06-01", "2023-07-01"),
        ("Last June we went to Spain.", "2022-06-01", "2022-07-01"),
        ("Last May we went to Spain.", "2022-05-01", "2022-06-01"),
        ("In March I ran a marathon.", "2023-03-01", "2023-04-01"),
        ("In September I ran a marathon.", "2022-09-01", "2022-10-01"),
        ("I'm running a marathon in September.", "2023-09-01", "2023-10-01"),
        ("We went on Monday.", "2023-05-08", "2023-05-09"),
        ("I'll go on Monday.", "2023-05-15", "2023-05-16"),
        ("I will be there in two weeks.", "2023-05-24", "2023-05-31"),
        ("I moved here in May 2022.", "2022-05-01", "2022-06-01"),
        ("I was born on 7 May 1990.", "1990-05-07", "1990-05-08"),
        ("It was on May 7th, 2022.", "2022-05-07", "2022-05-08"),
        ("I saw it on May 7.", "2023-05-07", "2023-05-08"),
        ("I'm flying on July 7th.", "2023-07-07", "2023-07-08"),
        ("It broke on 2023-04-01.", "2023-04-01", "2023-04-02"),
        ("I started in 2019.", "2019-01-01", "2020-01-01"),
        ("Ich war gestern in Berlin.", "2023-05-09", "2023-05-10"),
        ("Vor zwei Tagen war ich da.", "2023-05-08", "2023-05-09"),
        ("Letzte Woche war ich krank.", "2023-05-01", "2023-05-08"),
        ("Je suis arrivé il y a 3 jours.", "2023-05-07", "2023-05-08"),
        ("Ayer fui al cine.", "2023-05-09", "2023-05-10"),
        ("Ieri sono andato a Roma.", "2023-05-09", "2023-05-10"),
        ("Ontem eu fui à praia.", "2023-05-09", "2023-05-10"),
        ("Вчера я был дома.", "2023-05-09", "2023-05-10"),
        ("昨天我去了北京。", "2023-05-09", "2023-05-10"),
        ("先週東京に行きました。", "2023-05-01", "2023-05-08"),
        # A number is read whole.
        ("I sold the van 3.5 years ago.", "2019-11-01", "2019-12-01"),
        ("I sold the van 1/2 year ago.", "2022-11-01", "2022-12-01"),
        ("We left twenty-one days ago.", "2023-04-19", "2023-04-20"),
        ("We left forty two weeks ago.", "2022-07-20", "2022-07-27"),
        ("It opened 1,200 days ago.", "2020-01-26", "2020-01-27"),
        ("It opened a year and a half ago.", "2021-11-01", "2021-12-01"),
        ("It opened three and a half years ago.", "2019-11-01", "2019-12-01"),
        ("It opened a year and two months ago.", "2022-03-01", "2022-04-01"),
        ("I saw the show a fortnight ago.", "2023-04-26", "2023-05-03"),
        ("I'll be back in one and a half years.", "2024-11-01", "2024-12-01"),
        ("I rode 40 km 3 days ago.", "2023-05-07", "2023-05-08"),
        # Names and words that are months or weekdays, too.
        ("I visited August 3 weeks ago.", "2023-04-19", "2023-04-26"),
        ("I called June 4 days ago.", "2023-05-06", "2023-05-07"),
        ("The mural was finished by June Webb in 1975.", "1975-01-01", "1976-01-01"),
        ("We sold it on 2 may.", "2023-05-02", "2023-05-03"),
        ("I last sat in that chair in 2011.", "2011-01-01", "2012-01-01"),
        ("We met last Sat.", "2023-05-06", "2023-05-07"),
        ("I was hired in May.", "2023-05-01", "2023-06-01"),
        ("i started there in march.", "2023-03-01", "2023-04-01"),
        ("I'm visiting them this February.", "2024-02-01", "2024-03-01"),
        ("The tape was recorded in 1969.", "1969-01-01", "1970-01-01"),
        # Other languages.
        ("Letzten Freitag war ich dort.", "2023-05-05", "2023-05-06"),
        ("El 3 de abril de 2021 me casé.", "2021-04-03", "2021-04-04"),
        ("Le 3 avril 2021 elle est née.", "2021-04-03", "2021-04-04"),
        ("Мы переехали 3 года назад.", "2020-01-01", "2021-01-01"),
        ("我两年前毕业了。", "2021-01-01", "2022-01-01"),
        ("他十二年前搬走了。", "2011-01-01", "2012-01-01"),
        ("我2.5年前换了工作。", "2020-11-01", "2020-12-01"),
        ("她半年前结婚了。", "2022-11-01", "2022-12-01"),
        ("他三年半前来的。", "2019-11-01", "2019-12-01"),
        ("我下周五去广州。", "2023-05-19", "2023-05-20"),
        ("我们前天见了面。", "2023-05-08", "2023-05-09"),
        ("2か月前に引っ越しました。", "2023-03-01", "2023-04-01"),
        ("二週間前に会いました。", "2023-04-26", "2023-05-03"),
        ("来週の月曜日に行きます。", "2023-05-15", "2023-05-16"),
    ],
)
def test_date_expression_resolves_to_its_whole_period(
    sentence: str, start: str, until: str
) -> None:
    found = resolve(sentence, WEDNESDAY)

    assert found is not None
    assert (found.start.isoformat(), found.until.isoformat()) == (start, until)
    assert not found.standing


@pytest.mark.parametrize(
    ("sentence", "start"),
    [
        ("I've lived here since 2019.", date(2019, 1, 1)),
        ("I have been vegan for three years.", date(2020, 1, 1)),
        ("I've worked there for 6 months now.", date(2022, 11, 1)),
        ("Since March I have been working there.", date(2023, 3, 1)),
        ("Ich wohne seit 2019 hier.", date(2019, 1, 1)),
        ("Vivo aquí desde 2015.", date(2015, 1, 1)),
        ("She's owned a loom for two and a half years.", date(2020, 11, 1)),
        ("Been climbing here for 5 years.", date(2018, 1, 1)),
        ("We've had the boat for nearly four years now.", date(2019, 1, 1)),
        ("I have not eaten meat for six months.", date(2022, 11, 1)),
        ("My van has run on gas since May.", date(2023, 5, 1)),
    ],
)
def test_state_since_a_date_lasts_until_it_was_said(sentence: str, start: date) -> None:
    found = resolve(sentence, WEDNESDAY)

    assert found is not None
    assert found.standing
    assert (found.start, found.until) == (start, date(2023, 5, 11))


@pytest.mark.parametrize(
    "sentence",
    [
        "I live in Paris.",
        "We go every Monday.",
        "We have yoga on Monday.",
        "My birthday is May 7.",
        "I lived there for three years.",
        "I learnt it in two weeks.",
        "A few days ago I fell.",
        "We had fun last summer.",
        "May I ask you something.",
        "The 2020 Olympics were great.",
        "It was on 05/07/2023.",
        "I wrote it in 2000 words.",
        "999 years ago it was built.",
        "目前天气很好。",
        "x" * 600 + " yesterday",
        # Numbers that are vague, or have a fraction that is no day.
        "It broke 5-6 weeks ago.",
        "It broke five or six weeks ago.",
        "It broke over ten years ago.",
        "It broke a hundred and five years ago.",
        "It broke 2.5 weeks ago.",
        "It broke dozens of years ago.",
        # "For", with a verb that does not last.
        "He has ordered a skip for 3 weeks.",
        "I've got bread for 2 days.",
        "They will have lived here for 5 years.",
        "He has been sent to Peru for two years.",
        "She had been away for three weeks.",
        "I have to stay for 2 weeks.",
        # Words and names.
        "This may look odd, but we tried it.",
        "We joined this march for peace.",
        "Door 4 may jam, we noticed.",
        "I was driven home by June.",
        "I enjoyed this sun.",
        "We wed this sat phone to a radio.",
        "What they believed in may matter.",
        "I set Oct 5 as the code and forgot it.",
        # Counted things, and no days.
        "We got 1980 votes in 1991 towns.",
        "I loved the play set in 1789.",
        "The film is set in 1942.",
        "It was filed under 2023-02-31.",
        # Titles.
        "We saw The Day After Tomorrow.",
        "I read Nation Today.",
        "I watched 'Yesterday' with Ann.",
        "I like the series Last Night Shift.",
        "Wir hörten die Gruppe Gestern.",
        "Me gusta la canción Ayer.",
        "Мы смотрели «Завтра».",
        # Other words in Chinese and Japanese.
        "妹は明日香と言います。",
        "他在证明日期。",
        "他们过去年年来。",
        "车上周小姐睡着了。",
        "几年前我去过。",
        "第三年前半",
        "一千年前的庙。",
        "『昨日の空』を読みました。",
        "3日前半は雨です。",
    ],
)
def test_vague_or_ambiguous_date_is_not_resolved(sentence: str) -> None:
    assert resolve(sentence, WEDNESDAY) is None


def test_yesterday_is_resolved_in_the_time_zone_of_the_speaker() -> None:
    late = datetime(2023, 5, 10, 0, 30, tzinfo=timezone(timedelta(hours=2)))

    there = resolve("I saw her yesterday.", late)
    in_utc = resolve("I saw her yesterday.", late.astimezone(UTC))

    assert there is not None
    assert in_utc is not None
    assert (there.start, in_utc.start) == (date(2023, 5, 9), date(2023, 5, 8))


@pytest.mark.parametrize(
    "said_at", [datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, tzinfo=UTC)]
)
@pytest.mark.parametrize(
    "sentence", ["last week", "I leave tomorrow", "next month", "next January", "ten years ago"]
)
def test_date_outside_of_the_calendar_is_not_resolved(said_at: datetime, sentence: str) -> None:
    assert resolve(sentence, said_at) is None


@given(
    st.lists(st.sampled_from(WORDS), max_size=14),
    st.sampled_from([" ", "-", ""]),
    st.datetimes(timezones=st.just(UTC)),
)
def test_any_words_are_a_period_or_no_date(words: list[str], joint: str, said_at: datetime) -> None:
    found = resolve(joint.join(words), said_at)

    assert found is None or found.start < found.until or found.standing
