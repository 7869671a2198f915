"""Compaction: build segments from the tail of a ledger.

A segment is built from a read transaction while other threads write; only storing it takes the
write lock. Segments are merged as in a log-structured merge tree: a new one absorbs the preceding
segments that are not larger, so a document is rewritten only a few times until its segment is full.
"""

from __future__ import annotations

import sqlite3

from attrs import frozen

from remembrancer.adapters.stores.sqlite.connections import Connections, one_view
from remembrancer.adapters.stores.sqlite.vector_index.embeddings import Embeddings
from remembrancer.adapters.stores.sqlite.vector_index.ledgers import Ledger, find_ledger, save
from remembrancer.adapters.stores.sqlite.vector_index.schema import first_of, last_of
from remembrancer.adapters.stores.sqlite.vector_index.segments import (
    Built,
    Segment,
    build,
    segments_of,
    sources_of,
    store,
)
from remembrancer.adapters.stores.sqlite.vector_index.sizes import Sizes
from remembrancer.domain.scope import LedgerId

UNSETTLED = 8
"""1/8 of a full tail stays there: the newest documents, whose context still changes."""

ATTEMPTS = 3
"""Attempts to build a segment without blocking writers; after these it is built in a write lock."""


@frozen
class _Gap:
    """A range of numbers between two segments; ``settled``: how many of its documents may go into
    a segment.
    """

    first: int
    last: int
    settled: int


def due(connection: sqlite3.Connection, sizes: Sizes, ledger: LedgerId | None) -> list[LedgerId]:
    """The ledgers with a full tail, among all or of the one given."""
    which, parameters = ("", ()) if ledger is None else ("AND name = ?", (ledger,))
    rows = connection.execute(
        "SELECT name FROM index_ledger "
        f"WHERE uncovered >= CASE segments WHEN 0 THEN ? ELSE ? END {which}",
        (sizes.first, sizes.tail, *parameters),
    )
    return [LedgerId(name) for (name,) in rows]


def compact(connections: Connections, embeddings: Embeddings, sizes: Sizes, name: LedgerId) -> int:
    """Build segments until the tail of a ledger is short; returns how many were built."""
    count = 0
    while _step(connections, embeddings, sizes, name):
        count += 1
    return count


def _step(connections: Connections, embeddings: Embeddings, sizes: Sizes, name: LedgerId) -> bool:
    """Build one segment if one is due; returns whether it did."""
    for _ in range(ATTEMPTS):
        with connections.reader() as connection, one_view(connection):
            ledger = find_ledger(connection, name)
            built = _build_next(connection, embeddings, sizes, ledger)
        if built is None or ledger is None:
            return False
        with connections.transaction() as connection:
            now = find_ledger(connection, name)
            if now is not None and _unchanged(connection, ledger, now, built):
                store(connection, now, built)
                save(connection, now)
                return True
    with connections.transaction() as connection:
        ledger = find_ledger(connection, name)
        built = _build_next(connection, embeddings, sizes, ledger)
        if built is None or ledger is None:
            return False
        store(connection, ledger, built)
        save(connection, ledger)
        return True


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
