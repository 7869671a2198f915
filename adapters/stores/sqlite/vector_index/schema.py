"""The tables of the index, and the numbers that tie their rows together.

A document's number is its ledger's times 2**32 plus a count, and so is an embedding's: rows of one
ledger lie side by side, and a cold search of a small ledger reads a few neighbouring pages,
however many ledgers there are. Numbers are never used twice.
"""

from __future__ import annotations

import sqlite3

FORMAT = 1
"""Changes whenever documents would be stored differently."""

LEDGER_BITS = 32
LOW_BITS = (1 << LEDGER_BITS) - 1

_TABLES = (
    # "generation" changes when what was read of a ledger can't be brought up to date row by row,
    # "revision" with every write. "uncovered" documents are in no segment.
    """
    CREATE TABLE IF NOT EXISTS index_ledger (
        id INTEGER PRIMARY KEY,
        name TEXT NOT NULL UNIQUE,
        generation INTEGER NOT NULL DEFAULT 0,
        revision INTEGER NOT NULL DEFAULT 0,
        last_document INTEGER NOT NULL DEFAULT 0,
        last_embedding INTEGER NOT NULL DEFAULT 0,
        documents INTEGER NOT NULL DEFAULT 0,
        uncovered INTEGER NOT NULL DEFAULT 0,
        segments INTEGER NOT NULL DEFAULT 0,
        text_length INTEGER NOT NULL DEFAULT 0,
        context_length INTEGER NOT NULL DEFAULT 0
    )
    """,
    # "touched" is the revision of the ledger that wrote the row, as far as segments do not tell.
    # "pending" is the text of a document that waits for its vector. Times are microseconds.
    """
    CREATE TABLE IF NOT EXISTS index_document (
        id INTEGER PRIMARY KEY,
        ledger INTEGER NOT NULL,
        touched INTEGER NOT NULL,
        fact_id TEXT NOT NULL,
        version INTEGER NOT NULL,
        scope INTEGER NOT NULL,
        visible_from INTEGER,
        visible_to INTEGER,
        valid_from INTEGER,
        valid_to INTEGER,
        occurred_at INTEGER NOT NULL,
        speaker TEXT,
        embedding INTEGER,
        text_length INTEGER NOT NULL,
        context_length INTEGER NOT NULL,
        text_terms BLOB NOT NULL,
        context_terms BLOB NOT NULL,
        names BLOB NOT NULL,
        content BLOB NOT NULL,
        pending TEXT,
        attributes TEXT NOT NULL,
        metadata TEXT NOT NULL
    )
    """,
    "CREATE UNIQUE INDEX IF NOT EXISTS index_document_key ON index_document (fact_id, version)",
    "CREATE INDEX IF NOT EXISTS index_document_touched ON index_document (ledger, touched)",
    """
    CREATE INDEX IF NOT EXISTS index_document_embedding ON index_document (embedding)
    WHERE embedding IS NOT NULL
    """,
    """
    CREATE INDEX IF NOT EXISTS index_document_pending ON index_document (id)
    WHERE pending IS NOT NULL
    """,
    """
    CREATE TABLE IF NOT EXISTS index_scope (
        id INTEGER PRIMARY KEY,
        ledger INTEGER NOT NULL,
        agent_id TEXT NOT NULL,
        run_id TEXT NOT NULL,
        app_id TEXT NOT NULL,
        UNIQUE (ledger, agent_id, run_id, app_id)
    )
    """,
    """
    CREATE TABLE IF NOT EXISTS index_speaker (
        ledger INTEGER NOT NULL,
        name TEXT NOT NULL,
        documents INTEGER NOT NULL,
        PRIMARY KEY (ledger, name)
    ) WITHOUT ROWID
    """,
    """
    CREATE TABLE IF NOT EXISTS index_name (
        ledger INTEGER NOT NULL,
        name INTEGER NOT NULL,
        documents INTEGER NOT NULL,
        PRIMARY KEY (ledger, name)
    ) WITHOUT ROWID
    """,
    """
    CREATE TABLE IF NOT EXISTS index_model (
        id INTEGER PRIMARY KEY,
        name TEXT NOT NULL,
        dimension INTEGER NOT NULL,
        UNIQUE (name, dimension)
    )
    """,
    """
    CREATE TABLE IF NOT EXISTS index_embedding (
        id INTEGER PRIMARY KEY,
        model INTEGER NOT NULL,
        digest BLOB NOT NULL,
        vector BLOB NOT NULL
    )
    """,
    "CREATE INDEX IF NOT EXISTS index_embedding_digest ON index_embedding (digest, model)",
    # AUTOINCREMENT: what is cached of a segment must never be taken for another one.
    """
    CREATE TABLE IF NOT EXISTS index_segment (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        ledger INTEGER NOT NULL,
        model INTEGER NOT NULL,
        first INTEGER NOT NULL,
        last INTEGER NOT NULL,
        documents INTEGER NOT NULL,
        living INTEGER NOT NULL,
        revision INTEGER NOT NULL
    )
    """,
    "CREATE INDEX IF NOT EXISTS index_segment_ledger ON index_segment (ledger, first)",
    # What the codes of a ledger are taken around; fixed by its first segment.
    "CREATE TABLE IF NOT EXISTS index_centre (ledger INTEGER PRIMARY KEY, vector BLOB NOT NULL)",
    "CREATE TABLE IF NOT EXISTS index_part (id INTEGER PRIMARY KEY, data BLOB NOT NULL)",
    """
    CREATE TABLE IF NOT EXISTS index_posting (
        id INTEGER PRIMARY KEY,
        segment INTEGER NOT NULL,
        field INTEGER NOT NULL,
        term INTEGER NOT NULL,
        count INTEGER NOT NULL,
        data BLOB NOT NULL
    )
    """,
    # With the count, so that looking at that alone touches no list.
    """
    CREATE INDEX IF NOT EXISTS index_posting_term ON index_posting (segment, field, term, count)
    """,
)

_CLEARED = (
    "index_document",
    "index_scope",
    "index_speaker",
    "index_name",
    "index_segment",
    "index_centre",
    "index_part",
    "index_posting",
)


def create(connection: sqlite3.Connection) -> None:
    """Make the tables, where they are missing, inside the transaction that is open."""
    for statement in _TABLES:
        connection.execute(statement)


def clear(connection: sqlite3.Connection) -> None:
    """Delete all documents and what was made of them. Embeddings stay: a rebuild reads them."""
    for table in _CLEARED:
        connection.execute(f"DELETE FROM {table}")
    connection.execute(
        "UPDATE index_ledger SET generation = generation + 1, revision = revision + 1, "
        "documents = 0, uncovered = 0, segments = 0, text_length = 0, context_length = 0"
    )


def first_of(ledger: int) -> int:
    """The lowest number that a row of a ledger can have."""
    return ledger << LEDGER_BITS


def last_of(ledger: int) -> int:
    """The highest number that a row of a ledger can have."""
    return first_of(ledger) | LOW_BITS
