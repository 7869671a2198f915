"""Terms as 64-bit numbers, and a forward index: the terms of one document as bytes.

Numbers are hashes, so no dictionary is stored. In a ledger with a million terms, the probability
that two of them have the same number is 3e-8.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from functools import lru_cache
from hashlib import blake2b
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from remembrancer.adapters.index_scoring.bm25 import MAX_FREQUENCY
from remembrancer.adapters.index_scoring.line_analysis import LineAnalysis
from remembrancer.domain.recall.analysis import analyse

_TERM: np.dtype[Any] = np.dtype([("term", "<i8"), ("frequency", "u1")])
_NAME = np.dtype("<i8")


@lru_cache(maxsize=1 << 16)
def number_of(term: str) -> int:
    """The number of a term or a name: a signed 64-bit integer."""
    digest = blake2b(term.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "little", signed=True)


_Counted: TypeAlias = tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]
"""Numbers of terms, and how often each occurs."""

EncodedTerms: TypeAlias = LineAnalysis[_Counted, tuple[int, bytes]]
"""The number of terms of a text, and its distinct terms as an array of (number, frequency)."""


def encoded_terms() -> EncodedTerms:
    """An empty ``EncodedTerms``."""
    return LineAnalysis(_counted, _encoded)


def _counted(line: str) -> _Counted:
    counts = Counter(analyse(line))
    numbers = np.fromiter(map(number_of, counts), np.int64, len(counts))
    return numbers, np.fromiter(counts.values(), np.int64, len(counts))


def _encoded(lines: Sequence[_Counted]) -> tuple[int, bytes]:
    numbers, places = np.unique(
        np.concatenate([numbers for numbers, _ in lines]), return_inverse=True
    )
    frequencies = np.bincount(places, np.concatenate([counts for _, counts in lines]), len(numbers))
    encoded = np.empty(len(numbers), _TERM)
    encoded["term"] = numbers
    encoded["frequency"] = np.minimum(frequencies, MAX_FREQUENCY)
    return int(frequencies.sum()), encoded.tobytes()


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
