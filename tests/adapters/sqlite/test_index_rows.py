"""The rows of the index: JSON and terms that are written a faster way are the same."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from remembrancer.adapters.stores.sqlite.vector_index.terms import EncodedBatch, encoded_terms
from remembrancer.adapters.stores.sqlite.vector_index.writing import json_of

anything = st.text(st.characters()) | st.text(st.characters(max_codepoint=127))
values = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | anything
words = st.sampled_from(["cats", "running", "Zoë", "don't", "東京タワー", "007", "a", "\u3000"])
texts = st.lists(st.lists(words, max_size=8).map(" ".join), max_size=6).map("\n".join)


@given(st.dictionaries(anything, values | st.lists(anything)))
def test_json_is_that_of_the_standard_library(fields: dict[str, object]) -> None:
    assert json_of(fields) == json.dumps(fields, ensure_ascii=False, separators=(",", ":"))


@given(st.lists(st.lists(texts | anything)))
def test_terms_of_many_texts_are_those_of_each(batches: list[list[str]]) -> None:
    together, each = EncodedBatch(), encoded_terms()
    for batch in batches:
        assert together(batch) == {text: each(text) for text in batch}
