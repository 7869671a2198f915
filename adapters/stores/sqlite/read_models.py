"""The read models on SQLite: updated in the append's transaction, rebuilt from the log on request.

Each has a checkpoint, written in the same transaction as its rows: the last applied position, the
fingerprint of its format and settings, and the expected number of rows. A checkpoint that does not
match is detected when the database is opened, and left as it is.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from remembrancer.adapters.index_scoring.line_analysis import LineAnalysis
from remembrancer.adapters.stores.shared.read_model_parts import (
    FACTS,
    INDEX,
    LABEL,
    PAGE,
    Embed,
    Fingerprinted,
    Named,
    damaged,
    documents_of,
    fingerprints_of,
    refused,
)
from remembrancer.adapters.stores.shared.sealing import NEWEST
from remembrancer.adapters.stores.sqlite.connections import one_view
from remembrancer.adapters.stores.sqlite.conversations import SqliteConversations
from remembrancer.adapters.stores.sqlite.database import Database
from remembrancer.adapters.stores.sqlite.fact_store import SqliteFactStore
from remembrancer.adapters.stores.sqlite.failures import is_missing
from remembrancer.adapters.stores.sqlite.schema_sql import create
from remembrancer.domain.errors import AdapterUnavailable, IntegrityError, RemembrancerError
from remembrancer.domain.facts.fact import Fact, FactKey
from remembrancer.domain.ports.embedder import Vector
from remembrancer.domain.ports.read_models import OnRebuild, ReadModelsState, Refusal
from remembrancer.domain.ports.vector_index import Document
from remembrancer.domain.recall.documents import (
    INDEXED,
    context_for,
    texts_to_analyse,
    to_index,
    touched,
)
from remembrancer.domain.recorded import Append, Position, Recorded
from remembrancer.domain.scope import LedgerId

if TYPE_CHECKING:
    import sqlite_utils


Terms: TypeAlias = LineAnalysis[Any, Any]
"""The terms of texts, in the form in which the index stores them."""


def create_checkpoints(connection: sqlite3.Connection) -> None:
    """Create the table of checkpoints if it is missing."""
    create(connection, _define)


def _define(schema: sqlite_utils.Database) -> None:
    schema.table("projection").create(
        {"name": str, "fingerprint": str, "position": int, "rows": int},
        pk="name",
        not_null={"fingerprint", "position", "rows"},
        if_not_exists=True,
    )


class _Tables(Protocol):
    def create(self, connection: sqlite3.Connection) -> None:
        """Create the tables that are missing."""
        ...

    def clear(self, connection: sqlite3.Connection) -> None:
        """Delete all rows."""
        ...

    def count_in(self, connection: sqlite3.Connection) -> int:
        """The number of rows of all ledgers."""
        ...


class EmbeddedIndex(_Tables, Fingerprinted, Protocol):
    """A vector index in the log's SQLite file."""

    def terms(self) -> Terms:
        """The terms of texts for ``put_in``, which can be prepared before the transaction."""
        ...

    def put_in(
        self,
        connection: sqlite3.Connection,
        documents: Sequence[Document],
        terms: Terms | None = None,
    ) -> None:
        """Same as ``VectorIndex.put``, inside a transaction."""
        ...

    def vectors_in(
        self, connection: sqlite3.Connection, texts: Sequence[str]
    ) -> Mapping[str, Vector]:
        """Same as ``VectorIndex.vectors_for``, inside a transaction."""
        ...

    def without_vector(
        self, connection: sqlite3.Connection, limit: int
    ) -> Sequence[tuple[FactKey, str]]:
        """Keys and texts of documents without a vector."""
        ...

    def forget_unused_in(self, connection: sqlite3.Connection) -> None:
        """Delete the vectors that no document uses, at the end of a rebuild."""
        ...

    def compact(self, ledger: LedgerId | None = None) -> int:
        """Build segments after a commit, outside any transaction; cheap if none is due."""
        ...


class Projection(_Tables, Named, Protocol):
    """A read model in the log's SQLite file that depends on the log alone."""

    def apply_in(self, connection: sqlite3.Connection, chain: Sequence[Recorded]) -> int:
        """Apply events inside the append's transaction; returns the number of rows added, as
        ``count_in`` counts them.
        """
        ...


class LogReader(Protocol):
    """The audit log, as a rebuild reads it."""

    def read_in(
        self, connection: sqlite3.Connection, after: Position, limit: int
    ) -> Sequence[Recorded]:
        """Same as ``AuditLog.read``, on the given connection."""
        ...


class SqliteReadModels:
    """All read models of the log: facts, the index (which depends on the facts) and others.

    Args:
        database: the open database.
        facts: the facts read model.
        index: the vector index.
        embed: returns the available vectors of texts; must not block.
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

    def prepare(self, append: Append) -> Terms:
        """Analyse the texts that the append will index, outside of its transaction."""
        terms = self._index.terms()
        with self._database.reader() as connection, one_view(connection):
            conversations = SqliteConversations(connection, self._facts)
            texts = texts_to_analyse([new.event for new in append.events], conversations)
        terms.prepare(texts)
        return terms

    def apply(
        self,
        connection: sqlite3.Connection,
        chain: Sequence[Recorded],
        prepared: Terms | None = None,
    ) -> None:
        """Apply events inside the append's transaction.

        Args:
            connection: that of the transaction.
            chain: the events.
            prepared: the result of ``prepare``; what is missing in it is analysed here.

        Raises:
            InvalidRequest: another embedder or release made the read models.
            AdapterUnavailable: a checkpoint is not at the position before these events.
        """
        if chain[0].position == 1 and self._stored(connection) != self.fingerprints():
            # An empty log has nothing to lose: the first write decides, not the first opening.
            self._start_over(connection)
        changes = self._facts.apply(connection, chain)
        conversations = SqliteConversations(connection, self._facts)
        self._index_all(connection, to_index(chain, changes, conversations), prepared)
        added = {
            FACTS: len(changes),
            INDEX: sum(change.after.status in INDEXED for change in changes),
            **{other.name: other.apply_in(connection, chain) for other in self._others},
        }
        self._advance(connection, chain, added)

    def committed(self, chain: Sequence[Recorded]) -> None:
        """Maintain the index after the append's commit."""
        self._index.compact(chain[0].ledger)

    def _index_all(
        self,
        connection: sqlite3.Connection,
        versions: Sequence[tuple[Fact, str]],
        terms: Terms | None,
    ) -> None:
        texts = [fact.text for fact, _ in versions]
        vectors = dict(self._embed(texts))
        missing = [text for text in texts if text not in vectors]
        if missing:
            vectors.update(self._index.vectors_in(connection, missing))
        self._index.put_in(connection, documents_of(versions, vectors), terms)

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
        """See ``ReadModels.supply``.

        Raises:
            InvalidRequest: another embedder or release made the read models.
        """
        with self._database.transaction() as connection:
            if (refusal := refused(self._stored(connection), self.fingerprints())) is not None:
                raise refusal
            waiting = [
                key
                for key, text in self._index.without_vector(connection, len(vectors))
                if text in vectors
            ]
            facts = self._facts.load_in(connection, waiting)
            conversations = SqliteConversations(connection, self._facts)
            versions = [(fact, context_for(fact, conversations)) for fact in facts]
            self._index.put_in(connection, documents_of(versions, vectors))
        return len(facts)

    def _advance(
        self,
        connection: sqlite3.Connection,
        chain: Sequence[Recorded],
        added: Mapping[str, int],
    ) -> None:
        before, last = chain[0].position - 1, chain[-1].position
        for name, fingerprint in self.fingerprints().items():
            moved = connection.execute(
                "UPDATE projection SET position = ?, rows = rows + ? "
                "WHERE name = ? AND fingerprint = ? AND position = ?",
                (last, added[name], name, fingerprint, before),
            )
            if moved.rowcount != 1:
                raise self._checkpoint_error(connection, name, before)

    def fingerprints(self) -> dict[str, str]:
        """The fingerprint of each read model of this memory, by name."""
        return fingerprints_of(self._index, self._others)

    def _checkpoint_error(
        self, connection: sqlite3.Connection, name: str, before: int
    ) -> RemembrancerError:
        """The error for a checkpoint that could not be advanced from the position ``before``."""
        ((last,),) = connection.execute(
            "SELECT coalesce(max(position), 0) FROM event WHERE position <= ?", (before,)
        )
        if last != before:
            return damaged(f"the log ends at position {last}, but its sequence is at {before}")
        return refused(self._stored(connection), self.fingerprints()) or AdapterUnavailable(
            "sqlite",
            f"the checkpoint of the {name} read model is not at the end of the log; "
            "open the database again, which applies the rest",
        )

    def catch_up(self, log: LogReader, progress: OnRebuild | None = None) -> Refusal | None:
        """See ``CatchesUp.catch_up``. The rest of the log is applied in bounded transactions.

        Raises:
            InvalidRequest: events are sealed, and no key vault is set.
            Erased: events are sealed, and the key vault has no key for them.
        """
        writable = not self._database.settings.read_only
        if writable:
            self._create_missing()
        with self._database.reader() as connection:
            state = self._state(connection)
            newest = Position(max(0, _last_position(connection) - NEWEST))
        if state == "behind" and writable:
            try:
                self._apply_rest(log, progress)
            except IntegrityError as error:
                return error
        else:
            # Damaged events are reported by verify.
            with suppress(IntegrityError), self._database.reader() as connection:
                log.read_in(connection, newest, NEWEST)
        return self.refusal()

    def _create_missing(self) -> None:
        with self._database.reader() as connection:
            absent = self._absent(connection)
        if absent:
            with self._database.transaction() as connection:
                # Another process may have been faster.
                if self._absent(connection):
                    self._start_over(connection)

    def _absent(self, connection: sqlite3.Connection) -> bool:
        """Whether there is no checkpoint, and no row to lose."""
        return not self._stored(connection) and not any(
            _count(model, connection) for model in self._models()
        )

    def _apply_rest(self, log: LogReader, progress: OnRebuild | None) -> None:
        while True:
            with self._database.transaction() as connection:
                # Another process may have gone on, or rebuilt them.
                if self._state(connection, counted=False) != "behind":
                    break
                position = self._checkpoints(connection)[FACTS][1]
                if self._apply_page(connection, log, position, progress) is None:
                    # Otherwise this would never end.
                    raise damaged(
                        f"the log ends at position {position}, but its sequence is at "
                        f"{_last_position(connection)}"
                    )
        self._index.compact()

    def _apply_page(
        self,
        connection: sqlite3.Connection,
        log: LogReader,
        position: int,
        progress: OnRebuild | None,
    ) -> int | None:
        """Apply the events after a position; returns the last one, ``None`` if there are none."""
        page = log.read_in(connection, Position(position), PAGE)
        if not page:
            return None
        try:
            self.apply(connection, page)
        except sqlite3.IntegrityError as error:
            raise damaged(f"position {page[0].position} can't be applied ({error})") from error
        if progress is not None:
            progress(LABEL, page[-1].position, _last_position(connection))
        return page[-1].position

    def rebuild(self, log: LogReader, progress: OnRebuild | None = None) -> None:
        """See ``Rebuildable.rebuild``. Other writers wait until it is done."""
        with self._database.transaction() as connection:
            self._start_over(connection)
            position: int | None = 0
            while position is not None:
                position = self._apply_page(connection, log, position, progress)
            self._index.forget_unused_in(connection)
        self._index.compact()

    def state(self) -> ReadModelsState:
        """See ``HasState.state``."""
        with self._database.reader() as connection:
            return self._state(connection)

    def refusal(self) -> Refusal | None:
        """See ``HasState.refusal``."""
        with self._database.reader() as connection, one_view(connection):
            stored = self._stored(connection)
            state = self._state(connection)
        if state == "different":
            return refused(stored, self.fingerprints())
        if state == "damaged":
            return damaged("rows, tables or checkpoints are missing, or do not match the log")
        return None

    def create(self, connection: sqlite3.Connection) -> None:
        """Create the tables that are missing."""
        create_checkpoints(connection)
        for model in self._models():
            model.create(connection)

    def _start_over(self, connection: sqlite3.Connection) -> None:
        self.create(connection)
        for model in self._models():
            model.clear(connection)
        connection.execute("DELETE FROM projection")
        connection.executemany(
            "INSERT INTO projection VALUES (?, ?, 0, 0)", self.fingerprints().items()
        )

    def _models(self) -> tuple[_Tables, ...]:
        return (self._facts, self._index, *self._others)

    def _state(self, connection: sqlite3.Connection, *, counted: bool = True) -> ReadModelsState:
        """See ``HasState.state``; without ``counted``, missing rows are not noticed."""
        stored, own = self._stored(connection), self.fingerprints()
        last = _last_position(connection)
        if stored != own:
            lost = bool(last) and not self._absent(connection)
            return "different" if lost else "behind" if last else "current"
        checkpoints = self._checkpoints(connection)
        if counted:
            counts = {
                name: _count(model, connection)
                for name, model in zip(own, self._models(), strict=True)
            }
            if {name: rows for name, (_, _, rows) in checkpoints.items()} != counts:
                return "damaged"
        positions = {position for _, position, _ in checkpoints.values()}
        if positions == {last}:
            return "current"
        return "behind" if len(positions) == 1 and max(positions) < last else "damaged"

    def _stored(self, connection: sqlite3.Connection) -> dict[str, str]:
        """The fingerprints in the file, by name; empty if there is no table of checkpoints."""
        try:
            found = self._checkpoints(connection)
        except sqlite3.OperationalError as error:
            if not is_missing(error):
                raise
            return {}
        return {name: fingerprint for name, (fingerprint, _, _) in found.items()}

    def _checkpoints(self, connection: sqlite3.Connection) -> dict[str, tuple[str, int, int]]:
        rows = connection.execute("SELECT name, fingerprint, position, rows FROM projection")
        return {name: (fingerprint, position, count) for name, fingerprint, position, count in rows}

    def positions(self) -> Mapping[str, int]:
        """The checkpoint of each read model, by name: the last applied position."""
        with self._database.reader() as connection:
            checkpoints = self._checkpoints(connection)
        return {name: position for name, (_, position, _) in checkpoints.items()}


def _last_position(connection: sqlite3.Connection) -> int:
    row = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'event'").fetchone()
    return row[0] if row else 0


def _count(model: _Tables, connection: sqlite3.Connection) -> int | None:
    """The number of rows, ``None`` if there is no table."""
    try:
        return model.count_in(connection)
    except sqlite3.OperationalError as error:
        if not is_missing(error):
            raise
        return None
