"""Checks of vectors and queries that every index makes before it uses them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from remembrancer.domain.errors import InvalidRequest
from remembrancer.domain.ports.embedder import Vector
from remembrancer.domain.ports.vector_index import Document, IndexQuery


def components(vector: Vector, dimension: int | None, path: str) -> npt.NDArray[np.float32]:
    """Return a vector as an array of shape (dimension,).

    Args:
        vector: the vector to check.
        dimension: the expected number of components; ``None`` accepts any.
        path: the name of the vector in errors.

    Raises:
        InvalidRequest: the vector is empty, has another dimension, or a component is not finite.
    """
    with np.errstate(over="ignore"):
        array = np.asarray(vector, dtype=np.float32)
    if array.ndim != 1 or not array.size or dimension not in (None, array.size):
        raise InvalidRequest(
            path,
            f"has {array.size} components, the index expects {dimension or 'at least 1'}; "
            "use the embedder that the index was built with, or rebuild the index",
        )
    if not np.isfinite(array).all():
        place = int(np.flatnonzero(~np.isfinite(array))[0])
        raise InvalidRequest(
            f"{path}[{place}]", f"is {array[place]}; components must be finite numbers"
        )
    return array


def checked_vectors(
    documents: Sequence[Document], dimension: int | None
) -> list[npt.NDArray[np.float32] | None]:
    """Return the vectors of documents, all of one dimension; ``None`` for each missing vector.

    Raises:
        InvalidRequest: see ``components``.
    """
    vectors: list[npt.NDArray[np.float32] | None] = []
    for place, document in enumerate(documents):
        if document.vector is None:
            vectors.append(None)
            continue
        vector = components(document.vector, dimension, f"documents[{place}].vector")
        dimension = vector.size
        vectors.append(vector)
    return vectors


def check_query(query: IndexQuery) -> None:
    """Check that a query has a text or a vector, and a positive limit.

    Raises:
        InvalidRequest: neither text nor vector is given, or the limit is not positive.
    """
    if query.text is None and query.vector is None:
        raise InvalidRequest("query", "has no text and no vector; give a text, a vector or both")
    if query.limit < 1:
        raise InvalidRequest("limit", f"expected at least 1, got {query.limit}")
