"""Names are detected by capital letters."""

from __future__ import annotations

import pytest

from remembrancer.application.extraction.rules.entities import MOST, names_in


@pytest.mark.parametrize(
    ("sentence", "names"),
    [
        ("I live in San Francisco with Bob.", ("San Francisco", "Bob")),
        ("We met at the University of Oxford.", ("University of Oxford",)),
        ("On Monday I called Ann's mother.", ("Ann",)),
        ("She works for NASA.", ("NASA",)),
        ("Caroline likes Paris.", ("Caroline", "Paris")),
        ("Bob, Ann and I went to Rome.", ("Bob", "Ann", "Rome")),
        ("New York is my home.", ("New York",)),
        ("Lisbon's hills are steep.", ("Lisbon",)),
        ("Austin, Texas is hot.", ("Austin", "Texas")),
        ("The University of Oxford is old.", ("University of Oxford",)),
        ("Müller GmbH hired me.", ("Müller GmbH",)),
        ("Dr. Singh called.", ("Singh",)),
        ("Sandra from accounting left.", ("Sandra",)),
        ("It rained. Paris was grey.", ("Paris",)),
        ("Reading is fun.", ()),
        ("Nice to know that.", ()),
        ("Mark the date.", ()),
        ("Kubernetes is hard.", ()),
        ("Ich fahre nach São Paulo", ("São Paulo",)),
        ("I'M SHOUTING AT YOU NOW", ()),
        ("i live in paris", ()),
        ("我住在北京。", ()),
        ("", ()),
    ],
)
def test_names_are_runs_of_capitalised_words(sentence: str, names: tuple[str, ...]) -> None:
    assert names_in(sentence, known=("Caroline",)) == names


def test_number_of_names_per_sentence_is_limited() -> None:
    assert len(names_in("we saw " + ", ".join(f"Name{'x' * n}" for n in range(50)))) == MOST
