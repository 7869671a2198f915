"""Segments in memory, and a view of all segments of a ledger for one query.

Segments take about 120 bytes per document; terms and vectors stay on disk.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
from attrs import evolve, frozen

from remembrancer.adapters.stores.sqlite.vector_index.block import Mask, Numbers, Times
from remembrancer.adapters.stores.sqlite.vector_index.quantization import HALF_WORDS, Codes
from remembrancer.adapters.stores.sqlite.vector_index.schema import first_of
from remembrancer.adapters.stores.sqlite.vector_index.segments import (
    TIME_PARTS,
    Part,
    Segment,
    part,
)

Element = TypeVar("Element", bound=np.generic)

Slots = npt.NDArray[np.intp]
"""Offsets of documents in the concatenated segments of a ledger."""

Admit = Callable[[Numbers], Mask]
"""A filter: maps document numbers to a mask of those that pass."""


@frozen(eq=False)
class LoadedSegment:
    """A segment in memory; see ``segments.Part`` for the arrays. ``sieve`` has shape (words,
    documents), ``refine`` (documents, words).
    """

    row: Segment
    numbers: npt.NDArray[np.uint32]
    embeddings: npt.NDArray[np.uint32]
    embedded: Mask
    all_embedded: bool
    scopes: npt.NDArray[np.uint32]
    times: Times
    sieve: Codes
    refine: Codes

    def __len__(self) -> int:
        return len(self.numbers)

    @property
    def size(self) -> int:
        """Approximate bytes in memory."""
        return 120 * len(self)


def load_segment(
    connection: sqlite3.Connection, row: Segment, model: int | None, before: LoadedSegment | None
) -> LoadedSegment:
    """Read a segment.

    Args:
        connection: to read from.
        row: the row of the segment.
        model: the number of the current model; codes of other models are ignored.
        before: an earlier state of the same segment; only arrays that may have changed are read.
    """
    if before is not None and before.row.revision == row.revision:
        return before
    times = Times(*(np.frombuffer(part(connection, row.id, kind), "<i8") for kind in TIME_PARTS))
    if before is not None:
        return evolve(before, row=row, times=times)

    def array(kind: Part, dtype: str) -> npt.NDArray[Any]:
        stored = np.frombuffer(part(connection, row.id, kind), dtype)
        return stored.astype(stored.dtype.newbyteorder("="), copy=False)

    embeddings = array(Part.EMBEDDINGS, "<u4")
    if row.model != model:
        embeddings = np.zeros_like(embeddings)
    embedded = embeddings != 0
    return LoadedSegment(
        row=row,
        numbers=array(Part.NUMBERS, "<u4"),
        embeddings=embeddings,
        embedded=embedded,
        all_embedded=bool(embedded.all()),
        scopes=array(Part.SCOPES, "<u4"),
        times=times,
        sieve=array(Part.SIEVE, "<u8").reshape(HALF_WORDS, -1),
        refine=array(Part.REFINE, "<u8").reshape(-1, HALF_WORDS),
    )


class Shelf:
    """All segments of a ledger, as one query sees them.

    Args:
        segments: at least one.
        see: returns the mask of documents that the query may see, by scope and times.
    """

    def __init__(
        self, segments: Sequence[LoadedSegment], see: Callable[[LoadedSegment], Mask]
    ) -> None:
        self.segments = segments
        self.starts: list[int] = np.cumsum([0, *map(len, segments)]).tolist()
        self.seen = [see(segment) for segment in segments]

    def __len__(self) -> int:
        return self.starts[-1]

    def take(
        self, slots: Slots, column: Callable[[LoadedSegment], npt.NDArray[Element]]
    ) -> npt.NDArray[Element]:
        """The elements of a column at ``slots`` (ascending)."""
        bounds = np.searchsorted(slots, self.starts)
        return np.concatenate(
            [
                column(segment)[slots[low:high] - start]
                for segment, start, low, high in zip(
                    self.segments, self.starts, bounds, bounds[1:], strict=False
                )
            ]
        )

    def numbers(self, slots: Slots) -> Numbers:
        """The numbers of the documents at ``slots`` (ascending)."""
        return self._whole(self.take(slots, lambda segment: segment.numbers))

    def embeddings(self, slots: Slots) -> Numbers:
        """The embedding numbers of the documents at ``slots`` (ascending)."""
        return self._whole(self.take(slots, lambda segment: segment.embeddings))

    def _whole(self, low: npt.NDArray[np.uint32]) -> Numbers:
        numbers: Numbers = low.astype(np.int64) + first_of(self.segments[0].row.ledger)
        return numbers

    def best(
        self,
        slots: Slots,
        scores: npt.NDArray[np.float32],
        wanted: int,
        admit: Admit | None,
    ) -> Numbers:
        """The numbers of the admitted documents with the highest scores.

        Args:
            slots: ascending.
            scores: one per slot.
            wanted: number of documents; up to ``EQUALS`` more are returned if scores are equal.
            admit: the filter, called with the best documents first, and with more while too few
                pass; ``None`` admits all.
        """
        take = wanted
        while True:
            chosen = largest(scores, take)
            numbers = self.numbers(slots[chosen])
            passed = np.ones(chosen.size, np.bool_) if admit is None else admit(numbers)
            if chosen.size == slots.size or np.count_nonzero(passed) >= wanted:
                break
            take *= 4
        numbers, ranked = numbers[passed], scores[chosen][passed]
        return numbers[np.argsort(-ranked, kind="stable")[: wanted + EQUALS]]


EQUALS = 20
"""Maximum number of documents returned beyond ``wanted`` because of equal scores. Thousands of a
million may be equal, and breaking ties by key would read all of their keys.
"""

ROUNDING = 1e-4
"""Relative difference below which single-precision scores count as equal."""


def largest(scores: npt.NDArray[np.float32], count: int) -> Slots:
    """The offsets of the ``count`` largest scores, and of all equal to the smallest of these."""
    if scores.size <= count:
        return np.arange(scores.size)
    least = np.partition(scores, scores.size - count)[scores.size - count]
    return np.flatnonzero(scores >= least - ROUNDING * abs(least))
