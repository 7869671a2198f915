"""Hashing embedder: reproducible vectors, similar for texts that share words."""

from __future__ import annotations

import os
import subprocess
import sys
from array import array
from math import isfinite, sqrt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remembrancer.adapters.models.hashing import HashingEmbedder
from remembrancer.domain.errors import InvalidRequest
from remembrancer.domain.ports.embedder import Vector

EMBEDDER = HashingEmbedder()
GOLDEN = [
    "-0x1.6b68380000000p-2",
    "-0x1.d7c20e0000000p-6",
    "-0x1.0a8ffe0000000p-5",
    "-0x1.5a25ce0000000p-4",
    "0x1.7c6d440000000p-1",
    "-0x1.867eae0000000p-2",
    "-0x1.a195240000000p-3",
    "0x1.6b68380000000p-2",
]


def embed(text: str, embedder: HashingEmbedder = EMBEDDER) -> Vector:
    return embedder.embed([text], "document")[0]


def cosine(first: str, second: str) -> float:
    return sum(a * b for a, b in zip(embed(first), embed(second), strict=True))


def test_vectors_of_one_model_name_never_change() -> None:
    embedder = HashingEmbedder(dimension=8)

    assert embedder.model == "remembrancer-hashing-1.2/8"
    # Golden: if this fails, increment VERSION of the embedder or ANALYSIS_VERSION.
    assert [value.hex() for value in embed("Caroline lives in Zürich, 北京", embedder)] == GOLDEN


def test_vector_does_not_depend_on_process_or_hash_seed() -> None:
    program = (
        "from remembrancer.adapters.models.hashing import HashingEmbedder as E;"
        "print(E(32).embed(['a dog bites a man'], 'query')[0].tobytes().hex())"
    )
    printed = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        for seed in ("1", "2")
    }

    assert printed == {embed("a dog bites a man", HashingEmbedder(32)).tobytes().hex()}


def test_documents_and_queries_get_the_same_vectors() -> None:
    assert EMBEDDER.embed(["tea"], "document") == EMBEDDER.embed(["tea"], "query")


def test_no_texts_give_no_vectors() -> None:
    assert EMBEDDER.embed([], "query") == []


def test_vectors_are_returned_in_the_order_of_the_texts() -> None:
    assert EMBEDDER.embed(["tea", "milk"], "query") == [embed("tea"), embed("milk")]


def test_text_without_words_gets_the_zero_vector() -> None:
    assert embed("!?") == array("f", [0.0] * EMBEDDER.dimension)


@pytest.mark.parametrize(
    ("near", "far"),
    [
        ("She moved to Zurich", "The recipe needs two eggs"),
        ("She is mooving to Zürich", "She is going to bed"),
        ("Zurich, moving there", "What is she to you"),
    ],
)
def test_shared_words_and_parts_of_words_raise_the_cosine(near: str, far: str) -> None:
    text = "She is moving to Zurich"

    assert cosine(text, near) > cosine(text, far) + 0.2


@pytest.mark.parametrize(
    ("first", "second"),
    [("dog bites man", "man bites dog"), ("I like tea", "I do not like tea")],
)
def test_word_order_and_negation_lower_the_cosine(first: str, second: str) -> None:
    assert cosine(first, second) < 0.95


def test_shared_function_words_alone_give_a_low_cosine() -> None:
    assert (
        cosine("What was it that she had in the car?", "What was it that he had on the hill?") < 0.6
    )


@pytest.mark.parametrize("dimension", [7, 0, -1, 65_537])
def test_dimension_out_of_range_is_refused(dimension: int) -> None:
    with pytest.raises(InvalidRequest, match=r"embedder\.dimension: expected 8 to 65536"):
        HashingEmbedder(dimension)


@given(st.text(), st.integers(min_value=8, max_value=300))
def test_every_vector_is_finite_and_of_length_one_or_zero(text: str, dimension: int) -> None:
    vector = embed(text, HashingEmbedder(dimension))

    assert len(vector) == dimension
    assert all(isfinite(value) for value in vector)
    length = sqrt(sum(value * value for value in vector))
    assert length == 0 or abs(length - 1) < 1e-5
