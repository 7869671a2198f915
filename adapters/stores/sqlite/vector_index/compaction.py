"""Compaction: build segments from the tail of a ledger.

A segment is built from a read transaction while other threads write, and stored in several short
write transactions. Segments are merged as in a log-structured merge tree: a new one absorbs the
preceding segments that are not larger, so a document is rewritten only a few times until its
segment is full.
"""

from __future__ import annotations

import sqlite3
import time

from attrs import frozen

from remembrancer.adapters.stores.sqlite.connections import Connections, one_view
from remembrancer.adapters.stores.sqlite.vector_index.embeddings import Embeddings
from remembrancer.adapters.stores.sqlite.vector_index.ledgers import Ledger, find_ledger, save
from remembrancer.adapters.stores.sqlite.vector_index.schema import first_of, last_of
from remembrancer.adapters.stores.sqlite.vector_index.segments import (
    Built,
    Segment,
    build,
    discard,
    is_being_written,
    is_staged,
    publish,
    segments_of,
    sources_of,
    stage,
    stage_postings,
    sweep,
    waste_of,
)
from remembrancer.adapters.stores.sqlite.vector_index.sizes import Sizes
from remembrancer.domain.scope import LedgerId

UNSETTLED = 8
"""1/8 of a full tail stays there: the newest documents, whose context still changes."""

ATTEMPTS = 3
"""Attempts to build a segment without blocking writers; after these it is built in a write lock."""

AT_ONCE = 2_000
"""Postings that one transaction writes or deletes."""

LONGEST = 60
"""Seconds that the writing of a segment may take; then others take it for interrupted."""


@frozen
class _Gap:
    """A range of numbers between two segments; ``settled``: how many of its documents may go into
    a segment.
    """

    first: int
    last: int
    settled: int


def due(connection: sqlite3.Connection, sizes: Sizes, ledger: LedgerId | None) -> list[LedgerId]:
    """The ledgers with a full tail or with waste, among all or of the one given."""
    which, parameters = ("", ()) if ledger is None else ("AND name = ?", (ledger,))
    rows = connection.execute(
        "SELECT name FROM index_ledger AS l "
        "WHERE (uncovered >= CASE segments WHEN 0 THEN ? ELSE ? END OR EXISTS ("
        "SELECT 1 FROM index_segment WHERE ledger = -l.id AND (living = 0 OR revision < ?))) "
        f"{which}",
        (sizes.first, sizes.tail, _interrupted(), *parameters),
    )
    return [LedgerId(name) for (name,) in rows]


def _interrupted() -> int:
    """The moment before which the writing of a segment must have begun to count as interrupted."""
    return int(time.time()) - LONGEST


def compact(connections: Connections, embeddings: Embeddings, sizes: Sizes, name: LedgerId) -> int:
    """Build segments until the tail of a ledger is short; returns how many were built."""
    count = 0
    _sweep(connections, name)
    while _step(connections, embeddings, sizes, name):
        count += 1
        _sweep(connections, name)
    return count


def _sweep(connections: Connections, name: LedgerId) -> None:
    with connections.reader() as connection:
        ledger = find_ledger(connection, name)
        waste = [] if ledger is None else waste_of(connection, ledger, _interrupted())
    for segment in waste:
        left = True
        while left:
            with connections.transaction() as connection:
                left = sweep(connection, segment, AT_ONCE)


def _step(connections: Connections, embeddings: Embeddings, sizes: Sizes, name: LedgerId) -> bool:
    """Build one segment if one is due; returns whether it did."""
    for _ in range(ATTEMPTS):
        with connections.reader() as connection, one_view(connection):
            ledger = find_ledger(connection, name)
            if ledger is None or is_being_written(connection, ledger):
                return False
            built = _build_next(connection, embeddings, sizes, ledger)
        if built is None:
            return False
        segment = _staged(connections, ledger, built)
        if _published(connections, name, ledger, built, segment):
            return True
        _sweep(connections, name)
    with connections.transaction() as connection:
        ledger = find_ledger(connection, name)
        built = _build_next(connection, embeddings, sizes, ledger)
        if built is None or ledger is None:
            return False
        segment = stage(connection, ledger, built, 0)
        stage_postings(connection, segment, built.postings)
        publish(connection, ledger, built, segment)
        save(connection, ledger)
        return True


def _staged(connections: Connections, ledger: Ledger, built: Built) -> int:
    """Write a segment in short transactions; returns its id."""
    with connections.transaction() as connection:
        segment = stage(connection, ledger, built, int(time.time()))
    for start in range(0, len(built.postings), AT_ONCE):
        with connections.transaction() as connection:
            if not is_staged(connection, segment):
                break
            stage_postings(connection, segment, built.postings[start : start + AT_ONCE])
    return segment


def _published(
    connections: Connections, name: LedgerId, before: Ledger, built: Built, segment: int
) -> bool:
    """Publish a written segment, unless the rows that it was built from have changed."""
    with connections.transaction() as connection:
        now = find_ledger(connection, name)
        if (
            now is not None
            and is_staged(connection, segment)
            and _unchanged(connection, before, now, built)
        ):
            publish(connection, now, built, segment)
            save(connection, now)
            return True
        discard(connection, segment)
        return False


def _build_next(
    connection: sqlite3.Connection, embeddings: Embeddings, sizes: Sizes, ledger: Ledger | None
) -> Built | None:
    if ledger is None or ledger.uncovered < (sizes.tail if ledger.segments else sizes.first):
        return None
    existing = segments_of(connection, ledger)
    gap = max(_gaps(connection, sizes, ledger, existing), key=lambda gap: gap.settled)
    first, limit = gap.first, min(gap.settled, sizes.segment)
    for before in reversed([segment for segment in existing if segment.last < first]):
        # Not across another gap: its documents are not counted in the limit.
        if before.last + 1 != first or before.living > limit:
            break
        if before.living + limit > sizes.segment:
            break
        first, limit = before.first, limit + before.living
    return build(connection, embeddings, ledger, first, limit, gap.last)


def _gaps(
    connection: sqlite3.Connection, sizes: Sizes, ledger: Ledger, existing: list[Segment]
) -> list[_Gap]:
    firsts = [first_of(ledger.id), *(segment.last + 1 for segment in existing)]
    lasts = [*(segment.first - 1 for segment in existing), last_of(ledger.id)]
    gaps = []
    rest = ledger.uncovered
    for first, last in zip(firsts[:-1], lasts[:-1], strict=True):
        (documents,) = connection.execute(
            "SELECT count(*) FROM index_document WHERE id BETWEEN ? AND ?", (first, last)
        ).fetchone()
        gaps.append(_Gap(first, last, documents))
        rest -= documents
    # The last gap is not counted: only it can be large, and counting reads all its rows.
    return [*gaps, _Gap(firsts[-1], lasts[-1], rest - sizes.tail // UNSETTLED)]


def _unchanged(connection: sqlite3.Connection, before: Ledger, now: Ledger, built: Built) -> bool:
    """Whether a built segment still matches the rows it was built from."""
    if now.generation != before.generation:
        return False
    if now.revision == before.revision:
        return True
    touched = connection.execute(
        "SELECT 1 FROM index_document WHERE ledger = ? AND touched > ? AND id <= ? LIMIT 1",
        (now.id, before.revision, built.last),
    ).fetchone()
    return touched is None and built.sources == sources_of(
        segments_of(connection, now), built.first, built.last
    )
