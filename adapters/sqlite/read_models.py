"""The read models in the log's own file: fed in the append's transaction, rebuilt from the log.

Each has a checkpoint row, written together with its rows: how far it has come, what made it, and
how many rows it ought to hold. A checkpoint that does not fit is noticed at open.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol, TypeAlias

from memledger.adapters.fact_store.sqlite import SqliteFactStore
from memledger.adapters.sqlite.conversations import SqliteConversations
from memledger.adapters.sqlite.database import Database
from memledger.domain.errors import InvalidRequest
from memledger.domain.fact import Fact, FactKey
from memledger.domain.indexing import INDEXED, context_for, document_of, to_index
from memledger.domain.ledger import FactChange
from memledger.domain.ports.embedder import Vector
from memledger.domain.ports.vector_index import Document
from memledger.domain.recorded import Position, Recorded
from memledger.domain.scope import LedgerId

if TYPE_CHECKING:
    import sqlite_utils

FACTS = "facts"
INDEX = "index"
FACTS_FINGERPRINT = "1"
PAGE = 500

Progress: TypeAlias = Callable[[str, int, int], None]
"""Called while a rebuild runs: with what is being done, how much is done, and how much there is."""

Embed: TypeAlias = Callable[[Sequence[str]], Mapping[str, Vector]]
"""The vectors that are at hand for texts; a text without one is embedded later."""


def create_checkpoints(schema: sqlite_utils.Database) -> None:
    """The table of checkpoints, as of schema version 1."""
    schema.table("projection").create(
        {"name": str, "fingerprint": str, "position": int, "rows": int},
        pk="name",
        not_null={"fingerprint", "position", "rows"},
    )


class EmbeddedIndex(Protocol):
    """A vector index that lives in the log's own file."""

    @property
    def fingerprint(self) -> str:
        """Changes whenever documents would be stored differently, as with another embedder."""
        ...

    def create(self, connection: sqlite3.Connection) -> None:
        """Make the tables, where they are missing."""
        ...

    def clear(self, connection: sqlite3.Connection) -> None:
        """Drop all documents."""
        ...

    def put_in(self, connection: sqlite3.Connection, documents: Sequence[Document]) -> None:
        """``put`` inside a transaction."""
        ...

    def vectors_in(
        self, connection: sqlite3.Connection, texts: Sequence[str]
    ) -> Mapping[str, Vector]:
        """``vectors_for`` inside a transaction."""
        ...

    def count_in(self, connection: sqlite3.Connection) -> int:
        """Documents of all ledgers."""
        ...

    def without_vector(
        self, connection: sqlite3.Connection, limit: int
    ) -> Sequence[tuple[FactKey, str]]:
        """Documents that wait to be embedded, with their texts."""
        ...

    def forget_unused_in(self, connection: sqlite3.Connection) -> None:
        """Delete the vectors that no document has, at the end of a rebuild."""
        ...

    def compact(self, ledger: LedgerId | None = None) -> int:
        """Upkeep after commits, outside of any transaction; cheap where there is none to do."""
        ...


class LogReader(Protocol):
    """What a rebuild reads."""

    def read_in(
        self, connection: sqlite3.Connection, after: Position, limit: int
    ) -> Sequence[Recorded]:
        """``AuditLog.read`` inside a transaction."""
        ...


class SqliteReadModels:
    """Facts and index together; the index follows from the facts.

    Args:
        database: where the log is.
        facts: the facts read model.
        index: the index.
        embed: vectors for texts, quickly and without waiting for anybody.
    """

    def __init__(
        self, database: Database, facts: SqliteFactStore, index: EmbeddedIndex, embed: Embed
    ) -> None:
        self._database = database
        self._facts = facts
        self._index = index
        self._embed = embed

    def apply(self, connection: sqlite3.Connection, chain: Sequence[Recorded]) -> None:
        """Take in events inside the append's transaction.

        Raises:
            InvalidRequest: another process has rebuilt the index for another embedder.
        """
        changes = self._facts.apply(connection, chain)
        conversations = SqliteConversations(connection, self._facts)
        self._index_all(connection, to_index(chain, changes, conversations))
        self._advance(connection, chain[-1].position, changes)

    def committed(self, chain: Sequence[Recorded]) -> None:
        """Upkeep after the append's transaction."""
        self._index.compact(chain[0].ledger)

    def _index_all(
        self, connection: sqlite3.Connection, versions: Sequence[tuple[Fact, str]]
    ) -> None:
        texts = [fact.text for fact, _ in versions]
        vectors = dict(self._embed(texts))
        missing = [text for text in texts if text not in vectors]
        if missing:
            vectors.update(self._index.vectors_in(connection, missing))
        self._index.put_in(
            connection,
            [
                document_of(fact, context=context, vector=vectors.get(fact.text))
                for fact, context in versions
            ],
        )

    def unembedded(self, limit: int) -> Sequence[str]:
        """See ``ReadModels.unembedded``."""
        with self._database.reader() as connection:
            return [text for _, text in self._index.without_vector(connection, limit)]

    def supply(self, vectors: Mapping[str, Vector]) -> int:
        """See ``ReadModels.supply``."""
        with self._database.transaction() as connection:
            waiting = self._index.without_vector(connection, len(vectors))
            conversations = SqliteConversations(connection, self._facts)
            versions = [
                fact
                for (fact_id, version), text in waiting
                if text in vectors
                for fact in self._facts.versions_in(connection, fact_id)
                if fact.version == version
            ]
            self._index.put_in(
                connection,
                [
                    document_of(
                        fact, context=context_for(fact, conversations), vector=vectors[fact.text]
                    )
                    for fact in versions
                ],
            )
        return len(versions)

    def _advance(
        self, connection: sqlite3.Connection, position: int, changes: Sequence[FactChange]
    ) -> None:
        documents = sum(change.after.status in INDEXED for change in changes)
        for name, fingerprint, rows in (
            (FACTS, FACTS_FINGERPRINT, len(changes)),
            (INDEX, self._index.fingerprint, documents),
        ):
            moved = connection.execute(
                "UPDATE projection SET position = ?, rows = rows + ? "
                "WHERE name = ? AND fingerprint = ?",
                (position, rows, name, fingerprint),
            )
            if moved.rowcount != 1:
                raise InvalidRequest(
                    "embedder",
                    f"another process has rebuilt the {name} read model with other settings; "
                    "open the database again with those",
                )

    def catch_up(self, log: LogReader, progress: Progress | None = None) -> None:
        """Bring the read models up to the log: go on from the checkpoints where they can be
        trusted, start from nothing where they can't.
        """
        with self._database.reader() as connection:
            if self._state(connection) == "current":
                return
        with self._database.transaction() as connection:
            state = self._state(connection)
            if state == "damaged":
                self._start_over(connection)
            position = self._checkpoints(connection)[FACTS][1]
            last = _last_position(connection)
            while page := log.read_in(connection, Position(position), PAGE):
                self.apply(connection, page)
                position = page[-1].position
                if progress is not None:
                    progress("rebuilding read models", position, last)
            if state == "damaged":
                self._index.forget_unused_in(connection)
        self._index.compact()

    def _start_over(self, connection: sqlite3.Connection) -> None:
        self._facts.create(connection)
        self._facts.clear(connection)
        self._index.create(connection)
        self._index.clear(connection)
        connection.executemany(
            "INSERT OR REPLACE INTO projection VALUES (?, ?, 0, 0)",
            [(FACTS, FACTS_FINGERPRINT), (INDEX, self._index.fingerprint)],
        )

    def _state(self, connection: sqlite3.Connection) -> str:
        """``current``, ``behind`` or ``damaged``."""
        checkpoints = self._checkpoints(connection)
        try:
            expected = {
                FACTS: (FACTS_FINGERPRINT, self._facts.count_in(connection)),
                INDEX: (self._index.fingerprint, self._index.count_in(connection)),
            }
        except sqlite3.OperationalError:
            # A table is missing.
            return "damaged"
        if {name: (c[0], c[2]) for name, c in checkpoints.items()} != expected:
            return "damaged"
        positions = {checkpoint[1] for checkpoint in checkpoints.values()}
        last = _last_position(connection)
        if positions == {last}:
            return "current"
        return "behind" if len(positions) == 1 and positions < {last} else "damaged"

    def _checkpoints(self, connection: sqlite3.Connection) -> dict[str, tuple[str, int, int]]:
        rows = connection.execute("SELECT name, fingerprint, position, rows FROM projection")
        return {name: (fingerprint, position, count) for name, fingerprint, position, count in rows}

    def positions(self) -> Mapping[str, int]:
        """The last position that each read model has taken in."""
        with self._database.reader() as connection:
            checkpoints = self._checkpoints(connection)
        return {name: position for name, (_, position, _) in checkpoints.items()}


def _last_position(connection: sqlite3.Connection) -> int:
    row = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'event'").fetchone()
    return row[0] if row else 0
