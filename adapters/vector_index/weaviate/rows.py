"""Convert documents to Weaviate objects: the properties of ``remote.rows``, and Weaviate's own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import frexp
from typing import Any
from uuid import UUID, uuid5

import numpy as np
import numpy.typing as npt

from remembrancer.adapters.vector_index.remote.rows import FIELDS
from remembrancer.adapters.vector_index.remote.rows import properties as served
from remembrancer.adapters.vector_index.remote.tokens import object_id, token
from remembrancer.domain.ports.vector_index import Document
from remembrancer.domain.scope import LedgerId

_LEDGERS = UUID("0b0d6d5e-3f0c-5a8e-8a52-6d2f6f1f4c11")

_SAFE = 32
"""Maximum absolute exponent (base 2) of the largest component: the sum of squares, for any
dimension, stays far inside the range of float32."""


def ledger_id(ledger: LedgerId) -> UUID:
    """Return the id of the object with the generation of a ledger."""
    return uuid5(_LEDGERS, token(ledger))


def properties(document: Document, scale: int) -> dict[str, Any]:
    """Return the properties of a document's object; absent values are left out.

    Args:
        document: the document.
        scale: the exponent that ``scaled`` returned for its vector.
    """
    held = served(document)
    return {
        **held,
        # The server splits at white space; terms contain none.
        **{field: " ".join(held[field]) for field in FIELDS},
        "place": object_id(document.key).int >> 96,
        "owner": document.scope.ledger,
        "scale": scale,
    }


def with_terms(found: Mapping[str, str]) -> dict[str, Any]:
    """Return properties of an object with terms as lists, as ``row_of`` expects."""
    return {name: value.split() if name in FIELDS else value for name, value in found.items()}


def cosines(vectors: Sequence[bytes], asked: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """Return the cosines of vectors with ``asked``; 0 for zero vectors.

    Args:
        vectors: as returned by the server: float32, little-endian.
        asked: query vector, after ``scaled``.
    """
    held = np.frombuffer(b"".join(vectors), dtype="<f4").reshape(len(vectors), -1)
    wide, wanted = held.astype(np.float64), asked.astype(np.float64)
    lengths = np.sqrt(np.einsum("ij,ij->i", wide, wide) * (wanted @ wanted))
    found = np.zeros(len(vectors))
    np.divide(wide @ wanted, lengths, out=found, where=lengths > 0)
    return found


def scaled(vector: npt.NDArray[np.float32]) -> tuple[npt.NDArray[np.float32], int]:
    """Scale a vector so that the server can compute its norm in float32.

    Returns the vector and the exponent of the power of two by which it was divided: 0 unless it is
    extremely long or short. The server (seen with 1.39.0) treats a vector with components of 1e30
    or 1e-30 like a zero vector.
    """
    largest = float(np.abs(vector).max())
    exponent = frexp(largest)[1]
    if not largest or abs(exponent) <= _SAFE:
        return vector, 0
    return np.ldexp(vector, -exponent).astype(np.float32), exponent


def unscaled(vector: Sequence[float], scale: int) -> npt.NDArray[np.float32]:
    """Undo ``scaled``."""
    return np.ldexp(np.asarray(vector, dtype=np.float32), scale).astype(np.float32)
