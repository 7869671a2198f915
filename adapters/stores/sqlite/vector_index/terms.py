"""Terms as 64-bit numbers, and a forward index: the terms of one document as bytes.

Numbers are hashes, so no dictionary is stored. In a ledger with a million terms, the probability
that two of them have the same number is 3e-8.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from functools import lru_cache
from hashlib import blake2b
from typing import Any

import numpy as np
import numpy.typing as npt

from remembrancer.adapters.index_scoring.bm25 import MAX_FREQUENCY

_TERM: np.dtype[Any] = np.dtype([("term", "<i8"), ("frequency", "u1")])
_NAME = np.dtype("<i8")


@lru_cache(maxsize=1 << 16)
def number_of(term: str) -> int:
    """The number of a term or a name: a signed 64-bit integer."""
    digest = blake2b(term.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "little", signed=True)


def encode_terms(terms: Sequence[str]) -> bytes:
    """The distinct terms of a text as an array of (number, frequency)."""
    counts = Counter(terms)
    encoded = np.empty(len(counts), _TERM)
    encoded["term"] = [number_of(term) for term in counts]
    encoded["frequency"] = [min(count, MAX_FREQUENCY) for count in counts.values()]
    return encoded.tobytes()


def encode_names(names: Iterable[str]) -> bytes:
    """Names (``normalised``) as an array of distinct numbers."""
    return np.array(sorted({number_of(name) for name in names}), _NAME).tobytes()


def decode_terms(
    encoded: Sequence[bytes],
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.uint8], npt.NDArray[np.int32]]:
    """The concatenated terms of several documents.

    Returns:
        For each entry the number of the term, its frequency, and the document's offset in
        ``encoded``.
    """
    entries = np.frombuffer(b"".join(encoded), _TERM)
    terms: npt.NDArray[np.int64] = np.ascontiguousarray(entries["term"])
    frequencies: npt.NDArray[np.uint8] = np.ascontiguousarray(entries["frequency"])
    return terms, frequencies, _owners(encoded, _TERM.itemsize)


def decode_names(encoded: Sequence[bytes]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int32]]:
    """The concatenated names of several documents.

    Returns:
        For each entry the number of the name, and the document's offset in ``encoded``.
    """
    return np.frombuffer(b"".join(encoded), _NAME), _owners(encoded, _NAME.itemsize)


def _owners(encoded: Sequence[bytes], size: int) -> npt.NDArray[np.int32]:
    counts = np.fromiter(map(len, encoded), np.int64, len(encoded)) // size
    return np.repeat(np.arange(len(encoded), dtype=np.int32), counts)
