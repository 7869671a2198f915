"""Documents as objects of the server: what all servers hold, and what this one needs besides."""

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
"""Powers of two that the largest component may be away from 1: its square, summed over any
dimension, stays far inside of what a single holds."""


def ledger_id(ledger: LedgerId) -> UUID:
    """The id of the object that tells how far a ledger has come."""
    return uuid5(_LEDGERS, token(ledger))


def properties(document: Document, scale: int) -> dict[str, Any]:
    """The properties of the object for a document; what is absent is left out.

    Args:
        document: what to hold.
        scale: as ``scaled`` gave it for its vector.
    """
    held = served(document)
    return {
        **held,
        # The server cuts at white space, which no term has.
        **{field: " ".join(held[field]) for field in FIELDS},
        "place": object_id(document.key).int >> 96,
        "owner": document.scope.ledger,
        "scale": scale,
    }


def with_terms(found: Mapping[str, str]) -> dict[str, Any]:
    """Properties of an object with the terms as ``row_of`` takes them."""
    return {name: value.split() if name in FIELDS else value for name, value in found.items()}


def cosines(vectors: Sequence[bytes], asked: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """How similar vectors are to ``asked``, 0 where one has no length.

    Args:
        vectors: as the server gives them: single precision, little-endian.
        asked: scaled, like what is held.
    """
    held = np.frombuffer(b"".join(vectors), dtype="<f4").reshape(len(vectors), -1)
    wide, wanted = held.astype(np.float64), asked.astype(np.float64)
    lengths = np.sqrt(np.einsum("ij,ij->i", wide, wide) * (wanted @ wanted))
    found = np.zeros(len(vectors))
    np.divide(wide @ wanted, lengths, out=found, where=lengths > 0)
    return found


def scaled(vector: npt.NDArray[np.float32]) -> tuple[npt.NDArray[np.float32], int]:
    """A vector that the server can take the length of in single precision, and the power of two
    by which it was divided: 0 for all that is not astronomically long or short.

    Seen with 1.39.0: a vector with components of 1e30 or 1e-30 is as far from everything as a
    zero vector is.
    """
    largest = float(np.abs(vector).max())
    exponent = frexp(largest)[1]
    if not largest or abs(exponent) <= _SAFE:
        return vector, 0
    return np.ldexp(vector, -exponent).astype(np.float32), exponent


def unscaled(vector: Sequence[float], scale: int) -> npt.NDArray[np.float32]:
    """The vector that ``scaled`` made this of."""
    return np.ldexp(np.asarray(vector, dtype=np.float32), scale).astype(np.float32)
