"""Tokenizer: terms of texts in many scripts and languages."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remembrancer.domain.recall.analysis import LONGEST_TERM, analyse


def finds(question: str, text: str) -> bool:
    """Return whether every term of the question is a term of the text."""
    terms = analyse(question)
    return bool(terms) and set(terms) <= set(analyse(text))


@pytest.mark.parametrize(
    ("question", "text"),
    [
        ("北京", "我住在北京大学旁边"),
        ("猫", "她家里有三只猫和一条狗"),
        ("住在", "我住在北京"),
        ("𠮷野家", "昨日は𠮷野家で食べた"),
        ("東京タワー", "昨日、東京タワーに行きました。"),
        ("ラーメン", "ﾗｰﾒﾝが大好きです"),
        ("집", "우리는 집에서 저녁을 먹었다"),
        ("ภาษา", "ฉันเรียนภาษาไทย"),
        ("हिन्दी", "मैं हिन्दी बोलता हूँ"),
        ("кот", "У меня есть КОТ."),
        ("ελλάδας", "Η ΕΛΛΆΔΑΣ"),
    ],
)
def test_word_is_found_in_any_script(question: str, text: str) -> None:
    assert finds(question, text)


@pytest.mark.parametrize(
    ("question", "text"),
    [
        ("cafe zurich", "Café in Zürich"),
        ("Café", "cafe\u0301"),
        ("STRASSE", "Straße"),
        ("fi 2023", "ﬁ ２０２３"),
        ("istanbul", "İstanbul"),
        ("amour", "l'amour"),
        ("8 5 2023", "2023-05-08"),
        ("jane example", "mail jane@example.org!"),
        ("variable", "my_variable_name"),
    ],
)
def test_spelling_variants_have_the_same_terms(question: str, text: str) -> None:
    assert finds(question, text)


@pytest.mark.parametrize(
    "forms",
    [
        "dance dances danced dancing",
        "study studies studied studying",
        "try tries tried trying",
        "stop stops stopped stopping",
        "miss misses missed missing",
        "go goes going went gone",
        "use uses used using",
        "box boxes",
        "child children",
        "quick quickly",
        "day days",
        "Caroline Caroline's Caroline’s",
    ],
)
def test_forms_of_an_english_word_have_one_term(forms: str) -> None:
    assert len(set(analyse(forms))) == 1


@pytest.mark.parametrize("pair", ["early ear", "string str", "this thi", "is i", "king k", "red r"])
def test_short_words_keep_their_endings(pair: str) -> None:
    assert len(set(analyse(pair))) == 2


def test_contracted_negation_has_the_term_not() -> None:
    assert "not" in analyse("I don't like it")
    assert "not" in analyse("She can’t come")


def test_order_and_repetitions_are_kept() -> None:
    assert analyse("Tea, milk and tea") == ["tea", "milk", "and", "tea"]


@pytest.mark.parametrize("text", ["", " \n\t", "!?… — «»", "\ud800"])
def test_text_without_words_has_no_terms(text: str) -> None:
    assert analyse(text) == []


def test_very_long_word_is_cut() -> None:
    assert analyse("x" * 100_000) == ["x" * LONGEST_TERM]


@given(st.text())
def test_terms_are_short_and_without_white_space(text: str) -> None:
    for term in analyse(text):
        assert 1 <= len(term) <= LONGEST_TERM
        assert term == "".join(term.split())


@given(st.text(), st.text())
def test_texts_joined_by_a_space_have_the_terms_of_both(first: str, second: str) -> None:
    assert analyse(f"{first} {second}") == analyse(first) + analyse(second)


@given(st.text(alphabet="abcdeghilnorstuyABCDEGHILNORSTUYéÉ' ", max_size=40))
def test_case_does_not_change_terms(text: str) -> None:
    assert analyse(text.upper()) == analyse(text.lower())
