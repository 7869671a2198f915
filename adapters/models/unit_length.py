"""Checking what an embedding model returned, and bringing it to length 1."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import Any

import numpy as np

from remembrancer.domain.errors import ModelError
from remembrancer.domain.ports.embedder import Vector


def unit_vectors(rows: Sequence[Any], count: int, dimension: int, model: str) -> list[Vector]:
    """Vectors of length 1 (a zero vector stays what it is), as the port has them.

    Args:
        rows: one sequence of ``dimension`` numbers per text.
        count: how many were asked for.
        dimension: components that each must have.
        model: who computed them, for errors.

    Raises:
        ModelError: another count or dimension, something else than numbers, or not finite.
    """
    if len(rows) != count:
        raise ModelError(f"{model}: {len(rows)} vectors for {count} texts")
    if count == 0:
        return []
    try:
        matrix = np.array(rows, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ModelError(f"{model}: vectors that are no rows of numbers: {error}") from error
    if matrix.shape != (count, dimension):
        found = matrix.shape[1] if matrix.ndim == 2 else matrix.shape
        raise ModelError(
            f"{model}: vectors of {found} components where {dimension} are configured; "
            f"set embedder.dimension to what the model has"
        )
    if not np.isfinite(matrix).all():
        raise ModelError(f"{model}: a vector that is not finite")
    # Scaled first: the squares of very large and very small components leave the range of floats.
    largest = np.abs(matrix).max(axis=1, keepdims=True)
    matrix /= np.where(largest > 0, largest, 1)
    lengths = np.sqrt((matrix * matrix).sum(axis=1, keepdims=True))
    matrix /= np.where(lengths > 0, lengths, 1)
    return [array("f", row.tobytes()) for row in matrix.astype(np.float32)]
