"""What an adapter needs of a SQLite database that it shares with others: two kinds of connection.

It says nothing of files, pools or schema versions.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol


class Connections(Protocol):
    """A database that hands out connections, to any thread."""

    def transaction(self) -> AbstractContextManager[sqlite3.Connection]:
        """The writing connection inside ``BEGIN IMMEDIATE``: committed at the end of the block,
        rolled back by an error.
        """
        ...

    def reader(self) -> AbstractContextManager[sqlite3.Connection]:
        """A connection in autocommit mode that sees all that was committed."""
        ...


@contextmanager
def one_view(connection: sqlite3.Connection) -> Iterator[None]:
    """Have all statements of the block see one state of the database.

    On a connection that is in a transaction already, that is what they do anyway.
    """
    if connection.in_transaction:
        yield
        return
    connection.execute("BEGIN")
    try:
        yield
    finally:
        # A read that failed for lack of memory or disk may have ended the transaction by itself.
        if connection.in_transaction:
            connection.execute("ROLLBACK")
