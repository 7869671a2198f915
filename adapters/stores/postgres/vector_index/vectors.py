"""Lossless encoding of vectors for PostgreSQL.

A vector is divided by a power of two, so that its length is in [0.5, 1) and no square overflows in
pgvector's single precision. Division by a power of two is exact.
"""

from __future__ import annotations

import math
from array import array
from hashlib import blake2b

import msgspec
import numpy as np
import numpy.typing as npt
from attrs import frozen

from remembrancer.domain.ports.embedder import Vector

Components = npt.NDArray[np.float32]


def digest_of(text: str) -> bytes:
    """Key of a text's vector, 16 bytes."""
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()


@frozen(eq=False)
class Scaled:
    """A vector as it is stored: the original is ``components * 2 ** exponent``.

    ``length`` is that of ``components``, in [0.5, 1); 1 for the zero vector, to avoid division by
    zero.
    """

    components: Components
    exponent: int
    length: float

    @classmethod
    def of(cls, vector: Components) -> Scaled:
        """Scale a vector of finite components."""
        wide = vector.astype(np.float64)
        length, exponent = math.frexp(math.sqrt(float(np.dot(wide, wide))))
        return cls(
            np.ldexp(wide, -exponent).astype(np.float32), exponent, length if length else 1.0
        )


def restored(components: Components, exponent: int) -> Vector:
    """Reverse ``Scaled.of``."""
    return array("f", np.ldexp(components.astype(np.float64), exponent).astype(np.float32))


def unit(vector: Components) -> Components:
    """Normalise to length 1; the zero vector stays zero."""
    wide = vector.astype(np.float64)
    length = math.sqrt(float(np.dot(wide, wide)))
    return (wide / length if length else wide).astype(np.float32)


def to_text(vector: Components) -> str:
    """Text form of a vector for pgvector, exact."""
    return msgspec.json.encode(vector.tolist()).decode()


def from_text(text: str) -> Components:
    """Parse pgvector's text form."""
    return np.array(msgspec.json.decode(text), np.float32)


def to_hex(vector: Components) -> str:
    """Hex form of a vector for ``bytea``, without pgvector."""
    return vector.astype("<f4", copy=False).tobytes().hex()


def from_bytes(data: bytes) -> Components:
    """Read a vector from ``bytea``, without pgvector."""
    return np.frombuffer(data, "<f4")
