"""Counters and statistics of each ledger in the index."""

from __future__ import annotations

import sqlite3

from attrs import define

from remembrancer.adapters.stores.sqlite.vector_index.schema import first_of
from remembrancer.domain.scope import LedgerId

_COLUMNS = (
    "id, generation, revision, last_document, last_embedding, documents, uncovered, segments, "
    "text_length, context_length"
)


@define
class Ledger:
    """A row of ``index_ledger``; changes are written back by ``save``."""

    id: int
    generation: int
    revision: int
    last_document: int
    last_embedding: int
    documents: int
    uncovered: int
    segments: int
    text_length: int
    context_length: int

    def new_document(self) -> int:
        """The number of the next document."""
        self.last_document += 1
        return first_of(self.id) + self.last_document

    def new_embedding(self) -> int:
        """The number of the next embedding."""
        self.last_embedding += 1
        return first_of(self.id) + self.last_embedding

    def averages(self) -> tuple[float, float]:
        """The mean lengths of text and context, in terms."""
        documents = max(1, self.documents)
        return self.text_length / documents, self.context_length / documents


def find_ledger(connection: sqlite3.Connection, name: LedgerId) -> Ledger | None:
    """A ledger by name, ``None`` if the index has never had a document of it."""
    row = connection.execute(
        f"SELECT {_COLUMNS} FROM index_ledger WHERE name = ?", (name,)
    ).fetchone()
    return None if row is None else Ledger(*row)


def load_ledger(connection: sqlite3.Connection, number: int) -> Ledger:
    """A ledger by number."""
    row = connection.execute(
        f"SELECT {_COLUMNS} FROM index_ledger WHERE id = ?", (number,)
    ).fetchone()
    return Ledger(*row)


def open_ledger(connection: sqlite3.Connection, name: LedgerId) -> Ledger:
    """A ledger by name; creates the row of a new one."""
    connection.execute("INSERT OR IGNORE INTO index_ledger (name) VALUES (?)", (name,))
    ledger = find_ledger(connection, name)
    assert ledger is not None
    return ledger


def save(connection: sqlite3.Connection, ledger: Ledger) -> None:
    """Write a ledger's row back."""
    connection.execute(
        "UPDATE index_ledger SET generation = ?, revision = ?, last_document = ?, "
        "last_embedding = ?, documents = ?, uncovered = ?, segments = ?, text_length = ?, "
        "context_length = ? WHERE id = ?",
        (
            ledger.generation,
            ledger.revision,
            ledger.last_document,
            ledger.last_embedding,
            ledger.documents,
            ledger.uncovered,
            ledger.segments,
            ledger.text_length,
            ledger.context_length,
            ledger.id,
        ),
    )
