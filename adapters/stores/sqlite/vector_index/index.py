"""The public interface of the SQLite index.

Methods ending in ``_in`` run in the caller's transaction, so that the index commits together with
the log. Ranking across signals and the lifecycle of facts are not decided here.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import suppress

from remembrancer.adapters.damage import decoding
from remembrancer.adapters.stores.sqlite.connections import Connections, one_view
from remembrancer.adapters.stores.sqlite.vector_index import compaction, schema, writing
from remembrancer.adapters.stores.sqlite.vector_index.embeddings import (
    Embeddings,
    forget_all_unused,
)
from remembrancer.adapters.stores.sqlite.vector_index.search import search
from remembrancer.adapters.stores.sqlite.vector_index.sizes import DEFAULT_SIZES, Sizes
from remembrancer.adapters.stores.sqlite.vector_index.snapshots import Snapshots
from remembrancer.adapters.stores.sqlite.vector_index.terms import EncodedTerms, encoded_terms
from remembrancer.domain.errors import AdapterUnavailable, IntegrityError
from remembrancer.domain.facts.fact import FactId, FactKey
from remembrancer.domain.ports.embedder import Vector
from remembrancer.domain.ports.vector_index import Document, Hit, IndexQuery
from remembrancer.domain.recall.analysis import ANALYSIS_VERSION
from remembrancer.domain.scope import LedgerId
from remembrancer.domain.text import EQUALITY_VERSION

PLACE = "the tables index_*"


class SqliteVectorIndex:
    """``VectorIndex`` on SQLite. Thread-safe; several processes may share the file.

    Args:
        connections: the database; ``create`` must have been called on it once.
        model: name of the embedding model, as in ``Embedder.model``.
        dimension: number of components of a vector.
        sizes: limits for memory, segments and searches.
    """

    def __init__(
        self,
        connections: Connections,
        *,
        model: str,
        dimension: int,
        sizes: Sizes = DEFAULT_SIZES,
    ) -> None:
        self._connections = connections
        self._sizes = sizes
        self._embeddings = Embeddings(model, dimension)
        self._snapshots = Snapshots(self._embeddings, sizes.cache)
        self._compacting: list[object] = []

    @property
    def fingerprint(self) -> str:
        """Changes when documents would be stored differently, such as with another embedder."""
        model, dimension = self._embeddings.model, self._embeddings.dimension
        versions = f"{schema.FORMAT}.{ANALYSIS_VERSION}.{EQUALITY_VERSION}"
        return f"{versions}/{model}/{dimension}"

    # Inside a transaction of the caller

    def create(self, connection: sqlite3.Connection) -> None:
        """Create the tables that are missing."""
        schema.create(connection)

    def clear(self, connection: sqlite3.Connection) -> None:
        """Delete all documents. Their vectors stay, so that a rebuild does not embed the same texts
        again; see ``forget_unused_in``.
        """
        schema.clear(connection)

    def terms(self) -> EncodedTerms:
        """The terms of texts for ``put_in``, which can be prepared before the transaction."""
        return encoded_terms()

    def put_in(
        self,
        connection: sqlite3.Connection,
        documents: Sequence[Document],
        terms: EncodedTerms | None = None,
    ) -> None:
        """See ``VectorIndex.put``. Call ``compact`` after the commit."""
        with decoding(PLACE):
            writing.put(connection, self._embeddings, documents, terms or self.terms())

    def remove_in(self, connection: sqlite3.Connection, keys: Sequence[FactKey]) -> None:
        """See ``VectorIndex.remove``."""
        with decoding(PLACE):
            writing.remove(connection, self._embeddings, keys)

    def search_in(self, connection: sqlite3.Connection, query: IndexQuery) -> list[Hit]:
        """See ``VectorIndex.search``. Inside a transaction it includes its uncommitted writes."""
        with decoding(PLACE):
            return search(
                connection,
                query,
                embeddings=self._embeddings,
                snapshots=self._snapshots,
                sizes=self._sizes,
            )

    def vectors_in(
        self, connection: sqlite3.Connection, texts: Sequence[str]
    ) -> Mapping[str, Vector]:
        """See ``VectorIndex.vectors_for``."""
        with decoding("table index_embedding"):
            return self._embeddings.known(connection, texts)

    def count_in(self, connection: sqlite3.Connection) -> int:
        """The number of documents of all ledgers."""
        count: int = connection.execute("SELECT count(*) FROM index_document").fetchone()[0]
        return count

    def without_vector(
        self, connection: sqlite3.Connection, limit: int
    ) -> Sequence[tuple[FactKey, str]]:
        """Keys and texts of documents without a vector, oldest first."""
        rows = connection.execute(
            "SELECT fact_id, version, pending FROM index_document "
            "WHERE pending IS NOT NULL ORDER BY id LIMIT ?",
            (limit,),
        )
        return [((FactId(fact_id), version), text) for fact_id, version, text in rows]

    def forget_unused_in(self, connection: sqlite3.Connection) -> None:
        """Delete this model's vectors that no document uses, at the end of a rebuild."""
        forget_all_unused(connection, self._embeddings.find(connection))

    # The port

    def put(self, documents: Sequence[Document]) -> None:
        """See ``VectorIndex.put``."""
        with self._connections.transaction() as connection:
            self.put_in(connection, documents)
        for ledger in dict.fromkeys(document.scope.ledger for document in documents):
            # The documents are committed; the next write tries to compact again.
            with suppress(AdapterUnavailable, IntegrityError):
                self.compact(ledger)

    def remove(self, keys: Sequence[FactKey]) -> None:
        """See ``VectorIndex.remove``."""
        with self._connections.transaction() as connection:
            self.remove_in(connection, keys)

    def search(self, query: IndexQuery) -> list[Hit]:
        """See ``VectorIndex.search``."""
        with self._connections.reader() as connection:
            return self.search_in(connection, query)

    def speakers(self, ledger: LedgerId) -> Sequence[str]:
        """See ``VectorIndex.speakers``."""
        with self._connections.reader() as connection:
            rows = connection.execute(
                "SELECT name FROM index_speaker "
                "WHERE ledger = (SELECT id FROM index_ledger WHERE name = ?) ORDER BY name",
                (ledger,),
            )
            return [name for (name,) in rows]

    def vectors_for(self, texts: Sequence[str]) -> Mapping[str, Vector]:
        """See ``VectorIndex.vectors_for``."""
        with self._connections.reader() as connection, one_view(connection):
            return self.vectors_in(connection, texts)

    def lacks_vectors(self, ledger: LedgerId) -> bool:
        """See ``TellsMissingVectors``."""
        with self._connections.reader() as connection, one_view(connection):
            return self._embeddings.are_missing(connection, ledger)

    def count(self, ledger: LedgerId) -> int:
        """See ``VectorIndex.count``."""
        with self._connections.reader() as connection:
            row = connection.execute(
                "SELECT documents FROM index_ledger WHERE name = ?", (ledger,)
            ).fetchone()
            return 0 if row is None else int(row[0])

    # Maintenance

    def compact(self, ledger: LedgerId | None = None) -> int:
        """Build segments for ledgers with a long tail; cheap if none has one.

        Call it after a commit, outside any transaction. Results are the same without it; searches
        only get slower with the length of the tail.

        Args:
            ledger: the ledger to compact; ``None`` compacts all.

        Returns:
            The number of segments built; 0 if another thread is compacting.

        Raises:
            AdapterUnavailable: the database is locked, full or read-only; nothing is lost.
        """
        with self._connections.reader() as connection:
            names = compaction.due(connection, self._sizes, ledger)
        if not names:
            return 0
        # Several threads may find the same work due; the first one does it. Not by a lock: it would
        # stay locked if an interrupt came between acquiring it without waiting and the ``try``.
        mine = object()
        self._compacting += [mine]
        try:
            if self._compacting[0] is not mine:
                return 0
            with decoding(PLACE):
                return sum(
                    compaction.compact(self._connections, self._embeddings, self._sizes, name)
                    for name in names
                )
        finally:
            self._compacting.remove(mine)
