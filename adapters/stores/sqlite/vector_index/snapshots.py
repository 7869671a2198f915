"""In-memory cache of ledgers (LRU). Every search first catches up with the rows.

The rows are the source of truth. A snapshot has the generation and revision of its ledger at the
time of reading, so that it can catch up on writes of other threads and processes.
"""

from __future__ import annotations

import sqlite3
import threading
from collections import OrderedDict
from functools import cached_property

from attrs import frozen

from remembrancer.adapters.stores.sqlite.vector_index.block import (
    Block,
    joined,
    load_range,
    load_touched,
)
from remembrancer.adapters.stores.sqlite.vector_index.embeddings import Embeddings
from remembrancer.adapters.stores.sqlite.vector_index.ledgers import Ledger
from remembrancer.adapters.stores.sqlite.vector_index.loaded import LoadedSegment, load_segment
from remembrancer.adapters.stores.sqlite.vector_index.schema import first_of, last_of
from remembrancer.adapters.stores.sqlite.vector_index.segments import segments_of


@frozen(eq=False)
class Snapshot:
    """One state of a ledger: its segments, and the ``tail`` of documents in no segment."""

    generation: int
    revision: int
    segments: tuple[LoadedSegment, ...]
    tail: Block

    @cached_property
    def size(self) -> int:
        """Approximate bytes in memory."""
        return self.tail.size + sum(segment.size for segment in self.segments)

    def newer_than(self, ledger: Ledger) -> bool:
        """Whether this snapshot is newer than the state of ``ledger`` that a connection reads."""
        return (self.generation, self.revision) > (ledger.generation, ledger.revision)


class Snapshots:
    """An LRU cache of snapshots by ledger. Thread-safe.

    Args:
        embeddings: the vectors of the current model.
        capacity: bytes; the most recently used snapshot is kept even if it is larger.
    """

    def __init__(self, embeddings: Embeddings, capacity: int) -> None:
        self._embeddings = embeddings
        self._capacity = capacity
        self._lock = threading.Lock()
        self._held: OrderedDict[int, Snapshot] = OrderedDict()
        self._size = 0

    def current(self, connection: sqlite3.Connection, ledger: Ledger, *, private: bool) -> Snapshot:
        """The state of a ledger that ``connection`` sees.

        Args:
            connection: inside a transaction.
            ledger: the ledger's row, as read on this connection.
            private: whether the connection may see uncommitted writes; if so, the result is not
                cached.
        """
        with self._lock:
            held = self._held.get(ledger.id)
            if held is not None:
                self._held.move_to_end(ledger.id)
        if held is not None and held.newer_than(ledger):
            return self._read(connection, ledger, held.segments)
        fresh = self._caught_up(connection, ledger, held)
        if fresh is not held and not private:
            self._hold(ledger.id, fresh)
        return fresh

    def _caught_up(
        self, connection: sqlite3.Connection, ledger: Ledger, held: Snapshot | None
    ) -> Snapshot:
        if held is None:
            return self._read(connection, ledger, ())
        if held.generation != ledger.generation:
            return self._read(connection, ledger, held.segments)
        if held.revision == ledger.revision:
            return held
        tail = held.tail.updated(load_touched(connection, self._embeddings, ledger, held.revision))
        if tail.mostly_dead():
            return self._read(connection, ledger, held.segments)
        return Snapshot(
            ledger.generation,
            ledger.revision,
            self._segments(connection, ledger, held.segments),
            tail,
        )

    def _read(
        self,
        connection: sqlite3.Connection,
        ledger: Ledger,
        before: tuple[LoadedSegment, ...],
    ) -> Snapshot:
        segments = self._segments(connection, ledger, before)
        firsts = [first_of(ledger.id), *(segment.row.last + 1 for segment in segments)]
        lasts = [*(segment.row.first - 1 for segment in segments), last_of(ledger.id)]
        blocks = [
            load_range(connection, self._embeddings, first, last)
            for first, last in zip(firsts, lasts, strict=True)
            if first <= last
        ]
        return Snapshot(ledger.generation, ledger.revision, segments, joined(blocks))

    def _segments(
        self,
        connection: sqlite3.Connection,
        ledger: Ledger,
        before: tuple[LoadedSegment, ...],
    ) -> tuple[LoadedSegment, ...]:
        if not ledger.segments:
            return ()
        model = self._embeddings.find(connection)
        earlier = {segment.row.id: segment for segment in before}
        return tuple(
            load_segment(connection, row, model, earlier.get(row.id))
            for row in segments_of(connection, ledger)
        )

    def _hold(self, number: int, snapshot: Snapshot) -> None:
        with self._lock:
            old = self._held.get(number)
            if old is not None:
                if (old.generation, old.revision) >= (snapshot.generation, snapshot.revision):
                    return
                self._size -= old.size
            self._held[number] = snapshot
            self._held.move_to_end(number)
            self._size += snapshot.size
            while self._size > self._capacity and len(self._held) > 1:
                _, dropped = self._held.popitem(last=False)
                self._size -= dropped.size
