"""Vectors as 512 bits each, near vectors with few bits apart: what scans a million in milliseconds.

A bit is the side of a random hyperplane that a vector lies on, after Charikar, "Similarity
Estimation Techniques from Rounding Algorithms", 2002. The hyperplanes are those of a fast random
rotation (random signs and a Hadamard transform, twice; Ailon and Chazelle, "The Fast
Johnson-Lindenstrauss Transform", 2009), through the centre of the ledger instead of the origin:
embeddings crowd in a cone, and there the sides of the origin tell little.
"""

from __future__ import annotations

from functools import lru_cache
from hashlib import shake_256

import numpy as np
import numpy.typing as npt
from attrs import frozen

from remembrancer.adapters.stores.sqlite.vector_index.embeddings import Vectors

CODE_BITS = 512
"""Whatever the dimension: on a million vectors shaped like sentence embeddings, rescoring 1,000
finds 0.99 of the ten nearest in 384 and in 1,024 dimensions; 256 bits find 0.91.
"""

CODE_BYTES = CODE_BITS // 8
HALF_WORDS = CODE_BITS // 64 // 2
"""64-bit words of the half of a code that every document is compared by first."""

ROWS = 4_096
"""Vectors that are rotated at once, to bound memory."""

_SEED = b"remembrancer rotation 1"

Codes = npt.NDArray[np.uint64]


@frozen(eq=False)
class Rotation:
    """The random rotation for one dimension, the same in every process and release.

    Args:
        signs: of the two rounds, shape (2, size), with size a power of two.
        left, right: Hadamard matrices whose Kronecker product is that of the size.
        kept: the components that become bits, shape (CODE_BITS,).
    """

    signs: npt.NDArray[np.float32]
    left: npt.NDArray[np.float32]
    right: npt.NDArray[np.float32]
    kept: npt.NDArray[np.intp]

    def codes(self, vectors: Vectors, centre: npt.NDArray[np.float32]) -> Codes:
        """The codes of vectors.

        Args:
            vectors: shape (count, dimension).
            centre: shape (dimension,).

        Returns:
            Shape (count, 8), in the byte order of the machine that reads and writes them:
            little endian.
        """
        parts = [
            np.packbits(self.turned(vectors[start : start + ROWS] - centre) > 0, axis=1)
            for start in range(0, len(vectors), ROWS)
        ]
        packed = np.concatenate(parts) if parts else np.empty((0, CODE_BYTES), np.uint8)
        codes: Codes = np.ascontiguousarray(packed).view("<u8")
        return codes

    def turned(self, vectors: Vectors) -> Vectors:
        """The components whose signs are the bits, shape (count, CODE_BITS)."""
        turned = np.zeros((len(vectors), self.signs.shape[1]), np.float32)
        turned[:, : vectors.shape[1]] = vectors
        rows, columns = len(self.left), len(self.right)
        for signs in self.signs:
            # The transform of a Kronecker product: two small products instead of a large one.
            grid = (turned * signs).reshape(-1, rows, columns) @ self.right
            turned = (self.left @ grid).reshape(-1, rows * columns)
        return turned[:, self.kept]


@lru_cache(maxsize=8)
def rotation_for(dimension: int) -> Rotation:
    """The rotation for vectors of a dimension."""
    size = max(CODE_BITS, 1 << (dimension - 1).bit_length())
    # Not numpy's generators, whose streams may change between its releases.
    stream = shake_256(_SEED + str(dimension).encode()).digest(size // 4 + 8 * size)
    bits = np.unpackbits(np.frombuffer(stream, np.uint8, size // 4))
    order = np.argsort(np.frombuffer(stream, "<u8", size, size // 4), kind="stable")
    exponent = size.bit_length() - 1
    return Rotation(
        signs=(bits.astype(np.float32) * 2 - 1).reshape(2, size),
        left=_hadamard(exponent // 2),
        right=_hadamard(exponent - exponent // 2),
        kept=np.ascontiguousarray(order[:CODE_BITS]),
    )


def _hadamard(exponent: int) -> npt.NDArray[np.float32]:
    """The Hadamard matrix of size 2**exponent (Sylvester's construction)."""
    matrix = np.ones((1, 1), np.float32)
    for _ in range(exponent):
        matrix = np.block([[matrix, matrix], [matrix, -matrix]])
    return matrix
