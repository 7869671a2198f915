"""Segments as stored: a range of documents of one ledger, as arrays for fast scans.

A segment has the codes, times and postings of up to 65,536 documents. The documents' rows stay, so
a segment can be deleted at any time and built again. If anything but its times and filter fields
changes, a document is removed from its segment, and so are its postings.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from enum import IntEnum

import numpy as np
import numpy.typing as npt
from attrs import frozen

from remembrancer.adapters.stores.sqlite.vector_index.block import (
    ALWAYS,
    EVER,
    TIMES,
    Mask,
    Numbers,
)
from remembrancer.adapters.stores.sqlite.vector_index.embeddings import Embeddings, unit
from remembrancer.adapters.stores.sqlite.vector_index.ledgers import Ledger
from remembrancer.adapters.stores.sqlite.vector_index.quantization import (
    HALF_WORDS,
    Codes,
    rotation_for,
)
from remembrancer.adapters.stores.sqlite.vector_index.schema import LOW_BITS
from remembrancer.adapters.stores.sqlite.vector_index.terms import decode_terms

CHUNK = 8_192
"""Vectors in memory at once while a segment is built."""

PARTS_PER_SEGMENT = 16
WORD_BYTES = 8
LONGEST_LENGTH = 255
"""Maximum length of a text in a posting, in terms. Postings only find candidates; their scores are
computed exactly.
"""


class Part(IntEnum):
    """The arrays of a segment, each a row of ``index_part``. One element per document: the low bits
    of its number and of its embedding's number (0: none), its scope, its four times, and its code:
    the first half stored by word (``SIEVE``), the second half by document (``REFINE``).
    """

    NUMBERS = 0
    EMBEDDINGS = 1
    SCOPES = 2
    VISIBLE_FROM = 3
    VISIBLE_TO = 4
    VALID_FROM = 5
    VALID_TO = 6
    SIEVE = 7
    REFINE = 8


class TextField(IntEnum):
    """The fields that have postings."""

    TEXT = 0
    CONTEXT = 1


TIME_PARTS = (Part.VISIBLE_FROM, Part.VISIBLE_TO, Part.VALID_FROM, Part.VALID_TO)
NEVER = (EVER, ALWAYS, EVER, ALWAYS)
"""The times of a removed document: no query can see it."""

POSTING = np.dtype("<u4")
"""A posting: the document's offset in the low 16 bits, then 8 bits for the frequency of the term
and 8 bits for the length of the text in terms.
"""


@frozen
class Segment:
    """A row of ``index_segment``."""

    id: int
    ledger: int
    model: int
    first: int
    last: int
    documents: int
    living: int
    revision: int


_SELECT = "SELECT id, ledger, model, first, last, documents, living, revision FROM index_segment"


def segments_of(connection: sqlite3.Connection, ledger: Ledger) -> list[Segment]:
    """The segments of a ledger, ordered by document number."""
    if not ledger.segments:
        return []
    rows = connection.execute(f"{_SELECT} WHERE ledger = ? ORDER BY first", (ledger.id,))
    return [Segment(*row) for row in rows]


def segment_with(connection: sqlite3.Connection, ledger: Ledger, number: int) -> Segment | None:
    """The segment that contains a document, ``None`` if none does."""
    if not ledger.segments:
        return None
    row = connection.execute(
        f"{_SELECT} WHERE ledger = ? AND first <= ? ORDER BY first DESC LIMIT 1",
        (ledger.id, number),
    ).fetchone()
    return None if row is None or row[4] < number else Segment(*row)


def centre_of(connection: sqlite3.Connection, ledger: Ledger) -> npt.NDArray[np.float32] | None:
    """The centre of a ledger's codes, ``None`` if it has no codes yet."""
    row = connection.execute(
        "SELECT vector FROM index_centre WHERE ledger = ?", (ledger.id,)
    ).fetchone()
    return None if row is None else np.frombuffer(row[0], "<f4")


def part(connection: sqlite3.Connection, segment: int, kind: Part) -> bytes:
    """One array of a segment."""
    row = connection.execute(
        "SELECT data FROM index_part WHERE id = ?", (segment * PARTS_PER_SEGMENT + kind,)
    ).fetchone()
    data: bytes = row[0]
    return data


@frozen(eq=False)
class Built:
    """A segment that is ready to be stored.

    ``postings``: rows of (field, term, count, data). ``sources``: the segments that it replaces, as
    (id, number of living documents).
    """

    first: int
    last: int
    model: int
    centre: bytes
    numbers: npt.NDArray[np.uint32]
    parts: dict[Part, bytes]
    postings: list[tuple[int, int, int, bytes]]
    sources: list[tuple[int, int]]


def sources_of(existing: Sequence[Segment], first: int, last: int) -> list[tuple[int, int]]:
    """The segments within documents ``first`` to ``last``, as (id, number of living documents)."""
    return [
        (segment.id, segment.living)
        for segment in existing
        if first <= segment.first and segment.last <= last
    ]


def build(
    connection: sqlite3.Connection,
    embeddings: Embeddings,
    ledger: Ledger,
    first: int,
    limit: int,
    last: int,
) -> Built | None:
    """Build a segment of the first ``limit`` documents with numbers from ``first`` to ``last``.

    Writes nothing. Returns ``None`` if there are no such documents.
    """
    rows = connection.execute(
        f"SELECT id, ifnull(embedding, 0), scope, {TIMES}, text_length, context_length, "
        "text_terms, context_terms FROM index_document WHERE id BETWEEN ? AND ? "
        "ORDER BY id LIMIT ?",
        (first, last, limit),
    ).fetchall()
    if not rows:
        return None
    columns = list(zip(*rows, strict=True))
    parts = {
        kind: (np.array(columns[kind], np.int64) & LOW_BITS).astype("<u4").tobytes()
        for kind in (Part.NUMBERS, Part.SCOPES)
    }
    for kind in TIME_PARTS:
        parts[kind] = np.array(columns[kind], "<i8").tobytes()
    embedded = np.array(columns[Part.EMBEDDINGS], np.int64)
    codes, known, centre = _codes(connection, embeddings, ledger, embedded)
    embedded[~known] = 0
    parts[Part.EMBEDDINGS] = (embedded & LOW_BITS).astype("<u4").tobytes()
    parts[Part.SIEVE] = np.ascontiguousarray(codes[:, :HALF_WORDS].T).tobytes()
    parts[Part.REFINE] = np.ascontiguousarray(codes[:, HALF_WORDS:]).tobytes()
    postings = [
        *postings_of(TextField.TEXT, columns[9], columns[7]),
        *postings_of(TextField.CONTEXT, columns[10], columns[8]),
    ]
    return Built(
        # Starts right after the previous segment, so that no gap without documents is left.
        first=first,
        last=rows[-1][0],
        model=embeddings.find(connection) or 0,
        centre=centre,
        numbers=np.frombuffer(parts[Part.NUMBERS], "<u4"),
        parts=parts,
        postings=postings,
        sources=sources_of(segments_of(connection, ledger), first, rows[-1][0]),
    )


def _codes(
    connection: sqlite3.Connection, embeddings: Embeddings, ledger: Ledger, numbers: Numbers
) -> tuple[Codes, Mask, bytes]:
    """The codes of documents by their embeddings, a mask of those that have one, and the centre."""
    rotation = rotation_for(embeddings.dimension)
    codes = np.zeros((numbers.size, 2 * HALF_WORDS), "<u8")
    known = np.zeros(numbers.size, np.bool_)
    centre = centre_of(connection, ledger)
    for start in range(0, numbers.size, CHUNK):
        chunk = numbers[start : start + CHUNK]
        found, vectors = embeddings.load(connection, chunk[chunk != 0])
        if not found.size:
            continue
        vectors = unit(vectors)
        if centre is None:
            centre = vectors.mean(axis=0)
        places = np.searchsorted(found, chunk).clip(max=found.size - 1)
        here = found[places] == chunk
        known[start : start + CHUNK] = here
        codes[start : start + CHUNK][here] = rotation.codes(vectors, centre)[places[here]]
    return codes, known, b"" if centre is None else centre.astype("<f4").tobytes()


def postings_of(
    kind: TextField,
    encoded: Sequence[bytes],
    lengths: Sequence[int],
    offsets: npt.NDArray[np.intp] | None = None,
) -> Iterator[tuple[int, int, int, bytes]]:
    """Rows of (field, term, count, data).

    Args:
        kind: the field.
        encoded: the terms of each document.
        lengths: the number of terms of each document.
        offsets: the offset of each document in the segment; ``None`` if they are 0, 1, 2, ...
    """
    return grouped_postings(kind, *entries_of(encoded, lengths, offsets))


def entries_of(
    encoded: Sequence[bytes],
    lengths: Sequence[int],
    offsets: npt.NDArray[np.intp] | None = None,
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.uint32]]:
    """The terms of documents, and the posting of each; the arguments are as in ``postings_of``."""
    terms, frequencies, owners = decode_terms(encoded)
    capped = np.minimum(np.array(lengths, np.int64), LONGEST_LENGTH).astype(np.uint32)
    postings = (owners if offsets is None else offsets[owners]).astype(np.uint32)
    postings |= frequencies.astype(np.uint32) << 16
    postings |= capped[owners] << 24
    return terms, postings


def grouped_postings(
    kind: TextField, terms: npt.NDArray[np.int64], postings: npt.NDArray[np.uint32]
) -> Iterator[tuple[int, int, int, bytes]]:
    """Rows of (field, term, count, data) of the result of ``entries_of``."""
    if not terms.size:
        return
    order = np.argsort(terms, kind="stable")
    terms = terms[order]
    starts = np.flatnonzero(np.r_[True, terms[1:] != terms[:-1]])
    ends = np.r_[starts[1:], terms.size]
    data = memoryview(postings[order].astype(POSTING).tobytes())
    size = POSTING.itemsize
    for term, start, end in zip(
        terms[starts].tolist(), starts.tolist(), ends.tolist(), strict=True
    ):
        yield int(kind), term, end - start, bytes(data[start * size : end * size])


# A segment of many documents has tens of thousands of postings. It is written in steps, each a
# short transaction, under the negative number of its ledger, where no read looks for it. The last
# step publishes it. A segment that it replaces becomes waste, and is deleted in steps.


def stage(connection: sqlite3.Connection, ledger: Ledger, built: Built, moment: int) -> int:
    """Begin to write a segment; returns its id. ``moment``: seconds since 1970."""
    count = built.numbers.size
    cursor = connection.execute(
        "INSERT INTO index_segment "
        "(ledger, model, first, last, documents, living, revision) VALUES (?, ?, ?, ?, ?, ?, ?)",
        (-ledger.id, built.model, built.first, built.last, count, count, moment),
    )
    assert cursor.lastrowid is not None
    connection.executemany(
        "INSERT INTO index_part VALUES (?, ?)",
        [(cursor.lastrowid * PARTS_PER_SEGMENT + kind, data) for kind, data in built.parts.items()],
    )
    return cursor.lastrowid


def is_staged(connection: sqlite3.Connection, segment: int) -> bool:
    """Whether nobody has made waste of a segment that is being written."""
    found = connection.execute(
        "SELECT 1 FROM index_segment WHERE id = ? AND ledger < 0 AND living > 0", (segment,)
    )
    return found.fetchone() is not None


def stage_postings(
    connection: sqlite3.Connection, segment: int, rows: Iterable[tuple[int, int, int, bytes]]
) -> None:
    """Write some of the postings of a segment, in index order, so that table and index are written
    sequentially.
    """
    connection.executemany(
        "INSERT INTO index_posting (segment, field, term, count, data) VALUES (?, ?, ?, ?, ?)",
        ((segment, *row) for row in rows),
    )


def publish(connection: sqlite3.Connection, ledger: Ledger, built: Built, segment: int) -> None:
    """Let reads find a segment, and no longer the segments that it replaces.

    ``ledger`` is changed but not saved.
    """
    for old, living in built.sources:
        discard(connection, old)
        ledger.segments -= 1
        ledger.uncovered += living
    connection.execute(
        "UPDATE index_segment SET ledger = ?, revision = ? WHERE id = ?",
        (ledger.id, ledger.revision, segment),
    )
    if built.centre:
        connection.execute(
            "INSERT OR IGNORE INTO index_centre VALUES (?, ?)", (ledger.id, built.centre)
        )
    ledger.segments += 1
    ledger.uncovered -= built.numbers.size
    ledger.generation += 1


def discard(connection: sqlite3.Connection, segment: int) -> None:
    """Make waste of a segment, for ``sweep``."""
    connection.execute(
        "UPDATE index_segment SET ledger = -abs(ledger), living = 0 WHERE id = ?", (segment,)
    )


def waste_of(connection: sqlite3.Connection, ledger: Ledger, before: int) -> list[int]:
    """The ids of segments that are to be swept: waste, and those whose writing began before a
    moment (seconds since 1970) and was interrupted.
    """
    rows = connection.execute(
        "SELECT id FROM index_segment WHERE ledger = ? AND (living = 0 OR revision < ?)",
        (-ledger.id, before),
    )
    return [number for (number,) in rows]


def is_being_written(connection: sqlite3.Connection, ledger: Ledger) -> bool:
    """Whether a segment of a ledger is being written."""
    found = connection.execute(
        "SELECT 1 FROM index_segment WHERE ledger = ? AND living > 0", (-ledger.id,)
    )
    return found.fetchone() is not None


def sweep(connection: sqlite3.Connection, segment: int, most: int) -> bool:
    """Delete up to ``most`` postings of a discarded segment, at the end all of it.

    Returns whether something is left. Does nothing if a slow writer has published it meanwhile.
    """
    if not connection.execute(
        "UPDATE index_segment SET living = 0 WHERE id = ? AND ledger < 0", (segment,)
    ).rowcount:
        return False
    deleted = connection.execute(
        "DELETE FROM index_posting WHERE id IN "
        "(SELECT id FROM index_posting WHERE segment = ? LIMIT ?)",
        (segment, most),
    ).rowcount
    if deleted == most:
        return True
    low = segment * PARTS_PER_SEGMENT
    connection.execute(
        "DELETE FROM index_part WHERE id BETWEEN ? AND ?", (low, low + PARTS_PER_SEGMENT - 1)
    )
    connection.execute("DELETE FROM index_segment WHERE id = ?", (segment,))
    return False


def _delete(connection: sqlite3.Connection, ledger: Ledger, segment: Segment) -> None:
    """Delete a segment; its documents are uncovered again."""
    low = segment.id * PARTS_PER_SEGMENT
    connection.execute("DELETE FROM index_segment WHERE id = ?", (segment.id,))
    connection.execute(
        "DELETE FROM index_part WHERE id BETWEEN ? AND ?", (low, low + PARTS_PER_SEGMENT - 1)
    )
    connection.execute("DELETE FROM index_posting WHERE segment = ?", (segment.id,))
    ledger.segments -= 1
    if not ledger.segments:
        connection.execute("DELETE FROM index_centre WHERE ledger = ?", (ledger.id,))
    ledger.uncovered += segment.living
    ledger.generation += 1


def retime(
    connection: sqlite3.Connection,
    ledger: Ledger,
    segment: Segment,
    number: int,
    times: tuple[int, int, int, int],
) -> None:
    """Update the times of one document."""
    _write_times(connection, segment.id, _place(connection, segment, number), times)
    _touch(connection, segment, ledger)


def withdraw(
    connection: sqlite3.Connection,
    ledger: Ledger,
    segment: Segment,
    number: int,
    terms: dict[TextField, Iterable[int]],
) -> None:
    """Remove one document from a segment: its times, its code and its postings.

    ``ledger`` is changed but not saved. A segment that has lost half of its documents is deleted.
    """
    if 2 * (segment.living - 1) < segment.documents:
        _delete(connection, ledger, segment)
        ledger.uncovered -= 1
        return
    place = _place(connection, segment, number)
    _write_times(connection, segment.id, place, NEVER)
    zeros = bytes(WORD_BYTES)
    with _open_part(connection, segment.id, Part.SIEVE) as sieve:
        for word in range(HALF_WORDS):
            sieve.seek((word * segment.documents + place) * WORD_BYTES)
            sieve.write(zeros)
    with _open_part(connection, segment.id, Part.REFINE) as refine:
        refine.seek(place * HALF_WORDS * WORD_BYTES)
        refine.write(zeros * HALF_WORDS)
    for field, numbers in terms.items():
        for term in numbers:
            _delete_posting(connection, (segment.id, int(field), term), place)
    connection.execute("UPDATE index_segment SET living = living - 1 WHERE id = ?", (segment.id,))
    _touch(connection, segment, ledger)


def _delete_posting(connection: sqlite3.Connection, key: tuple[int, int, int], place: int) -> None:
    """Delete the posting of one document from the posting list of a term."""
    where = "WHERE segment = ? AND field = ? AND term = ?"
    (data,) = connection.execute(f"SELECT data FROM index_posting {where}", key).fetchone()
    postings = np.frombuffer(data, POSTING)
    rest = postings[postings & 0xFFFF != place]
    if rest.size:
        connection.execute(
            f"UPDATE index_posting SET count = ?, data = ? {where}",
            (rest.size, rest.tobytes(), *key),
        )
    else:
        connection.execute(f"DELETE FROM index_posting {where}", key)


def _touch(connection: sqlite3.Connection, segment: Segment, ledger: Ledger) -> None:
    connection.execute(
        "UPDATE index_segment SET revision = ? WHERE id = ?", (ledger.revision, segment.id)
    )


def _place(connection: sqlite3.Connection, segment: Segment, number: int) -> int:
    numbers = np.frombuffer(part(connection, segment.id, Part.NUMBERS), "<u4")
    return int(np.searchsorted(numbers, number & LOW_BITS))


def _write_times(
    connection: sqlite3.Connection, segment: int, place: int, times: tuple[int, int, int, int]
) -> None:
    for kind, moment in zip(TIME_PARTS, times, strict=True):
        with _open_part(connection, segment, kind) as blob:
            blob.seek(place * WORD_BYTES)
            blob.write(moment.to_bytes(WORD_BYTES, "little", signed=True))


def _open_part(connection: sqlite3.Connection, segment: int, kind: Part) -> sqlite3.Blob:
    return connection.blobopen("index_part", "data", segment * PARTS_PER_SEGMENT + kind)
