"""One name in several spellings, from the message to the search."""

from __future__ import annotations

import unicodedata

import pytest

from remembrancer import Memory


def decomposed(text: str) -> str:
    """``text`` as some systems type it: each accent is a character of its own."""
    return unicodedata.normalize("NFD", text)


def test_fact_supersedes_one_about_the_same_name_in_another_spelling() -> None:
    with Memory() as memory:
        memory.add("Noëlle lives in Oslo.", user_id="ann")
        memory.add(decomposed("Noëlle moved to Paris."), user_id="ann")
        texts = [fact.text for fact in memory.get_all(user_id="ann")]
    assert [unicodedata.normalize("NFC", text) for text in texts] == ["Noëlle moved to Paris."]


@pytest.mark.parametrize("spelling", ["Noëlle", decomposed("Noëlle"), "ＮＯËＬＬＥ!", "“noëlle”"])
def test_entity_is_found_in_every_spelling(spelling: str) -> None:
    with Memory() as memory:
        memory.add("I called Noëlle.", user_id="ann", infer=False)
        memory.add(decomposed("We met Noëlle."), user_id="ann", infer=False)
        found = memory.graph(spelling, user_id="ann")
        hits = memory.search(f"who met {spelling}", user_id="ann", explain=True)
    assert found is not None
    assert (found.start.name, found.start.facts, found.likeness) == ("Noëlle", 2, 1.0)
    assert [(hit.signals or {})["entities"] for hit in hits] == [1.0, 1.0]
