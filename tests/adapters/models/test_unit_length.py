"""Vectors of embedding models are checked and normalised to length 1."""

from __future__ import annotations

from math import fsum, isclose, sqrt
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remembrancer.adapters.models.unit_length import unit_vectors
from remembrancer.domain.errors import ModelError, SettingsError

numbers = st.floats(allow_nan=False, allow_infinity=False)


@given(st.lists(st.lists(numbers, min_size=3, max_size=3), max_size=4))
def test_every_vector_has_length_one_or_is_zero(rows: list[list[float]]) -> None:
    for row, vector in zip(rows, unit_vectors(rows, len(rows), 3, "m"), strict=True):
        length = sqrt(fsum(x * x for x in vector))
        assert isclose(length, 1.0, abs_tol=1e-6) if any(row) else length == 0


@pytest.mark.parametrize(
    ("rows", "problem"),
    [
        ([[1.0, 2.0]], "1 vectors for 2 texts"),
        ([[1.0, 2.0], [3.0]], "vectors that are not numbers"),
        ([[1.0, "x"], [1.0, 2.0]], "vectors that are not numbers"),
        ([[1.0, None], [1.0, 2.0]], "not finite"),
        ([[1.0, float("inf")], [1.0, 2.0]], "not finite"),
        ([1.0, 2.0], "1 levels of numbers, expected 2"),
        ([[], []], "vectors of 0 components, expected 2"),
        (["AAAA", "AAAA"], "vectors that are not numbers"),
    ],
)
def test_invalid_vectors_raise_model_error(rows: Any, problem: str) -> None:
    with pytest.raises(ModelError, match=problem):
        unit_vectors(rows, 2, 2, "m")


def test_another_dimension_is_a_mistake_in_the_settings() -> None:
    with pytest.raises(SettingsError, match=r"^embedder\.dimension: .* 2 components, m .* 1;"):
        unit_vectors([[1.0], [2.0]], 2, 2, "m")
