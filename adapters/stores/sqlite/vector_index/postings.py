"""Posting lists of segments: document frequencies, and the best documents by BM25.

Scores computed here only choose candidates: they are single precision, and cap the length of texts
at ``LONGEST_LENGTH`` terms. ``block`` computes the scores that callers get.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping, Sequence
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from remembrancer.adapters.index_scoring import bm25
from remembrancer.adapters.stores.sqlite.vector_index.block import Numbers
from remembrancer.adapters.stores.sqlite.vector_index.loaded import (
    ROUNDING,
    Admit,
    Shelf,
    Slots,
    largest,
)
from remembrancer.adapters.stores.sqlite.vector_index.segments import TextField

Scores = npt.NDArray[np.float32]

_OF_TERMS = (
    "FROM json_each(?) AS segment CROSS JOIN json_each(?) AS term CROSS JOIN index_posting AS list "
    "ON list.segment = segment.value AND list.field = ? AND list.term = term.value"
)


def count_postings(
    connection: sqlite3.Connection, shelf: Shelf, field: TextField, terms: Sequence[int]
) -> list[int]:
    """The document frequency of each term in the segments."""
    rows = connection.execute(
        f"SELECT list.term, sum(list.count) {_OF_TERMS} GROUP BY list.term",
        (_ids(shelf), json.dumps(terms), int(field)),
    )
    counts = dict(rows.fetchall())
    return [counts.get(term, 0) for term in terms]


def best_by_terms(
    connection: sqlite3.Connection,
    shelf: Shelf,
    field: TextField,
    rarities: Mapping[int, float],
    average: float,
    wanted: int,
    admit: Admit | None,
) -> Numbers:
    """The numbers of the visible and admitted documents with the best BM25 scores.

    Args:
        connection: to read from.
        shelf: the segments, with the documents that the query may see.
        field: the text field.
        rarities: inverse document frequency by term.
        average: mean length of the field in the ledger, in terms.
        wanted: number of documents; a few more are returned if scores are equal.
        admit: the filter of the query, ``None`` if it has none.
    """
    if not rarities:
        return np.empty(0, np.int64)
    rows = connection.execute(
        f"SELECT segment.key, list.term, list.data {_OF_TERMS}",
        (_ids(shelf), json.dumps(list(rarities)), int(field)),
    )
    by_segment: dict[int, list[tuple[int, bytes]]] = {}
    for place, term, data in rows:
        by_segment.setdefault(place, []).append((term, data))
    table = _weights(average)
    best = _Best(shelf, wanted, admit)
    for place in sorted(by_segment):
        scores = np.zeros(len(shelf.segments[place]), np.float32)
        for term, data in by_segment[place]:
            halves = np.frombuffer(data, "<u2")
            # A document has one posting per term, so each offset is unique here.
            scores[halves[0::2].astype(np.intp)] += table.take(halves[1::2]) * rarities[term]
        best.add(place, scores)
    return best.numbers()


class _Best:
    """Collects the best documents, segment by segment."""

    def __init__(self, shelf: Shelf, wanted: int, admit: Admit | None) -> None:
        self._shelf = shelf
        self._wanted = wanted
        self._admit = admit
        self._slots: Slots = np.empty(0, np.intp)
        self._scores: Scores = np.empty(0, np.float32)
        self._least = np.float32(0)

    def add(self, place: int, scores: Scores) -> None:
        """Add the scores of all documents of one segment."""
        found = np.flatnonzero(scores > self._least)
        found = found[self._shelf.seen[place][found]]
        self._slots = np.concatenate([self._slots, found + self._shelf.starts[place]])
        self._scores = np.concatenate([self._scores, scores[found]])
        # With a filter it is not known yet how many of the best will pass.
        if self._admit is None and self._slots.size > 2 * self._wanted:
            kept = largest(self._scores, self._wanted)
            self._slots, self._scores = self._slots[kept], self._scores[kept]
            self._least = self._scores.min() * np.float32(1 - ROUNDING)

    def numbers(self) -> Numbers:
        """The numbers of the best documents."""
        return self._shelf.best(self._slots, self._scores, self._wanted, self._admit)


def _ids(shelf: Shelf) -> str:
    return json.dumps([segment.row.id for segment in shelf.segments])


@lru_cache(maxsize=16)
def _weights(average: float) -> npt.NDArray[np.float32]:
    """BM25 weights by the high 16 bits of a posting: length and frequency."""
    high = np.arange(1 << 16)
    frequencies, lengths = (high & 0xFF).astype(np.float64), (high >> 8).astype(np.float64)
    # Frequency and length are at least 1 in a real posting; 0 only fills the table.
    return bm25.weight(np.maximum(frequencies, 1.0), np.maximum(lengths, 1.0), average).astype(
        np.float32
    )
