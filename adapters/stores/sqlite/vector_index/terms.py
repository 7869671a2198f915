"""Terms as numbers, and the terms of one document as bytes: its own forward index.

Numbers are 64-bit hashes, so that no dictionary has to be read or written. Two terms of a ledger
with a million of them share a number with a probability of 3e-8.
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
    """The number of a term or a name, in the signed range that SQLite stores."""
    digest = blake2b(term.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "little", signed=True)


def encode_terms(terms: Sequence[str]) -> bytes:
    """The terms of a text, each with its frequency, as an array of numbers and frequencies."""
    counts = Counter(terms)
    encoded = np.empty(len(counts), _TERM)
    encoded["term"] = [number_of(term) for term in counts]
    encoded["frequency"] = [min(count, MAX_FREQUENCY) for count in counts.values()]
    return encoded.tobytes()


def encode_names(names: Iterable[str]) -> bytes:
    """Names, already folded, as an array of numbers without repetitions."""
    return np.array(sorted({number_of(name) for name in names}), _NAME).tobytes()


def decode_terms(
    encoded: Sequence[bytes],
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.uint8], npt.NDArray[np.int32]]:
    """The terms of several documents, one document after the other.

    Returns:
        For each entry the number of the term, its frequency, and the place of the document in
        ``encoded``.
    """
    entries = np.frombuffer(b"".join(encoded), _TERM)
    terms: npt.NDArray[np.int64] = np.ascontiguousarray(entries["term"])
    frequencies: npt.NDArray[np.uint8] = np.ascontiguousarray(entries["frequency"])
    return terms, frequencies, _owners(encoded, _TERM.itemsize)


def decode_names(encoded: Sequence[bytes]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int32]]:
    """The names of several documents, one document after the other.

    Returns:
        For each entry the number of the name, and the place of the document in ``encoded``.
    """
    return np.frombuffer(b"".join(encoded), _NAME), _owners(encoded, _NAME.itemsize)


def _owners(encoded: Sequence[bytes], size: int) -> npt.NDArray[np.int32]:
    counts = np.fromiter(map(len, encoded), np.int64, len(encoded)) // size
    return np.repeat(np.arange(len(encoded), dtype=np.int32), counts)
