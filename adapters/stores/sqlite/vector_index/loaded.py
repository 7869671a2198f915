"""The segments of a ledger in memory, and one after the other as a query sees them.

About 120 bytes a document are held; terms and vectors stay on disk.
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
    """The segments of a ledger for one query.

    Args:
        segments: at least one.
        see: what the query may see of a segment, by scope and times.
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
        """The elements of a column at ``slots``, which ascend."""
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
        """The numbers of documents in ascending slots."""
        return self._whole(self.take(slots, lambda segment: segment.numbers))

    def embeddings(self, slots: Slots) -> Numbers:
        """The numbers of the embeddings of documents in ascending slots."""
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
            scores: one for each.
            wanted: how many; up to ``EQUALS`` more where scores are equal.
            admit: is asked for the best first, and for more only as long as too few pass;
                ``None`` lets all pass.
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
"""Documents beyond those asked for that are taken where they score the same: among a million,
thousands may, and settling ties by key would mean reading the keys of all of them.
"""

ROUNDING = 1e-4
"""What is this close in single precision may be equal."""


def largest(scores: npt.NDArray[np.float32], count: int) -> Slots:
    """The places of the largest scores, with all that equal the smallest among them."""
    if scores.size <= count:
        return np.arange(scores.size)
    least = np.partition(scores, scores.size - count)[scores.size - count]
    return np.flatnonzero(scores >= least - ROUNDING * abs(least))
