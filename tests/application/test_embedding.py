"""The embedding cache: each vector is computed once and validated."""

from __future__ import annotations

import asyncio
from array import array
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest
from attrs import define, field

from remembrancer.application.embedding import RECENT, Embedding
from remembrancer.domain.errors import ModelError, SettingsError
from remembrancer.domain.ports.embedder import Purpose, Vector


@define
class Counting:
    """An embedder that records its calls."""

    local: bool = False
    answer: Callable[[list[Vector]], Any] = list
    asked: list[tuple[str, Purpose]] = field(factory=list)
    model: str = "counting-1"
    dimension: int = 2

    async def embed(self, texts: Sequence[str], purpose: Purpose) -> list[Vector]:
        self.asked.extend((text, purpose) for text in texts)
        vectors: list[Vector] = [array("f", [len(text), 1.0]) for text in texts]
        answered: list[Vector] = self.answer(vectors)
        return answered


@define
class Kept:
    """A persistent cache with some vectors."""

    vectors: dict[str, Vector] = field(factory=dict)

    async def vectors_for(self, texts: Sequence[str]) -> Mapping[str, Vector]:
        return {text: self.vectors[text] for text in texts if text in self.vectors}


def test_text_is_embedded_once() -> None:
    embedder = Counting()
    embedding = Embedding(embedder, Kept())

    async def use() -> None:
        first = await embedding.documents(["a", "bb", "a"])
        again = await embedding.documents(["bb", "a", "ccc"])
        assert first == {"a": array("f", [1, 1]), "bb": array("f", [2, 1])}
        assert again == {**first, "ccc": array("f", [3, 1])}
        await embedding.query("q")
        await embedding.query("q")

    asyncio.run(use())
    assert embedder.asked == [
        ("a", "document"),
        ("bb", "document"),
        ("ccc", "document"),
        ("q", "query"),
    ]


def test_query_and_document_vectors_are_cached_separately() -> None:
    embedder = Counting()
    embedding = Embedding(embedder, Kept())

    async def use() -> None:
        await embedding.query("a")
        assert embedding.recent(["a"]) == {}
        await embedding.documents(["a"])

    asyncio.run(use())
    assert embedder.asked == [("a", "query"), ("a", "document")]
    assert set(embedding.recent(["a", "b"])) == {"a"}


def test_text_in_the_persistent_cache_is_not_embedded() -> None:
    embedder = Counting()
    embedding = Embedding(embedder, Kept({"a": array("f", [9, 9])}))
    found = asyncio.run(embedding.documents(["a", "bb"]))
    assert found["a"] == array("f", [9, 9])
    assert embedder.asked == [("bb", "document")]
    assert set(embedding.recent(["a", "bb"])) == {"a", "bb"}


def test_local_embedder_skips_the_persistent_cache() -> None:
    embedder = Counting(local=True)
    embedding = Embedding(embedder, Kept({"a": array("f", [9, 9])}))
    assert asyncio.run(embedding.documents(["a"]))["a"] == array("f", [1, 1])


def test_cache_keeps_only_the_most_recent_vectors() -> None:
    embedding = Embedding(Counting(), Kept())
    texts = [str(number) for number in range(RECENT + 5)]
    asyncio.run(embedding.documents(texts))
    assert set(embedding.recent(texts)) == set(texts[5:])


def test_empty_list_of_texts_calls_no_embedder() -> None:
    embedder = Counting()
    assert asyncio.run(Embedding(embedder, Kept()).documents([])) == {}
    assert embedder.asked == []


ANSWERS: dict[str, tuple[Callable[[list[Vector]], Any], str]] = {
    "too few": (lambda vectors: vectors[:1], "counting-1 returned 1 vectors for 2 texts"),
    "too many": (lambda vectors: vectors * 2, "counting-1 returned 4 vectors for 2 texts"),
    "none": (lambda _vectors: [], "counting-1 returned 0 vectors for 2 texts"),
    "one short": (
        lambda vectors: [vectors[0], *(vector[:1] for vector in vectors[1:])],
        "counting-1 returned vectors of 1 and 2 components, expected 2",
    ),
    "empty": (
        lambda vectors: [vector[:0] for vector in vectors],
        "counting-1 returned vectors of 0 components, expected 2",
    ),
    "not a number": (
        lambda vectors: [array("f", [float("nan"), 1]) for _ in vectors],
        "counting-1 returned a vector that is not finite",
    ),
    "both infinities": (
        lambda vectors: [array("f", [float("inf"), float("-inf")]) for _ in vectors],
        "counting-1 returned a vector that is not finite",
    ),
}


@pytest.mark.parametrize(("answer", "problem"), ANSWERS.values(), ids=ANSWERS.keys())
def test_invalid_vectors_are_refused_and_not_cached(
    answer: Callable[[list[Vector]], Any], problem: str
) -> None:
    # Given a model with an invalid answer
    embedder = Counting(answer=answer)
    embedding = Embedding(embedder, Kept())
    with pytest.raises(ModelError) as refused:
        asyncio.run(embedding.documents(["a", "bb"]))
    assert str(refused.value) == problem
    # When it answers correctly again
    embedder.answer = list
    # Then no invalid vector is cached
    assert embedding.recent(["a", "bb"]) == {}
    assert len(asyncio.run(embedding.documents(["a", "bb"]))) == 2


def test_vectors_of_another_dimension_are_a_mistake_in_the_settings() -> None:
    embedder = Counting(answer=lambda vectors: [vector[:1] for vector in vectors])
    with pytest.raises(SettingsError) as refused:
        asyncio.run(Embedding(embedder, Kept()).documents(["a", "bb"]))
    assert str(refused.value) == (
        "embedder.dimension: expected vectors of 2 components, counting-1 returned 1; set it to "
        "the dimension of the model, or choose the model that it belongs to"
    )


def test_large_finite_components_are_accepted() -> None:
    embedder = Counting(answer=lambda vectors: [array("f", [3e38, 3e38]) for _ in vectors])
    assert asyncio.run(Embedding(embedder, Kept()).query("a")) == array("f", [3e38, 3e38])
