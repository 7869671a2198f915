"""The equality of names and texts, and names in texts."""

from __future__ import annotations

import unicodedata
from itertools import combinations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from remembrancer.application.reconciliation.near_duplicates import signature
from remembrancer.domain.recall.names import LONGEST_NAME, MAX_NAMES, names_in
from remembrancer.domain.recall.query import understand
from remembrancer.domain.text import name_keys, names, normalised
from remembrancer.testing.spellings import DIFFERENT, EQUAL, respelled

FORMS = ("NFC", "NFD", "NFKC", "NFKD")
marks = st.text(" .,;:!?\"'…“”¿¡«»「」-’ab\u200b\u0301\u0345ﬁſßİΐ①", max_size=12)
texts = st.text(max_size=20) | marks


@pytest.mark.parametrize("spellings", EQUAL, ids=str)
def test_spellings_of_a_name_are_equal(spellings: tuple[str, ...]) -> None:
    assert len(set(map(normalised, spellings))) == 1


def test_similar_names_are_not_equal() -> None:
    assert len(set(map(normalised, DIFFERENT))) == len(DIFFERENT)


@given(texts)
def test_normal_form_of_a_normal_form_is_itself(text: str) -> None:
    assert normalised(normalised(text)) == normalised(text)


@given(texts)
def test_unicode_form_of_a_text_changes_nothing(text: str) -> None:
    for form in FORMS:
        assert normalised(unicodedata.normalize(form, text)) == normalised(text)


@given(st.data(), st.sampled_from([name for name in DIFFERENT if name.strip("!?")]))
def test_respelled_name_is_equal_to_the_name_and_to_no_other(
    data: st.DataObject, name: str
) -> None:
    spelled = data.draw(respelled(name))
    others = {normalised(other) for other in DIFFERENT if other != name}
    assert normalised(spelled) == normalised(name)
    assert normalised(spelled) not in others


@given(texts)
def test_texts_with_one_normal_form_are_near_duplicates(text: str) -> None:
    for form in FORMS:
        assert signature(unicodedata.normalize(form, text)) == signature(text)


@pytest.mark.parametrize("text", ["", " \t\n", "\u200b", "\u2068 \u2069", "\ufeff\u3164"])
def test_name_that_shows_nothing_names_nothing(text: str) -> None:
    assert normalised(text) == ""
    assert name_keys([text, "Ann"]) == {"ann"}
    assert not names("Ann likes tea.", text)
    assert not names(text, text)


@given(texts, texts)
def test_empty_name_is_in_no_text_and_a_name_alone_is_in_itself(text: str, name: str) -> None:
    assert not names(text, "")
    spaced = f" {name} "
    assert names(spaced, name) == bool(normalised(name))


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("Ann likes tea.", "ANN"),
        ("Zoe\u0308 moved", "Zoë"),
        ("ＡＣＭＥ hired her", "Acme."),
        ("I met O’Brien's wife", "O'Brien"),
        ("lives in the U.S. now", "U.S"),
        ("she writes C++.", "C++"),
        ("he likes tea+coffee", "tea"),
        (".NET is what she uses", ".NET"),
        ("well...Ann did", "Ann"),
        ("Annabel and Ann", "Ann"),
        ("田中さんは東京に住んでいます", "東京"),
        ("राम घर गया", "राम"),
    ],
)
def test_text_names_a_name_in_any_spelling(text: str, name: str) -> None:
    assert names(text, name)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("Annabel likes tea", "Ann"),
        ("Joann likes tea", "Ann"),
        ("she writes C++ and C#", "C"),
        ("she uses .NET", "NET"),
        (".NET is what she uses", "NET"),
        ("ASP.NET is old", ".NET"),
        ("रामायण", "राम"),
        ("Zoe moved", "Zoë"),
    ],
)
def test_text_does_not_name_a_part_of_a_word_or_another_name(text: str, name: str) -> None:
    assert not names(text, name)


@pytest.mark.parametrize(
    ("text", "candidate"),
    [
        ("What did J. R. R. Tolkien's son say?", "J. R. R. Tolkien"),
        ("Is it St. Mary's?", "St. Mary's"),
        ("Does she use (.NET)?", ".NET"),
        ("Well...Ann? ...Ann!", "Ann"),
        ("¿Ana vive en Madrid?", "Ana"),
        ("Where is Acme (UK)?", "Acme (UK)"),
        ("where is zoe\u0308", "Zoë"),
        ("ＡＣＭＥ?", "Acme"),
        ("ﾄｳｷｮｳはどこ", "トウキョウ"),
    ],
)
def test_candidate_of_a_query_equals_the_name_of_an_entity(text: str, candidate: str) -> None:
    assert normalised(candidate) in names_in(text)


@given(texts)
@example("0?‘S")
def test_candidates_are_bounded_normal_forms(text: str) -> None:
    found = names_in(text)
    assert len(found) <= MAX_NAMES
    assert name_keys(found) == {*found}


@given(st.lists(st.sampled_from("Ann Zoë ＡＣＭＥ C++ o’Brien 東京 .NET at".split()), max_size=8))
def test_query_is_analysed_alike_in_every_unicode_form(words: list[str]) -> None:
    text = " ".join(words)
    speakers = ["Zoe\u0308", "Acme", "O'Brien"]
    asked = [understand(unicodedata.normalize(form, text), speakers=speakers) for form in FORMS[:2]]
    for one, other in combinations(asked, 2):
        assert (one.names, one.entities) == (other.names, other.entities)
        assert one.text_for_keywords == other.text_for_keywords
    assert len({tuple(names_in(unicodedata.normalize(form, text))) for form in FORMS}) == 1


@pytest.mark.parametrize("name", ["C++", ".NET", "C#", "Zoë", "Acme"])
def test_entities_of_a_question_contain_a_name_with_its_marks(name: str) -> None:
    found = name_keys(understand(f"Does Ann use {name}?").entities)
    assert normalised(name) in found


def test_longest_name_of_a_candidate_is_bounded() -> None:
    text = " ".join(f"Word{n}" for n in range(LONGEST_NAME + 1))
    assert normalised(text) not in names_in(text)
    assert normalised(" ".join(text.split()[:LONGEST_NAME])) in names_in(text)
