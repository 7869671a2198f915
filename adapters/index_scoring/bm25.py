"""The keyword score that every index here computes, so that their scores agree.

Okapi BM25 (Robertson and Zaragoza, "The Probabilistic Relevance Framework: BM25 and Beyond",
2009), with the inverse document frequency of Lucene, which is never negative. Frequencies are
those of the ledger: what is rare in one owner's memory may be common in another's.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import log
from typing import TYPE_CHECKING, TypeVar

from remembrancer.adapters.index_scoring.analysis import analyse

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Amount = TypeVar("Amount", float, npt.NDArray[np.float64])

K1 = 1.2
"""How soon repetitions stop counting; the usual value."""

B = 0.75
"""How much a long text has to say more to score the same; the usual value."""

MAX_QUERY_TERMS = 128
"""Distinct terms of a query that are looked up, the first ones; a pasted page is no question."""

MAX_FREQUENCY = 255
"""Repetitions of a term in one text that are counted: what fits in a byte."""


def query_terms(text: str) -> list[str]:
    """The distinct terms of a query, in order, at most ``MAX_QUERY_TERMS``."""
    return list(dict.fromkeys(analyse(text)))[:MAX_QUERY_TERMS]


def rarity(documents: int, holders: int) -> float:
    """The inverse document frequency of a term.

    Args:
        documents: how many the ledger has, all versions.
        holders: how many of them have the term in the field.
    """
    return log(1 + (documents - holders + 0.5) / (holders + 0.5))


def weight(frequency: Amount, length: Amount, average: float) -> Amount:
    """What a term adds to the score of a text, before its rarity: 1 if it comes once in a text of
    average length, at most ``K1 + 1``.

    Args:
        frequency: how often the term comes in the text, at most ``MAX_FREQUENCY``.
        length: the terms of the text, repetitions included.
        average: the mean length of that field in the ledger.
    """
    return frequency * (K1 + 1) / (frequency + K1 * (1 - B + B / average * length))


def reach(documents: int, holders: Iterable[int]) -> float:
    """The score of a text of average length that has every term of the query once.

    Scores are divided by it to compare between queries. A term that no document has counts like
    one that a single document has: asking for the unknown lowers what can be reached, not more.

    Args:
        documents: as for ``rarity``.
        holders: for every term of the query.
    """
    return sum(rarity(documents, max(1, count)) for count in holders)
