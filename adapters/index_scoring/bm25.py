"""BM25: the keyword score of every index, so that all indexes return the same scores.

Okapi BM25 (Robertson and Zaragoza, "The Probabilistic Relevance Framework: BM25 and Beyond",
2009), with the inverse document frequency of Lucene, which is never negative. Document
frequencies are counted per ledger: a term can be rare in one owner's memory and common in
another's.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import log
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Amount = TypeVar("Amount", float, npt.NDArray[np.float64])

K1 = 1.2
"""Term frequency saturation; the usual value."""

B = 0.75
"""Length normalisation; the usual value."""

MAX_FREQUENCY = 255
"""Repetitions of a term in one text that are counted; fits in a byte."""


def rarity(documents: int, holders: int) -> float:
    """Return the inverse document frequency (IDF) of a term.

    Args:
        documents: number of documents in the ledger, all versions.
        holders: number of them that have the term in the field.
    """
    return log(1 + (documents - holders + 0.5) / (holders + 0.5))


def weight(frequency: Amount, length: Amount, average: float) -> Amount:
    """Return the BM25 weight of a term in a text, without its IDF: 1 for one occurrence in a text
    of average length, at most ``K1 + 1``.

    Args:
        frequency: occurrences of the term in the text, at most ``MAX_FREQUENCY``.
        length: number of terms in the text, repetitions included.
        average: mean length of that field in the ledger, in terms.
    """
    return frequency * (K1 + 1) / (frequency + K1 * (1 - B + B / average * length))


def reach(documents: int, holders: Iterable[int]) -> float:
    """Return the score of a text of average length that has every query term once.

    Scores are divided by it so that they compare between queries. A term in no document counts
    like a term in one document: an unknown term lowers the normalised score and nothing else.

    Args:
        documents: number of documents in the ledger, all versions.
        holders: for every query term, the number of documents that have it.
    """
    return sum(rarity(documents, max(1, count)) for count in holders)
