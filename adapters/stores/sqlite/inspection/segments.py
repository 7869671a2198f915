"""Check the segments of one ledger against the documents that they were built from."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
from attrs import frozen

from remembrancer.adapters.stores.sqlite.vector_index.block import TIMES
from remembrancer.adapters.stores.sqlite.vector_index.embeddings import Embeddings, unit
from remembrancer.adapters.stores.sqlite.vector_index.quantization import HALF_WORDS, rotation_for
from remembrancer.adapters.stores.sqlite.vector_index.schema import LOW_BITS
from remembrancer.adapters.stores.sqlite.vector_index.segments import (
    CHUNK,
    NEVER,
    PARTS_PER_SEGMENT,
    TIME_PARTS,
    Part,
    Segment,
    TextField,
    entries_of,
    grouped_postings,
)
from remembrancer.domain.audit.comparison import Comparison, Table
from remembrancer.domain.audit.faults import Findings

SEGMENT = Table(name="index_segment", projection="index")
PART = Table(name="index_part", projection="index", columns=("data",))
POSTING = Table(name="index_posting", projection="index", columns=("count", "data"))
CENTRE = Table(name="index_centre", projection="index")

VECTORS = 1_024
"""Vectors whose codes are computed at once."""

SLICE = 4 << 20
"""Bytes of terms that are turned into postings at once."""

_LEAST = -(1 << 63)

ROUNDING = 1e-5
"""The distance of a vector from a hyperplane within which its side depends on the machine."""

_TYPES = {
    **dict.fromkeys((Part.NUMBERS, Part.EMBEDDINGS, Part.SCOPES), "<u4"),
    **dict.fromkeys(TIME_PARTS, "<i8"),
}


@frozen
class SegmentCheck:
    """Checks all segments of a ledger.

    Args:
        connection: to read from.
        embeddings: the model of the index.
        findings: counts the segments.
        comparison: reports what differs.
    """

    connection: sqlite3.Connection
    embeddings: Embeddings
    findings: Findings
    comparison: Comparison

    def check(self, ledger: dict[str, Any]) -> None:
        """Check the segments of a row of ``index_ledger``."""
        rows = self.connection.execute(
            "SELECT id, ledger, model, first, last, documents, living, revision "
            "FROM index_segment WHERE ledger = ? ORDER BY first",
            (ledger["id"],),
        ).fetchall()
        centres = self.connection.execute(
            "SELECT vector FROM index_centre WHERE ledger = ?", (ledger["id"],)
        ).fetchall()
        if centres and not rows:
            self.comparison.surplus(CENTRE, ledger["id"])
        centre = np.frombuffer(centres[0][0], "<f4") if centres else None
        last = -1
        for row in rows:
            segment = Segment(*row)
            if segment.first <= last or segment.last < segment.first:
                self._differs(segment, "first", f"above {last}", segment.first)
            if segment.revision > ledger["revision"] or segment.revision < 0:
                self._differs(segment, "revision", f"0 to {ledger['revision']}", segment.revision)
            model = self.embeddings.find(self.connection) or 0
            if segment.model != model:
                self._differs(segment, "model", model, segment.model)
            last = segment.last
            self._segment(segment, centre)
            self.findings.checked["segments"] += 1

    def _differs(self, segment: Segment, column: str, expected: object, found: object) -> None:
        self.comparison.value(SEGMENT, f"id {segment.id}", column, expected, found)

    def _segment(self, segment: Segment, centre: npt.NDArray[np.float32] | None) -> None:
        parts = self._parts(segment)
        if parts is None:
            return
        rows = self.connection.execute(
            f"SELECT id, ifnull(embedding, 0), scope, {TIMES} FROM index_document "
            "WHERE id BETWEEN ? AND ? ORDER BY id",
            (segment.first, segment.last),
        ).fetchall()
        numbers = np.frombuffer(parts[Part.NUMBERS], "<u4")
        living = np.array([row[0] & LOW_BITS for row in rows], "<u4")
        places = np.searchsorted(numbers, living)
        if (
            not bool(np.all(numbers[1:] > numbers[:-1]))
            or bool(np.any(places >= numbers.size))
            or not np.array_equal(numbers[places], living)
        ):
            self._part_differs(segment, Part.NUMBERS, living.tobytes(), parts[Part.NUMBERS])
            return
        for column, expected, found in (
            ("documents", numbers.size, segment.documents),
            ("living", len(rows), segment.living),
        ):
            if expected != found:
                self._differs(segment, column, expected, found)
        self._columns(segment, parts, rows, places)
        self._codes(segment, parts, rows, places, centre)
        self._postings(segment, places)

    def _parts(self, segment: Segment) -> dict[Part, bytes] | None:
        low = segment.id * PARTS_PER_SEGMENT
        stored = {
            number - low: data
            for number, data in self.connection.execute(
                "SELECT id, data FROM index_part WHERE id BETWEEN ? AND ?",
                (low, low + PARTS_PER_SEGMENT - 1),
            )
        }
        for number in stored:
            if number not in set(Part):
                self.comparison.surplus(PART, f"id {low + number}")
        sizes = {
            **dict.fromkeys((Part.NUMBERS, Part.EMBEDDINGS, Part.SCOPES), 4),
            **dict.fromkeys(TIME_PARTS, 8),
            **dict.fromkeys((Part.SIEVE, Part.REFINE), HALF_WORDS * 8),
        }
        whole = True
        for part in Part:
            data = stored.get(part)
            wanted = segment.documents * sizes[part]
            if data is None:
                self.comparison.missing(PART, f"id {low + part}")
                whole = False
            elif not isinstance(data, bytes) or len(data) != wanted:
                size = len(data) if isinstance(data, bytes) else type(data).__name__
                self.comparison.value(PART, f"id {low + part}", "data", f"{wanted} bytes", size)
                whole = False
        return {part: stored[part] for part in Part} if whole else None

    def _part_differs(self, segment: Segment, part: Part, expected: object, found: object) -> None:
        key = f"id {segment.id * PARTS_PER_SEGMENT + part}"
        self.comparison.value(PART, key, "data", expected, found)

    def _columns(
        self,
        segment: Segment,
        parts: dict[Part, bytes],
        rows: Sequence[Any],
        places: npt.NDArray[np.intp],
    ) -> None:
        for part, kind in _TYPES.items():
            stored = np.frombuffer(parts[part], kind)
            wanted = np.array([row[part] for row in rows], np.int64)
            if kind == "<u4":
                wanted &= LOW_BITS
            expected = stored.copy()
            if part in TIME_PARTS:
                # A document that was withdrawn is seen at no time.
                expected[:] = NEVER[TIME_PARTS.index(part)]
            expected[places] = wanted
            if not np.array_equal(stored, expected):
                self._part_differs(segment, part, expected.tobytes(), parts[part])

    def _codes(
        self,
        segment: Segment,
        parts: dict[Part, bytes],
        rows: Sequence[Any],
        places: npt.NDArray[np.intp],
        centre: npt.NDArray[np.float32] | None,
    ) -> None:
        count = segment.documents
        sieve = np.frombuffer(parts[Part.SIEVE], "<u8").reshape(HALF_WORDS, count).T
        refine = np.frombuffer(parts[Part.REFINE], "<u8").reshape(count, HALF_WORDS)
        stored = np.ascontiguousarray(np.concatenate([sieve, refine], axis=1)).view(np.uint8)
        left = np.ones(count, np.bool_)
        embedded = np.array([row[1] for row in rows], np.int64)
        if centre is None or centre.size != self.embeddings.dimension:
            if embedded.any():
                self.comparison.missing(CENTRE, segment.ledger)
            return
        rotation = rotation_for(self.embeddings.dimension)
        for start in range(0, len(rows), VECTORS):
            chunk, here = embedded[start : start + VECTORS], places[start : start + VECTORS]
            found, vectors = self.embeddings.load(self.connection, chunk[chunk != 0])
            if not found.size:
                continue
            at = np.searchsorted(found, chunk).clip(max=found.size - 1)
            known = found[at] == chunk
            turned = rotation.turned(unit(vectors) - centre)[at[known]]
            bits = np.unpackbits(stored[here[known]], axis=1).astype(np.bool_)
            wrong = (bits != (turned > 0)) & (np.abs(turned) > ROUNDING)
            if wrong.any():
                place = int(here[known][np.flatnonzero(wrong.any(axis=1))[0]])
                self._part_differs(
                    segment, Part.SIEVE, "the code of its vector", f"another at {place}"
                )
            left[here[known]] = False
        if stored[left].any():
            self._part_differs(segment, Part.SIEVE, "no code without a vector", "a code")

    def _postings(self, segment: Segment, places: npt.NDArray[np.intp]) -> None:
        bounds = (segment.first, segment.last)
        for field, column in ((TextField.TEXT, "text"), (TextField.CONTEXT, "context")):
            ((size,),) = self.connection.execute(
                f"SELECT ifnull(sum(length({column}_terms)), 0) FROM index_document "
                "WHERE id BETWEEN ? AND ?",
                bounds,
            )
            # Terms are hashes: ranges of them have about the same number of entries.
            slices = 1 + size // SLICE
            limits = [_LEAST + (1 << 64) * number // slices for number in range(slices + 1)]
            for low, end in pairwise(limits):
                stored = self.connection.execute(
                    "SELECT segment, field, term, count, data FROM index_posting "
                    "WHERE segment = ? AND field = ? AND term BETWEEN ? AND ?",
                    (segment.id, int(field), low, end - 1),
                )
                rows = self.connection.execute(
                    f"SELECT {column}_terms, {column}_length FROM index_document "
                    "WHERE id BETWEEN ? AND ? ORDER BY id",
                    bounds,
                )
                expected = {
                    (segment.id, int(field), term): (count, data)
                    for _, term, count, data in grouped_postings(
                        field, *_entries(rows, places, low, end - 1)
                    )
                }
                self.comparison.keyed(POSTING, expected, ((row[:3], row[3:]) for row in stored))


def _entries(
    rows: sqlite3.Cursor, places: npt.NDArray[np.intp], low: int, high: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.uint32]]:
    """The entries of terms from ``low`` to ``high``."""
    terms, postings, start = [np.empty(0, np.int64)], [np.empty(0, np.uint32)], 0
    while page := rows.fetchmany(CHUNK):
        encoded, lengths = zip(*page, strict=True)
        found, each = entries_of(encoded, lengths, places[start : start + len(page)])
        chosen = (found >= low) & (found <= high)
        terms.append(found[chosen])
        postings.append(each[chosen])
        start += len(page)
    return np.concatenate(terms), np.concatenate(postings)
