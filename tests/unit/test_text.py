"""The one equality of names, and finding a name in a text."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remembrancer.domain.text import name_keys, names, normalised

TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=30)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Zoë", unicodedata.normalize("NFD", "Zoë")),
        ("Acme.", "Acme"),
        ("ＡＣＭＥ", "Acme"),
        ("  New   York\n", "new york"),
        ("“Acme”", "Acme"),
        ("O’Brien", "O'Brien"),
        ("Jean‑Luc", "Jean-Luc"),
        ("Ac\u200bme", "Acme"),
        ("STRASSE", "straße"),
        ("ﬁne", "fine"),
        ("東京。", "東京"),
    ],
)
def test_spellings_of_one_name_are_equal(one: str, other: str) -> None:
    assert normalised(one) == normalised(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("C", "C++"),
        ("C", "C#"),
        ("C++", "C#"),
        ("NET", ".NET"),
        ("Acme", "Acme (UK)"),
        ("Zoe", "Zoë"),
        ("A1", "A 1"),
        ("1", "①②"),
    ],
)
def test_names_of_different_things_differ(one: str, other: str) -> None:
    assert normalised(one) != normalised(other)


@pytest.mark.parametrize("blank", ["", " ", "\n\t", "\u200b", "\ufeff "])
def test_name_without_visible_characters_names_nothing(blank: str) -> None:
    assert normalised(blank) == ""
    assert not names("Ann likes tea.", blank)
    assert name_keys(["Ann", blank]) == {"ann"}


@pytest.mark.parametrize(
    ("text", "name", "found"),
    [
        ("Ann works at Acme.", "acme", True),
        ("Ann works at Acmes.", "Acme", False),
        ("I write C++ all day", "C", False),
        ("I write C++ all day", "C++", True),
        ("We use .NET here", "NET", False),
        ("We use .NET here", ".NET", True),
        ("東京に住んでいます", "東京", True),
        (unicodedata.normalize("NFD", "I met Zoë."), "Zoë", True),
        ("Annabel and Ann", "Ann", True),
    ],
)
def test_name_is_found_as_whole_words(text: str, name: str, found: bool) -> None:
    assert names(text, name) is found


@given(TEXTS)
def test_normal_form_is_idempotent(text: str) -> None:
    assert normalised(normalised(text)) == normalised(text)


@given(TEXTS, st.sampled_from(("NFC", "NFD", "NFKC", "NFKD")))
def test_unicode_form_makes_no_difference(text: str, form: str) -> None:
    written = unicodedata.normalize(form, text)  # type: ignore[arg-type]
    assert normalised(written) == normalised(text)


@given(TEXTS)
def test_every_text_names_itself_unless_it_is_blank(text: str) -> None:
    assert names(text, text) is bool(normalised(text))
