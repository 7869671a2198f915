"""Check the output of an embedding model and normalise it to length 1."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import Any

import numpy as np

from remembrancer.domain.errors import ModelError
from remembrancer.domain.ports.embedder import Vector, check_dimension


def unit_vectors(rows: Sequence[Any], count: int, dimension: int, model: str) -> list[Vector]:
    """Return vectors of length 1, as in the port ``Embedder``; zero vectors stay zero.

    Args:
        rows: one sequence of ``dimension`` numbers per text.
        count: the number of texts.
        dimension: the required number of components.
        model: the name of the model in errors.

    Raises:
        SettingsError: vectors of another dimension.
        ModelError: wrong count, values that are not numbers or not finite.
    """
    if len(rows) != count:
        raise ModelError(f"{model}: returned {len(rows)} vectors for {count} texts")
    if count == 0:
        return []
    try:
        matrix = np.array(rows, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ModelError(f"{model}: returned vectors that are not numbers: {error}") from error
    if matrix.ndim != 2:
        raise ModelError(f"{model}: returned {matrix.ndim} levels of numbers, expected 2")
    check_dimension(model, dimension, rows)
    if not np.isfinite(matrix).all():
        raise ModelError(f"{model}: returned a vector that is not finite")
    # Scale first: squares of very large or very small components overflow or underflow.
    largest = np.abs(matrix).max(axis=1, keepdims=True)
    matrix /= np.where(largest > 0, largest, 1)
    lengths = np.sqrt((matrix * matrix).sum(axis=1, keepdims=True))
    matrix /= np.where(lengths > 0, lengths, 1)
    return [array("f", row.tobytes()) for row in matrix.astype(np.float32)]
