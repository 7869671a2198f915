"""The analysis of a query that an index gets."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from remembrancer.domain.ports.vector_index import IndexQuery
from remembrancer.domain.recall.analysis import query_terms
from remembrancer.domain.recall.names import names_in
from remembrancer.domain.scope import Scope

NOON = datetime(2024, 5, 3, 12, tzinfo=UTC)


def query(text: str | None) -> IndexQuery:
    return IndexQuery(scope=Scope(user_id="ann"), text=text, now=NOON)


@given(st.text())
def test_query_carries_the_terms_and_names_of_its_text(text: str) -> None:
    assert query(text).terms == tuple(query_terms(text))
    assert query(text).names == tuple(names_in(text))


def test_query_without_a_text_has_no_terms_and_no_names() -> None:
    assert (query(None).terms, query(None).names) == ((), ())


def test_query_with_another_text_has_the_analysis_of_that_text() -> None:
    asked = query("Who met Ann?")
    assert asked.names
    changed = evolve(asked, text="tea")
    assert (changed.terms, changed.names) == (query("tea").terms, query("tea").names)
    assert evolve(asked, text=None).terms == ()


def test_text_is_analysed_once_for_a_query(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = query("Who met Ann?")
    terms, found = asked.terms, asked.names

    def refuse(_text: str) -> list[str]:
        raise AssertionError("the text is analysed again")

    monkeypatch.setattr("remembrancer.domain.ports.vector_index.query_terms", refuse)
    monkeypatch.setattr("remembrancer.domain.ports.vector_index.names_in", refuse)
    assert (asked.terms, asked.names) == (terms, found)
    with pytest.raises(AssertionError, match="analysed again"):
        _ = query("Who met Ann?").names
