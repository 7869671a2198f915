"""The read models in the log's own file: fed in the append's transaction, rebuilt from the log.

Each has a checkpoint row, written together with its rows: how far it has come, what made it, and
how many rows it ought to hold. A checkpoint that does not fit is noticed at open.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Protocol, TypeAlias

from remembrancer.adapters.stores.shared.sealing import NEWEST
from remembrancer.adapters.stores.sqlite.connections import one_view
from remembrancer.adapters.stores.sqlite.conversations import SqliteConversations
from remembrancer.adapters.stores.sqlite.database import Database
from remembrancer.adapters.stores.sqlite.fact_store import SqliteFactStore
from remembrancer.domain.errors import (
    AdapterUnavailable,
    IntegrityError,
    InvalidRequest,
    RemembrancerError,
)
from remembrancer.domain.facts.fact import Fact, FactKey
from remembrancer.domain.ports.embedder import Vector
from remembrancer.domain.ports.vector_index import Document
from remembrancer.domain.recall.documents import (
    INDEXED,
    context_for,
    document_of,
    to_index,
    touched,
)
from remembrancer.domain.recorded import Position, Recorded
from remembrancer.domain.scope import LedgerId

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
    """The table of checkpoints, as of schema version 1, where it is missing."""
    schema.table("projection").create(
        {"name": str, "fingerprint": str, "position": int, "rows": int},
        pk="name",
        not_null={"fingerprint", "position", "rows"},
        if_not_exists=True,
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


class _Tables(Protocol):
    def create(self, connection: sqlite3.Connection) -> None:
        """Make the tables, where they are missing."""
        ...

    def clear(self, connection: sqlite3.Connection) -> None:
        """Drop all rows."""
        ...


class Projection(_Tables, Protocol):
    """A read model in the log's own file that follows from the log alone."""

    @property
    def name(self) -> str:
        """What its checkpoint goes by."""
        ...

    @property
    def fingerprint(self) -> str:
        """Changes whenever its rows would be others."""
        ...

    def apply_in(self, connection: sqlite3.Connection, chain: Sequence[Recorded]) -> int:
        """Take in events inside the append's transaction; returns how many rows were added, as
        ``count_in`` counts them.
        """
        ...

    def count_in(self, connection: sqlite3.Connection) -> int:
        """How many rows there are."""
        ...


class LogReader(Protocol):
    """What a rebuild reads."""

    def read_in(
        self, connection: sqlite3.Connection, after: Position, limit: int
    ) -> Sequence[Recorded]:
        """``AuditLog.read`` inside a transaction."""
        ...


class SqliteReadModels:
    """Facts and index together, since the index follows from the facts; and whatever else follows
    the log.

    Args:
        database: where the log is.
        facts: the facts read model.
        index: the index.
        embed: vectors for texts, quickly and without waiting for anybody.
        others: further read models, such as the knowledge graph.
    """

    def __init__(
        self,
        database: Database,
        facts: SqliteFactStore,
        index: EmbeddedIndex,
        embed: Embed,
        others: Sequence[Projection] = (),
    ) -> None:
        self._database = database
        self._facts = facts
        self._index = index
        self._embed = embed
        self._others = others

    def apply(self, connection: sqlite3.Connection, chain: Sequence[Recorded]) -> None:
        """Take in events inside the append's transaction.

        Raises:
            InvalidRequest: another process has rebuilt the index for another embedder.
            AdapterUnavailable: the read models have not taken in all that was before.
        """
        changes = self._facts.apply(connection, chain)
        conversations = SqliteConversations(connection, self._facts)
        self._index_all(connection, to_index(chain, changes, conversations))
        added = {
            FACTS: len(changes),
            INDEX: sum(change.after.status in INDEXED for change in changes),
            **{other.name: other.apply_in(connection, chain) for other in self._others},
        }
        self._advance(connection, chain, added)

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

    def documents(self, chain: Sequence[Recorded]) -> Sequence[tuple[Fact, str]]:
        """See ``ReadModels.documents``."""
        with self._database.reader() as connection, one_view(connection):
            return touched(
                chain,
                SqliteConversations(connection, self._facts),
                partial(self._facts.versions_in, connection),
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
        self,
        connection: sqlite3.Connection,
        chain: Sequence[Recorded],
        added: Mapping[str, int],
    ) -> None:
        before, last = chain[0].position - 1, chain[-1].position
        for name, fingerprint in self._fingerprints().items():
            moved = connection.execute(
                "UPDATE projection SET position = ?, rows = rows + ? "
                "WHERE name = ? AND fingerprint = ? AND position = ?",
                (last, added[name], name, fingerprint, before),
            )
            if moved.rowcount != 1:
                raise self._refusal(connection, name, fingerprint)

    def _fingerprints(self) -> dict[str, str]:
        """What makes each read model, by its name."""
        return {
            FACTS: FACTS_FINGERPRINT,
            INDEX: self._index.fingerprint,
            **{other.name: other.fingerprint for other in self._others},
        }

    def _refusal(
        self, connection: sqlite3.Connection, name: str, fingerprint: str
    ) -> RemembrancerError:
        """Why a read model can't take in what was appended."""
        found = self._checkpoints(connection).get(name)
        if found is not None and found[0] != fingerprint:
            return InvalidRequest(
                "embedder",
                f"another process has rebuilt the {name} read model with other settings; "
                "open the database again with those",
            )
        return AdapterUnavailable(
            "sqlite",
            f"the {name} read model does not stand where the log ends; "
            "open the database again to have it rebuilt",
        )

    def catch_up(self, log: LogReader, progress: Progress | None = None) -> None:
        """Bring the read models up to the log: go on from the checkpoints where they can be
        trusted, start from nothing where they can't.

        Raises:
            InvalidRequest: events are sealed, and there is no vault.
            Erased: there is one, without their key.
        """
        with self._database.reader() as connection:
            current = self._state(connection) == "current"
            newest = Position(max(0, _last_position(connection) - NEWEST))
        if current:
            # What is damaged is for verify to tell.
            with suppress(IntegrityError), self._database.reader() as connection:
                log.read_in(connection, newest, NEWEST)
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

    def state(self) -> str:
        """``current``; ``behind``, if there is more in the log; ``damaged``, if they were made by
        other software or for another embedder, or rows are missing. ``catch_up`` mends both.
        """
        with self._database.reader() as connection:
            return self._state(connection)

    def _start_over(self, connection: sqlite3.Connection) -> None:
        import sqlite_utils

        create_checkpoints(sqlite_utils.Database(connection))
        models: tuple[_Tables, ...] = (self._facts, self._index, *self._others)
        for model in models:
            model.create(connection)
            model.clear(connection)
        connection.execute("DELETE FROM projection")
        connection.executemany(
            "INSERT INTO projection VALUES (?, ?, 0, 0)", self._fingerprints().items()
        )

    def _state(self, connection: sqlite3.Connection) -> str:
        """``current``, ``behind`` or ``damaged``."""
        try:
            checkpoints = self._checkpoints(connection)
            counts = {
                FACTS: self._facts.count_in(connection),
                INDEX: self._index.count_in(connection),
                **{other.name: other.count_in(connection) for other in self._others},
            }
        except sqlite3.OperationalError:
            # A table is missing.
            return "damaged"
        expected = {name: (print_, counts[name]) for name, print_ in self._fingerprints().items()}
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
