"""The tables of the index, and the numbers (row ids) that connect them.

The number of a document is its ledger's id times 2**32 plus a counter; same for an embedding. So
the rows of one ledger are adjacent, and a cold search of a small ledger reads a few neighbouring
pages, however many ledgers there are. Numbers are never reused.
"""

from __future__ import annotations

import sqlite3

FORMAT = 1
"""Increases when documents would be stored differently."""

LEDGER_BITS = 32
LOW_BITS = (1 << LEDGER_BITS) - 1

_TABLES = (
    # "generation" changes when a cached snapshot of the ledger can't be updated row by row,
    # "revision" changes with every write. "uncovered": number of documents in no segment.
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
    # "touched": the ledger's revision at the last write of the row. "pending": the text of a
    # document without a vector. Times are in microseconds.
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
    # AUTOINCREMENT: an id must not be reused, since segments are cached by id.
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
    # The centre of a ledger's quantization codes; set by its first segment.
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
    # Includes the count: a covering index, so that counting reads no posting list.
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
    """Create the tables that are missing, inside the open transaction."""
    for statement in _TABLES:
        connection.execute(statement)


def clear(connection: sqlite3.Connection) -> None:
    """Delete all documents and their segments. Embeddings stay: a rebuild reuses them."""
    for table in _CLEARED:
        connection.execute(f"DELETE FROM {table}")
    connection.execute(
        "UPDATE index_ledger SET generation = generation + 1, revision = revision + 1, "
        "documents = 0, uncovered = 0, segments = 0, text_length = 0, context_length = 0"
    )


def first_of(ledger: int) -> int:
    """The lowest possible row number of a ledger."""
    return ledger << LEDGER_BITS


def last_of(ledger: int) -> int:
    """The highest possible row number of a ledger."""
    return first_of(ledger) | LOW_BITS
