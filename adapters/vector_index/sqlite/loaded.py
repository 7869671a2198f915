"""Segments in memory: finding the candidates of a query among a million documents.

What comes out is a superset, for the exact scoring of ``block``. About 110 bytes a document are
held; postings and vectors stay on disk.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
from attrs import evolve, frozen

from memledger.adapters.vector_index import bm25
from memledger.adapters.vector_index.sqlite.block import Mask, Numbers, Times
from memledger.adapters.vector_index.sqlite.codes import HALF_WORDS, Codes
from memledger.adapters.vector_index.sqlite.schema import first_of
from memledger.adapters.vector_index.sqlite.segments import (
    POSTING,
    TIME_PARTS,
    Part,
    Segment,
    TextField,
    part,
)

Element = TypeVar("Element", bound=np.generic)

SCANNED = 8_192
"""Codes that are compared at once, so that the work stays in the cache of the processor."""

SAMPLE = 16_384
"""Distances that are looked at to guess how near the nearest are."""

Slots = npt.NDArray[np.intp]
"""Places of documents in all segments of a ledger, one segment after the other."""

Admit = Callable[[Numbers], Mask]
"""Which documents a filter lets through, given their numbers."""


@frozen(eq=False)
class LoadedSegment:
    """See ``segments.Part`` for the arrays. ``sieve`` is shape (words, documents), ``refine``
    (documents, words).
    """

    row: Segment
    numbers: npt.NDArray[np.uint32]
    embedded: Mask
    all_embedded: bool
    embeddings: npt.NDArray[np.uint32]
    scopes: npt.NDArray[np.uint32]
    times: Times
    sieve: Codes
    refine: Codes

    def __len__(self) -> int:
        return len(self.numbers)

    @property
    def size(self) -> int:
        """Bytes in memory, roughly."""
        return 120 * len(self)


def load_segment(
    connection: sqlite3.Connection, row: Segment, model: int | None, before: LoadedSegment | None
) -> LoadedSegment:
    """Read a segment.

    Args:
        connection: to read from.
        row: which one.
        model: whose codes are of use.
        before: an earlier state of it; only what can have changed since is read.
    """
    if before is not None and before.row.revision == row.revision:
        return before
    times = Times(*(np.frombuffer(part(connection, row.id, kind), "<i8") for kind in TIME_PARTS))
    if before is not None:
        return evolve(before, row=row, times=times)

    def array(kind: Part, dtype: str) -> npt.NDArray[Any]:
        return np.frombuffer(part(connection, row.id, kind), dtype)

    embeddings = array(Part.EMBEDDINGS, "<u4").astype(np.uint32, copy=False)
    if row.model != model:
        embeddings = np.zeros_like(embeddings)
    embedded = embeddings != 0
    return LoadedSegment(
        row=row,
        numbers=array(Part.NUMBERS, "<u4").astype(np.uint32, copy=False),
        embedded=embedded,
        all_embedded=bool(embedded.all()),
        embeddings=embeddings,
        scopes=array(Part.SCOPES, "<u4").astype(np.uint32, copy=False),
        times=times,
        sieve=array(Part.SIEVE, "<u8").astype(np.uint64, copy=False).reshape(HALF_WORDS, -1),
        refine=array(Part.REFINE, "<u8").astype(np.uint64, copy=False).reshape(-1, HALF_WORDS),
    )


@frozen(eq=False)
class Shelf:
    """All segments of a ledger for one query.

    Args:
        segments: at least one.
        starts: the first slot of each.
        seen: which slots the query may see, by scope and times.
    """

    segments: Sequence[LoadedSegment]
    starts: npt.NDArray[np.int64]
    seen: Mask

    @classmethod
    def of(cls, segments: Sequence[LoadedSegment], see: Callable[[LoadedSegment], Mask]) -> Shelf:
        """The segments, with what the query sees of each."""
        counts = [len(segment) for segment in segments]
        return cls(
            segments,
            np.cumsum([0, *counts[:-1]]),
            np.concatenate([see(segment) for segment in segments]),
        )

    def take(
        self, slots: Slots, column: Callable[[LoadedSegment], npt.NDArray[Element]]
    ) -> npt.NDArray[Element]:
        """The elements of a column at ``slots``, which ascend."""
        bounds = np.searchsorted(slots, [*self.starts, self.seen.size])
        return np.concatenate(
            [
                column(segment)[slots[low:high] - start]
                for segment, start, low, high in zip(
                    self.segments, self.starts, bounds, bounds[1:], strict=False
                )
            ]
        )

    def numbers(self, slots: Slots) -> Numbers:
        """The numbers of documents in ascending slots."""
        return self._whole(self.take(slots, lambda segment: segment.numbers))

    def embeddings(self, slots: Slots) -> Numbers:
        """The numbers of the embeddings of documents in ascending slots."""
        return self._whole(self.take(slots, lambda segment: segment.embeddings))

    def _whole(self, low: npt.NDArray[np.uint32]) -> Numbers:
        numbers: Numbers = low.astype(np.int64) + first_of(self.segments[0].row.ledger)
        return numbers

    def nearest(self, code: Codes, sieved: int, wanted: int) -> Slots:
        """The documents whose codes are nearest to a code, nearest first.

        Args:
            code: shape (words,).
            sieved: how many the first half of the codes leaves over, roughly.
            wanted: how many of those the whole codes leave over.
        """
        distances = self._half_distances(code)
        near = _smallest(distances, sieved)
        if near is None:
            near = np.flatnonzero(distances < _UNSEEN)
        rest = self.take(near, lambda segment: segment.refine)
        apart = np.bitwise_count(rest ^ code[HALF_WORDS:]).sum(axis=1, dtype=np.uint16)
        apart += distances[near]
        order = np.argsort(apart, kind="stable")[:wanted]
        return near[order]

    def _half_distances(self, code: Codes) -> npt.NDArray[np.uint8]:
        """Bits apart in the first half of the code, ``_UNSEEN`` where the query sees nothing.

        All 256 bits apart wraps to 0: the opposite vector is looked at again, and dropped then.
        """
        distances = np.empty(self.seen.size, np.uint8)
        words = np.empty(SCANNED, np.uint64)
        bits = np.empty(SCANNED, np.uint8)
        for segment, begin in zip(self.segments, self.starts.tolist(), strict=True):
            for start in range(0, len(segment), SCANNED):
                end = min(start + SCANNED, len(segment))
                sums = distances[begin + start : begin + end]
                sums[:] = 0
                for sieve, word in zip(segment.sieve, code, strict=False):
                    different = np.bitwise_xor(sieve[start:end], word, out=words[: end - start])
                    sums += np.bitwise_count(different, out=bits[: end - start])
        distances[~self.seen] = _UNSEEN
        for segment, begin in zip(self.segments, self.starts.tolist(), strict=True):
            if not segment.all_embedded:
                distances[begin : begin + len(segment)][~segment.embedded] = _UNSEEN
        return distances

    def best_by_keyword(
        self,
        lists: Sequence[PostingList],
        rarities: Sequence[float],
        average: float,
        wanted: int,
        admit: Admit,
    ) -> Numbers:
        """The numbers of the documents that score best by some terms, among those admitted.

        Args:
            lists: the postings of the terms.
            rarities: of the terms.
            average: the mean length of the field.
            wanted: how many, or a few more where scores are equal.
            admit: the filter of the query.
        """
        scores = np.zeros(self.seen.size, np.float32)
        table = _weights(average)
        for postings, rarity in zip(lists, rarities, strict=True):
            data = postings.joined()
            slots = (data & 0xFFFF) + np.repeat(
                self.starts[postings.places].astype(np.uint32), postings.counts
            )
            scores[slots] += np.float32(rarity) * table[data >> 16]
        slots = np.flatnonzero(scores)
        slots = slots[self.seen[slots]]
        return self.best(slots, scores[slots], wanted, admit)

    def best(
        self, slots: Slots, scores: npt.NDArray[np.float32], wanted: int, admit: Admit
    ) -> Numbers:
        """The numbers of the admitted documents with the highest scores.

        Args:
            slots: ascending.
            scores: one for each.
            wanted: how many; at most ``TIES`` times as many come where scores are equal.
            admit: is asked for the best first, and for more only as long as too few pass.
        """
        take = wanted
        while True:
            chosen = _largest(scores, take)
            numbers = self.numbers(slots[chosen])
            passed = admit(numbers)
            if chosen.size == slots.size or np.count_nonzero(passed) >= wanted:
                break
            take *= 4
        numbers, ranked = numbers[passed], scores[chosen][passed]
        return numbers[np.argsort(-ranked, kind="stable")[: TIES * wanted]]


TIES = 4
"""How many times the documents asked for are taken where they score the same: among millions,
thousands may, and settling ties by key would mean reading the keys of all of them.
"""

_UNSEEN = 255
_ROUNDING = 1e-4


def _smallest(distances: npt.NDArray[np.uint8], count: int) -> Slots | None:
    """The slots with the smallest distances, about ``count``; ``None`` if there are not many more
    of them to choose from.
    """
    if distances.size <= count:
        return None
    sample = distances[:: max(1, distances.size // SAMPLE)]
    rank = max(1, sample.size * count // distances.size)
    bound = int(np.partition(sample, rank)[rank])
    return None if bound >= _UNSEEN else np.flatnonzero(distances <= bound)


def _largest(scores: npt.NDArray[np.float32], count: int) -> Slots:
    """The places of the largest scores, with all that equal the smallest among them."""
    if scores.size <= count:
        return np.arange(scores.size)
    least = np.partition(scores, scores.size - count)[scores.size - count]
    # Single precision and rounded lengths: what is this close may be equal.
    return np.flatnonzero(scores >= least * (1 - _ROUNDING))


@lru_cache(maxsize=16)
def _weights(average: float) -> npt.NDArray[np.float32]:
    """BM25 weights by the high half of a posting: the length and the frequency."""
    high = np.arange(1 << 16)
    with np.errstate(divide="ignore", invalid="ignore"):
        weights = bm25.weight(
            (high & 0xFF).astype(np.float64), (high >> 8).astype(np.float64), average
        )
    return weights.astype(np.float32)


@frozen(eq=False)
class PostingList:
    """The postings of one term in one field, over all segments that have it.

    Args:
        places: of the segments among those of the ledger.
        counts: postings in each.
        data: the postings of each; empty if they were not read.
    """

    places: Numbers
    counts: Numbers
    data: Sequence[bytes]

    def joined(self) -> npt.NDArray[np.uint32]:
        """All postings, one segment after the other."""
        return np.frombuffer(b"".join(self.data), POSTING).astype(np.uint32, copy=False)


def count_postings(
    connection: sqlite3.Connection, segments: Sequence[LoadedSegment], terms: Sequence[int]
) -> dict[TextField, list[int]]:
    """In how many documents of the segments each term comes, by field."""
    rows = connection.execute(
        "SELECT field, term, sum(count) FROM index_posting "
        "WHERE segment IN (SELECT value FROM json_each(?)) AND field IN (0, 1) "
        "AND term IN (SELECT value FROM json_each(?)) GROUP BY field, term",
        (_ids(segments), json.dumps(terms)),
    )
    counts = {(field, term): count for field, term, count in rows}
    return {field: [counts.get((field, term), 0) for term in terms] for field in TextField}


def read_postings(
    connection: sqlite3.Connection,
    segments: Sequence[LoadedSegment],
    field: TextField,
    terms: Sequence[int],
) -> list[PostingList]:
    """The postings of terms in a field."""
    places = {segment.row.id: place for place, segment in enumerate(segments)}
    found: dict[int, list[tuple[int, int, bytes]]] = {term: [] for term in terms}
    for segment, term, count, data in connection.execute(
        "SELECT segment, term, count, data FROM index_posting "
        "WHERE segment IN (SELECT value FROM json_each(?)) AND field = ? "
        "AND term IN (SELECT value FROM json_each(?))",
        (_ids(segments), int(field), json.dumps(terms)),
    ):
        found[term].append((places[segment], count, data))
    lists = []
    for rows in found.values():
        columns = list(zip(*rows, strict=True)) or [(), (), ()]
        lists.append(
            PostingList(np.array(columns[0], np.int64), np.array(columns[1], np.int64), columns[2])
        )
    return lists


def _ids(segments: Sequence[LoadedSegment]) -> str:
    return json.dumps([segment.row.id for segment in segments])
