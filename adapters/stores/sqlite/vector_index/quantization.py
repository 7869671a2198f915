"""Binary quantization: a vector becomes a code of 512 bits; similar vectors differ in few bits.

A million codes are scanned in milliseconds. Each bit is the side of a random hyperplane (SimHash:
Charikar, "Similarity Estimation Techniques from Rounding Algorithms", 2002). The hyperplanes come
from a fast random rotation (random signs and a Hadamard transform, twice; Ailon and Chazelle, "The
Fast Johnson-Lindenstrauss Transform", 2009). They pass through the centre of the ledger's vectors
instead of the origin: embeddings lie in a narrow cone, so hyperplanes through the origin would
separate few of them.
"""

from __future__ import annotations

from functools import lru_cache
from hashlib import shake_256

import numpy as np
import numpy.typing as npt
from attrs import frozen

from remembrancer.adapters.stores.sqlite.vector_index.embeddings import Vectors

CODE_BITS = 512
"""Bits of a code, for any dimension. On a million vectors shaped like sentence embeddings,
rescoring 1,000 has a recall@10 of 0.99 in 384 and in 1,024 dimensions; with 256 bits it is 0.91.
"""

CODE_BYTES = CODE_BITS // 8
HALF_WORDS = CODE_BITS // 64 // 2
"""64-bit words in half of a code; the first half is compared for every document."""

ROWS = 4_096
"""Vectors that are rotated at once, to limit memory."""

_SEED = b"remembrancer rotation 1"

Codes = npt.NDArray[np.uint64]


@frozen(eq=False)
class Rotation:
    """The random rotation for one dimension, the same in every process and release.

    Args:
        signs: random signs of the two rounds, shape (2, size); size is a power of two.
        left, right: Hadamard matrices whose Kronecker product has the shape (size, size).
        kept: indexes of the components that become bits, shape (CODE_BITS,).
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
            Shape (count, 8), little-endian.
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
            # Hadamard transform by a Kronecker product: two small products instead of a large one.
            grid = (turned * signs).reshape(-1, rows, columns) @ self.right
            turned = (self.left @ grid).reshape(-1, rows * columns)
        return turned[:, self.kept]


@lru_cache(maxsize=8)
def rotation_for(dimension: int) -> Rotation:
    """The rotation for vectors of a dimension."""
    size = max(CODE_BITS, 1 << (dimension - 1).bit_length())
    # Not a generator of numpy: its streams may change between releases.
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
