"""The contract of ``Embedder``."""

from __future__ import annotations

import threading
from math import fsum, isclose, isfinite, sqrt
from typing import Any

import pytest

from remembrancer.testing.driving import Driven

TEXTS = [
    "Caroline lives in Zürich.",
    "カロリンはチューリッヒに住んでいます",
    "她住在苏黎世",
    "🏔 only an emoji and a few words",
    "a",
    "word " * 2000,
]


class EmbedderContract:
    """Inherit and implement ``make_embedder``."""

    def make_embedder(self) -> Any:
        """The embedder under test. Two calls must return embedders with equal vectors."""
        raise NotImplementedError

    @pytest.fixture
    def embedder(self) -> Any:
        """The embedder, its methods as plain calls."""
        return Driven(self.make_embedder())

    def test_embedder_names_its_model_and_dimension(self, embedder: Any) -> None:
        assert embedder.model.strip()
        assert embedder.dimension >= 1
        assert embedder.local in (True, False)

    @pytest.mark.parametrize("purpose", ["document", "query"])
    def test_every_text_gets_a_finite_vector_of_length_one(
        self, embedder: Any, purpose: str
    ) -> None:
        vectors = embedder.embed(TEXTS, purpose)
        assert len(vectors) == len(TEXTS)
        for vector in vectors:
            assert vector.typecode == "f"
            assert len(vector) == embedder.dimension
            assert all(isfinite(component) for component in vector)
            assert isclose(sqrt(fsum(x * x for x in vector)), 1.0, abs_tol=1e-4)

    def test_no_texts_give_no_vectors(self, embedder: Any) -> None:
        assert list(embedder.embed([], "document")) == []

    def test_a_text_without_content_gets_a_finite_vector(self, embedder: Any) -> None:
        (vector,) = embedder.embed(["…"], "document")
        assert len(vector) == embedder.dimension
        assert all(isfinite(component) for component in vector)

    def test_vector_does_not_depend_on_the_other_texts(self, embedder: Any) -> None:
        (alone,) = embedder.embed([TEXTS[0]], "document")
        together = embedder.embed(TEXTS, "document")[0]
        assert all(isclose(a, b, abs_tol=1e-5) for a, b in zip(alone, together, strict=True))

    def test_two_embedders_of_one_model_give_equal_vectors(self, embedder: Any) -> None:
        other = Driven(self.make_embedder())
        assert other.model == embedder.model
        for one, two in zip(
            embedder.embed(TEXTS, "document"), other.embed(TEXTS, "document"), strict=True
        ):
            assert all(isclose(a, b, abs_tol=1e-5) for a, b in zip(one, two, strict=True))

    def test_query_is_nearer_to_a_matching_text_than_to_another(self, embedder: Any) -> None:
        (query,) = embedder.embed(["Where does Caroline live? Zürich"], "query")
        near, far = embedder.embed(
            ["Caroline lives in Zürich.", "The stock market fell sharply."], "document"
        )

        def cosine(vector: Any) -> float:
            return fsum(a * b for a, b in zip(query, vector, strict=True))

        assert cosine(near) > cosine(far)

    def test_threads_can_share_one_embedder(self, embedder: Any) -> None:
        expected = embedder.embed(TEXTS, "document")
        results: list[Any] = []
        threads = [
            threading.Thread(target=lambda: results.append(embedder.embed(TEXTS, "document")))
            for _ in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(results) == 4
        assert all(result == expected for result in results)
