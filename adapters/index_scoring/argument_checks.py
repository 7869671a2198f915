"""What no index takes: vectors that do not fit, queries that ask for nothing."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from remembrancer.domain.errors import InvalidRequest
from remembrancer.domain.ports.embedder import Vector
from remembrancer.domain.ports.vector_index import Document, IndexQuery


def components(vector: Vector, dimension: int | None, path: str) -> npt.NDArray[np.float32]:
    """A vector as an array of shape (dimension,).

    Args:
        vector: what came in.
        dimension: what is expected; ``None`` takes any.
        path: what errors call it.

    Raises:
        InvalidRequest: it has another dimension, none, or components that are not finite.
    """
    with np.errstate(over="ignore"):
        array = np.asarray(vector, dtype=np.float32)
    if array.ndim != 1 or not array.size or dimension not in (None, array.size):
        raise InvalidRequest(
            path,
            f"has {array.size} components, the index holds vectors of {dimension or 'at least 1'}; "
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
    """The vectors of documents, all of one dimension.

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
    """Refuse a query that can have no answer.

    Raises:
        InvalidRequest: neither text nor vector is given, or the limit is not positive.
    """
    if query.text is None and query.vector is None:
        raise InvalidRequest("query", "asks for nothing; give a text, a vector or both")
    if query.limit < 1:
        raise InvalidRequest("limit", f"is {query.limit}; ask for at least 1")
