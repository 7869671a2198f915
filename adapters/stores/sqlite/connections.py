"""The connections that SQLite adapters share: one writer in a transaction, and readers.

Files, pools and schema versions are in ``database``.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol


class Connections(Protocol):
    """A source of connections, for any thread."""

    def transaction(self) -> AbstractContextManager[sqlite3.Connection]:
        """The writing connection inside ``BEGIN IMMEDIATE``: commits at the end of the block, rolls
        back on an error.
        """
        ...

    def reader(self) -> AbstractContextManager[sqlite3.Connection]:
        """A connection in autocommit mode; it sees everything committed so far."""
        ...


@contextmanager
def one_view(connection: sqlite3.Connection) -> Iterator[None]:
    """Run all statements of the block in one read transaction (snapshot isolation).

    Does nothing on a connection that is already in a transaction.
    """
    if connection.in_transaction:
        yield
        return
    try:
        connection.execute("BEGIN")
        yield
    finally:
        # Does nothing if SQLite has rolled back by itself (out of memory or disk).
        connection.rollback()
