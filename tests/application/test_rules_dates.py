"""Relative dates are resolved against the day on which the sentence was said."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone

import pytest

from remembrancer.application.extraction.rules.dates import resolve

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
