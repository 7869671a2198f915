"""Analysis of a question: names, dates, and words that matter for the search."""

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
def test_day_is_recognised_in_many_formats(text: str) -> None:
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
def test_months_and_years_are_recognised(text: str, span: tuple[str, str]) -> None:
    assert days(text) == [span]


def test_date_with_slashes_is_read_as_day_first_and_month_first() -> None:
    assert days("05/08/2023") == [("2023-08-05", "2023-08-06"), ("2023-05-08", "2023-05-09")]
    assert days("25/08/2023") == [("2023-08-25", "2023-08-26")]


def test_date_that_does_not_exist_falls_back_to_its_month_or_year() -> None:
    assert days("2023-02-30") == [("2023-02-01", "2023-03-01")]
    assert days("2024-13-01") == [("2024-01-01", "2025-01-01")]


def test_repeated_date_gives_one_span() -> None:
    assert days("8 May 2023, again 2023-05-08, and 2024") == [
        ("2023-05-08", "2023-05-09"),
        ("2024-01-01", "2025-01-01"),
    ]


@pytest.mark.parametrize(
    "text", ["in May", "2,023.5 tons", "12023", "20235", "version 2023.1", "٣"]
)
def test_other_numbers_and_months_without_year_are_not_dates(text: str) -> None:
    assert days(text) == []


def test_spans_are_half_open_and_in_utc() -> None:
    (span,) = understand("8 May 2023").spans

    assert span == Interval(
        start=datetime(2023, 5, 8, tzinfo=UTC), end=datetime(2023, 5, 9, tzinfo=UTC)
    )


def test_keywords_exclude_names_and_function_words() -> None:
    query = understand("What did Caroline's mother paint in May 2023?", speakers=SPEAKERS)

    assert query.text_for_keywords == "mother paint May 2023?"
    assert query.text_for_embedding == "What did mother paint in May 2023?"


def test_function_word_with_capital_inside_a_sentence_is_kept_as_a_name() -> None:
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
def test_search_texts_are_never_empty(text: str, keywords: str, embedded: str) -> None:
    query = understand(text, speakers=SPEAKERS)

    assert (query.text_for_keywords, query.text_for_embedding) == (keywords, embedded)


@pytest.mark.parametrize("text", ["मैं हिन्दी बोलता हूँ", "我住在北京", "où habite-t-elle"])
def test_text_in_other_languages_is_unchanged(text: str) -> None:
    assert understand(text, speakers=SPEAKERS).text_for_keywords == text


@given(st.text(), st.lists(st.text()))
def test_any_text_is_analysed_without_error(text: str, speakers: list[str]) -> None:
    query = understand(text, speakers=speakers)

    assert set(query.names) <= set(speakers)
    assert bool(query.text_for_keywords.strip()) == bool(text.strip())


@given(st.integers(min_value=0, max_value=70_000))
def test_day_in_words_is_recognised_again(days_later: int) -> None:
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
def test_entities_contain_all_possible_names(
    text: str, named: set[str], not_named: set[str]
) -> None:
    speakers = ["Caroline", "Melanie"] if "Mel" in text else []
    found = set(understand(text.replace("Mel ", "Melanie "), speakers=speakers).entities)
    assert named <= found
    assert not found & not_named


@pytest.mark.parametrize(
    ("speakers", "asking"),
    [(["Ann", "user"], ["The user", "Ann"]), (["Ann", "Bob"], ["The user"]), ([], ["The user"])],
)
def test_user_who_says_i_gets_the_name_of_the_only_speaker(
    speakers: list[str], asking: list[str]
) -> None:
    found = understand("Where does my sister live?", speakers=speakers).entities
    assert list(found[: len(asking)]) == asking
    assert "Bob" not in found
    assert ASKING not in understand("Where does Ann live?", speakers=speakers).entities


@given(st.text(max_size=2_000))
def test_number_of_entities_is_bounded_for_long_texts(text: str) -> None:
    assert len(understand(text).entities) <= 8 * LOOKED_AT + 1
