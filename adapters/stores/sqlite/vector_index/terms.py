"""Terms as 64-bit numbers, and a forward index: the terms of one document as bytes.

Numbers are hashes, so no dictionary is stored. In a ledger with a million terms, the probability
that two of them have the same number is 3e-8.
"""

from __future__ import annotations

from array import array
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
_PLACE = np.dtype(np.uintc)


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


class EncodedBatch:
    """``EncodedTerms`` of many texts at once: numpy takes as long for one text as for ten.

    Each distinct word is analysed once, and each distinct line is put together once.
    """

    def __init__(self) -> None:
        self._numbers: dict[int, int] = {}
        """The numbers of the terms so far, and the place of each among them."""
        self._words: dict[str, bytes] = {}
        self._lines: dict[str, bytes] = {}

    def __call__(self, texts: Iterable[str]) -> dict[str, tuple[int, bytes]]:
        """The terms of texts, by text."""
        each = list(dict.fromkeys(texts))
        if not each:
            return {}
        known, line_of = self._lines, self._line
        parts = [
            b"".join([known[line] if line in known else line_of(line) for line in text.split("\n")])
            for text in each
        ]
        lengths = np.fromiter(map(len, parts), np.int64, len(parts)) // _PLACE.itemsize
        # Sorting small whole numbers is far faster than sorting terms: so each term is replaced by
        # its rank among all terms, and put behind the place of its text.
        numbers = np.fromiter(self._numbers, np.int64, len(self._numbers))
        order = np.argsort(numbers)
        ranks = np.empty(numbers.size, np.int64)
        ranks[order] = np.arange(numbers.size)
        owners = np.repeat(np.arange(len(each)) * numbers.size, lengths)
        keys = owners + ranks[np.frombuffer(b"".join(parts), _PLACE)]
        keys.sort()
        starts = np.flatnonzero(np.diff(keys, prepend=-1))
        owners, ranks = np.divmod(keys[starts], max(numbers.size, 1))
        encoded = np.empty(starts.size, _TERM)
        encoded["term"] = numbers[order[ranks]]
        frequencies = np.diff(starts, append=keys.size)
        encoded["frequency"] = np.minimum(frequencies, MAX_FREQUENCY)
        ends = np.cumsum(np.bincount(owners, minlength=len(each))) * _TERM.itemsize
        data, begin = encoded.tobytes(), 0
        found: dict[str, tuple[int, bytes]] = {}
        for text, length, end in zip(each, lengths.tolist(), ends.tolist(), strict=True):
            found[text] = (length, data[begin:end])
            begin = end
        return found

    def _line(self, line: str) -> bytes:
        known, word_of = self._words, self._word
        found = self._lines[line] = b"".join(
            [known[word] if word in known else word_of(word) for word in line.split()]
        )
        return found

    def _word(self, word: str) -> bytes:
        numbers = self._numbers
        found = self._words[word] = array(
            "I", [numbers.setdefault(number_of(term), len(numbers)) for term in analyse(word)]
        ).tobytes()
        return found


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
