"""What a question tells: whom it names, which days it mentions, which of its words matter."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remembrancer.domain.facts.fact import Interval
from remembrancer.domain.recall.index_context import day_in_words
from remembrancer.domain.recall.query import ASKING, LOOKED_AT, understand

SPEAKERS = ("Caroline", "Will", "June", "José", "Mary Ann Smith", "田中", "user")


def days(text: str) -> list[tuple[str, str]]:
    return [(f"{span.start:%Y-%m-%d}", f"{span.end:%Y-%m-%d}") for span in understand(text).spans]


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("Where does Caroline live?", ("Caroline",)),
        ("where does CAROLINE live?", ("Caroline",)),
        ("What is Caroline’s job?", ("Caroline",)),
        ("Did Jose or caroline call?", ("Caroline", "José")),
        ("What did Smith say to Mary?", ("Mary Ann Smith",)),
        ("田中さんは何が好きですか", ("田中",)),
        ("What will Will do?", ("Will",)),
        ("will it rain?", ()),
        ("What happened in June 2023?", ()),
        ("What did June say in June 2023?", ("June",)),
        ("What does the user like?", ()),
        ("Where is Carolina?", ()),
    ],
)
def test_known_speakers_are_recognised(text: str, names: tuple[str, ...]) -> None:
    assert understand(text, speakers=SPEAKERS).names == names


@pytest.mark.parametrize(
    "text",
    [
        "on 8 May 2023",
        "on 8 May, 2023",
        "the 8th of may 2023",
        "May 8, 2023",
        "may 8th 2023",
        "2023-05-08",
        "2023/5/8",
        "8.5.2023",
        "2023年5月8日",
    ],
)
def test_a_day_is_recognised_in_many_spellings(text: str) -> None:
    assert days(text) == [("2023-05-08", "2023-05-09")]


@pytest.mark.parametrize(
    ("text", "span"),
    [
        ("in May 2023", ("2023-05-01", "2023-06-01")),
        ("in Sept. 2023", ("2023-09-01", "2023-10-01")),
        ("Dec 2023", ("2023-12-01", "2024-01-01")),
        ("2023-12", ("2023-12-01", "2024-01-01")),
        ("2023年12月", ("2023-12-01", "2024-01-01")),
        ("by 2023.", ("2023-01-01", "2024-01-01")),
        ("2023年", ("2023-01-01", "2024-01-01")),
    ],
)
def test_months_and_years_are_spans_too(text: str, span: tuple[str, str]) -> None:
    assert days(text) == [span]


def test_a_date_with_slashes_is_read_both_ways() -> None:
    assert days("05/08/2023") == [("2023-08-05", "2023-08-06"), ("2023-05-08", "2023-05-09")]
    assert days("25/08/2023") == [("2023-08-25", "2023-08-26")]


def test_of_a_day_that_does_not_exist_the_month_or_the_year_is_left() -> None:
    assert days("2023-02-30") == [("2023-02-01", "2023-03-01")]
    assert days("2024-13-01") == [("2024-01-01", "2025-01-01")]


def test_every_date_counts_once() -> None:
    assert days("8 May 2023, again 2023-05-08, and 2024") == [
        ("2023-05-08", "2023-05-09"),
        ("2024-01-01", "2025-01-01"),
    ]


@pytest.mark.parametrize(
    "text", ["in May", "2,023.5 tons", "12023", "20235", "version 2023.1", "٣"]
)
def test_other_numbers_and_bare_months_are_no_dates(text: str) -> None:
    assert days(text) == []


def test_spans_are_half_open_and_in_utc() -> None:
    (span,) = understand("8 May 2023").spans

    assert span == Interval(
        start=datetime(2023, 5, 8, tzinfo=UTC), end=datetime(2023, 5, 9, tzinfo=UTC)
    )


def test_keywords_are_what_is_left_without_names_and_function_words() -> None:
    query = understand("What did Caroline's mother paint in May 2023?", speakers=SPEAKERS)

    assert query.text_for_keywords == "mother paint May 2023?"
    assert query.text_for_embedding == "What did mother paint in May 2023?"


def test_a_capital_inside_a_sentence_makes_a_name_of_a_function_word() -> None:
    assert understand("Which spot did she visit in May?").text_for_keywords == "spot visit May?"
    assert understand("which May they visit").text_for_keywords == "May visit"


@pytest.mark.parametrize(
    ("text", "keywords", "embedded"),
    [
        ("Caroline", "Caroline", "Caroline"),
        ("Who is Caroline?", "Caroline?", "Who is Caroline?"),
        ("Who is he?", "Who is he?", "Who is he?"),
        ("?", "?", "?"),
    ],
)
def test_something_is_always_left_to_search_for(text: str, keywords: str, embedded: str) -> None:
    query = understand(text, speakers=SPEAKERS)

    assert (query.text_for_keywords, query.text_for_embedding) == (keywords, embedded)


@pytest.mark.parametrize("text", ["मैं हिन्दी बोलता हूँ", "我住在北京", "où habite-t-elle"])
def test_other_languages_pass_unharmed(text: str) -> None:
    assert understand(text, speakers=SPEAKERS).text_for_keywords == text


@given(st.text(), st.lists(st.text()))
def test_any_text_is_understood_somehow(text: str, speakers: list[str]) -> None:
    query = understand(text, speakers=speakers)

    assert set(query.names) <= set(speakers)
    assert bool(query.text_for_keywords.strip()) == bool(text.strip())


@given(st.integers(min_value=0, max_value=70_000))
def test_a_day_written_in_words_is_read_back(days_later: int) -> None:
    moment = datetime(1900, 1, 1, tzinfo=UTC) + timedelta(days=days_later)

    (span,) = understand(f"on {day_in_words(moment)}").spans

    assert span.contains(moment)


@pytest.mark.parametrize(
    ("text", "named", "not_named"),
    [
        ("Where does Ann's sister live?", {"Ann", "Ann's", "sister", "Ann's sister"}, {"does"}),
        ("the Bank of America", {"Bank of America", "America"}, {"Bank of", "of America"}),
        ("work at St. Mary's", {"St. Mary's", "St. Mary"}, set()),
        ("住在東京", {"東京", "住在"}, set()),
        ("What did Mel paint?", {"Melanie"}, {"Caroline"}),
    ],
)
def test_whatever_may_be_a_name_is_told(text: str, named: set[str], not_named: set[str]) -> None:
    speakers = ["Caroline", "Melanie"] if "Mel" in text else []
    found = set(understand(text.replace("Mel ", "Melanie "), speakers=speakers).entities)
    assert named <= found
    assert not found & not_named


@pytest.mark.parametrize(
    ("speakers", "asking"),
    [(["Ann", "user"], ["The user", "Ann"]), (["Ann", "Bob"], ["The user"]), ([], ["The user"])],
)
def test_whoever_says_i_goes_by_the_only_name_there_is(
    speakers: list[str], asking: list[str]
) -> None:
    found = understand("Where does my sister live?", speakers=speakers).entities
    assert list(found[: len(asking)]) == asking
    assert "Bob" not in found
    assert ASKING not in understand("Where does Ann live?", speakers=speakers).entities


@given(st.text(max_size=2_000))
def test_a_long_text_has_no_more_names_than_a_question(text: str) -> None:
    assert len(understand(text).entities) <= 8 * LOOKED_AT + 1
