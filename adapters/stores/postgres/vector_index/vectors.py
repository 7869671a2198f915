"""Vectors on their way into PostgreSQL and back, bit by bit the same.

A vector is stored divided by a power of two, so that its length is between a half and one and no
square of a component overflows in the single precision that pgvector computes in. Dividing by a
power of two changes no digit. It compares nothing; ``statements`` and ``similarities`` do.
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
    """What the vector of a text is looked up by, 16 bytes."""
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()


@frozen(eq=False)
class Scaled:
    """A vector as it is stored.

    ``length`` is that of ``components``, in [0.5, 1), and 1 for the zero vector, by which one can
    divide. The vector itself is ``components * 2 ** exponent``.
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
    """The vector that was scaled."""
    return array("f", np.ldexp(components.astype(np.float64), exponent).astype(np.float32))


def unit(vector: Components) -> Components:
    """A vector of length 1; the zero vector stays what it is."""
    wide = vector.astype(np.float64)
    length = math.sqrt(float(np.dot(wide, wide)))
    return (wide / length if length else wide).astype(np.float32)


def to_text(vector: Components) -> str:
    """The form in which pgvector reads a vector, exactly."""
    return msgspec.json.encode(vector.tolist()).decode()


def from_text(text: str) -> Components:
    """What pgvector printed."""
    return np.array(msgspec.json.decode(text), np.float32)


def to_hex(vector: Components) -> str:
    """The form in which vectors are sent where there is no pgvector."""
    return vector.astype("<f4", copy=False).tobytes().hex()


def from_bytes(data: bytes) -> Components:
    """What was stored without pgvector."""
    return np.frombuffer(data, "<f4")
