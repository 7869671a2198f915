"""``VectorIndex`` on PostgreSQL.

Methods with the suffix ``_in`` run in the caller's transaction, so that the index commits together
with the log. Ranking and facts are not part of this module.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from remembrancer.adapters.stores.postgres.nul import restored as unescaped
from remembrancer.adapters.stores.postgres.sessions import Connection, Reader, Sessions
from remembrancer.adapters.stores.postgres.vector_index import schema, writing
from remembrancer.adapters.stores.postgres.vector_index.graphs import LARGE, Graphs
from remembrancer.adapters.stores.postgres.vector_index.searching import search
from remembrancer.adapters.stores.postgres.vector_index.terms import WrittenTerms, written_terms
from remembrancer.adapters.stores.postgres.vector_index.vectors import (
    digest_of,
    from_bytes,
    from_text,
    restored,
)
from remembrancer.adapters.stores.postgres.vector_index.writing import Storage
from remembrancer.domain.facts.fact import FactId, FactKey
from remembrancer.domain.ports.embedder import Vector
from remembrancer.domain.ports.vector_index import Document, Hit, IndexQuery
from remembrancer.domain.recall.analysis import ANALYSIS_VERSION
from remembrancer.domain.scope import LedgerId
from remembrancer.domain.text import EQUALITY_VERSION


class PostgresVectorIndex:
    """See ``VectorIndex``. Safe to share between threads and tasks; the tables, between processes.

    Args:
        sessions: the database; ``create`` must have been called in it once.
        model: embedding model, as ``Embedder.model``.
        dimension: components per vector.
        prefix: prefix of the table names.
        pgvector: whether to use the extension if the server has it; takes effect when the tables
            are created.
        large: minimum documents of a ledger for an HNSW index.
    """

    def __init__(
        self,
        sessions: Sessions,
        *,
        model: str,
        dimension: int,
        prefix: str = "index",
        pgvector: bool = True,
        large: int = LARGE,
    ) -> None:
        self._sessions = sessions
        self._tables = schema.Tables(prefix)
        self._model = model
        self._dimension = dimension
        self._pgvector = pgvector
        self._graphs = Graphs(self._tables, large)
        self._known: Storage | None = None

    @property
    def fingerprint(self) -> str:
        """Changes if documents would be stored differently, as with another embedder."""
        versions = f"{schema.FORMAT}.{ANALYSIS_VERSION}.{EQUALITY_VERSION}"
        return f"{versions}/{self._model}/{self._dimension}"

    @property
    def never_suspends(self) -> bool:
        """See ``Sessions.never_suspends``."""
        return self._sessions.never_suspends

    @property
    def tables(self) -> Sequence[str]:
        """The names of the tables."""
        return self._tables.all

    # In the caller's transaction

    async def create(self, connection: Connection) -> None:
        """Create missing tables."""
        extension = await schema.install_extension(connection) if self._pgvector else None
        await schema.create(
            connection, self._tables, extension, self._dimension, self._sessions.schema
        )
        self._known = None

    async def clear(self, connection: Connection) -> None:
        """Delete all documents. Vectors are kept for texts that are put again; see
        ``forget_unused_in``. If pgvector was installed after the tables were created, the tables
        are created again for it, and vectors are lost.
        """
        stored = await schema.stored_as(connection, self._tables)
        found = await schema.find_extension(connection) if self._pgvector else None
        if (stored == "vector") == (found is not None):
            await schema.empty(connection, self._tables)
            return
        await self.start_over(connection)

    async def start_over(self, connection: Connection) -> None:
        """Drop the tables and create them again; readers wait until the commit."""
        await schema.drop(connection, self._tables)
        await self.create(connection)

    def terms(self) -> WrittenTerms:
        """The terms of texts for ``put_in``, which can be prepared before the transaction."""
        return written_terms()

    async def put_in(
        self,
        connection: Connection,
        documents: Sequence[Document],
        terms: WrittenTerms | None = None,
    ) -> None:
        """See ``VectorIndex.put``."""
        storage = await self.storage(connection)
        await writing.put(connection, storage, documents, terms or self.terms())

    async def remove_in(self, connection: Connection, keys: Sequence[FactKey]) -> None:
        """See ``VectorIndex.remove``."""
        await writing.remove(connection, self._tables, keys)

    async def search_in(self, connection: Reader, query: IndexQuery) -> list[Hit]:
        """See ``VectorIndex.search``. In a transaction it sees the transaction's own writes."""
        return await search(connection, await self.storage(connection), query, self._graphs)

    async def vectors_in(self, connection: Reader, texts: Sequence[str]) -> Mapping[str, Vector]:
        """See ``VectorIndex.vectors_for``."""
        digests = {digest_of(text): text for text in texts}
        extension = (await self.storage(connection)).extension
        t, model = self._tables, "(SELECT id FROM {} WHERE name = %s AND dimension = %s)"
        column = "vector" if extension is None else "vector::text"
        whose = model.format(t.model)
        wanted = (list(digests), self._model, self._dimension)
        cursor = await connection.execute(
            f"SELECT digest, exponent, {column} FROM {t.kept} "
            f"WHERE digest = ANY (%s) AND model = {whose} UNION ALL "
            f"SELECT * FROM (SELECT DISTINCT ON (digest) digest, exponent, {column} "
            f"FROM {t.document} WHERE digest = ANY (%s) AND vector IS NOT NULL "
            f"AND model = {whose} ORDER BY digest, id DESC) AS newest",
            wanted * 2,
        )
        read = from_bytes if extension is None else from_text
        return {
            digests[digest]: restored(read(vector), exponent)
            for digest, exponent, vector in await cursor.fetchall()
        }

    async def count_in(self, connection: Reader) -> int:
        """Number of documents of all ledgers."""
        cursor = await connection.execute(f"SELECT count(*) FROM {self._tables.wording}")
        count: int = (await cursor.fetchall())[0][0]
        return count

    async def without_vector(self, connection: Reader, limit: int) -> Sequence[tuple[FactKey, str]]:
        """Keys and texts of documents that have no vector yet, oldest first."""
        t = self._tables
        cursor = await connection.execute(
            f"SELECT d.fact_id, d.version, w.text FROM {t.document} AS d "
            f"JOIN {t.wording} AS w ON w.id = d.id WHERE d.vector IS NULL ORDER BY d.id LIMIT %s",
            (limit,),
        )
        return [
            ((FactId(fact_id), version), unescaped(text))
            for fact_id, version, text in await cursor.fetchall()
        ]

    async def forget_unused_in(self, connection: Connection) -> None:
        """Delete this model's vectors that no document uses, at the end of a rebuild. Those of
        other models stay: they may have been paid for, and are needed again if a rebuild goes back
        to their model.
        """
        t = self._tables
        await connection.execute(
            f"DELETE FROM {t.kept} WHERE model = "
            f"(SELECT id FROM {t.model} WHERE name = %s AND dimension = %s)",
            (self._model, self._dimension),
        )

    # The port

    async def put(self, documents: Sequence[Document]) -> None:
        """See ``VectorIndex.put``."""
        async with self._sessions.transaction() as connection:
            await self.put_in(connection, documents)

    async def remove(self, keys: Sequence[FactKey]) -> None:
        """See ``VectorIndex.remove``."""
        async with self._sessions.transaction() as connection:
            await self.remove_in(connection, keys)

    async def search(self, query: IndexQuery) -> list[Hit]:
        """See ``VectorIndex.search``."""
        async with self._sessions.glance() as connection:
            return await self.search_in(connection, query)

    async def speakers(self, ledger: LedgerId) -> Sequence[str]:
        """See ``VectorIndex.speakers``."""
        # Few speakers in many rows: a loose index scan, one index look-up per speaker.
        t = self._tables
        following = (
            f"SELECT min(d.speaker) AS name FROM {t.document} AS d "
            f"WHERE d.ledger = (SELECT id FROM {t.ledger} WHERE name = %s)"
        )
        async with self._sessions.glance() as connection:
            cursor = await connection.execute(
                f"WITH RECURSIVE speaker AS ({following} UNION ALL SELECT ("
                f"{following} AND d.speaker > speaker.name) FROM speaker "
                "WHERE speaker.name IS NOT NULL) "
                "SELECT name FROM speaker WHERE name IS NOT NULL",
                (ledger, ledger),
            )
            return [unescaped(row[0]) for row in await cursor.fetchall()]

    async def vectors_for(self, texts: Sequence[str]) -> Mapping[str, Vector]:
        """See ``VectorIndex.vectors_for``."""
        async with self._sessions.glance() as connection:
            return await self.vectors_in(connection, texts)

    async def lacks_vectors(self, ledger: LedgerId) -> bool:
        """See ``TellsMissingVectors``."""
        t = self._tables
        whose = f"ledger = (SELECT id FROM {t.ledger} WHERE name = %s)"
        async with self._sessions.glance() as connection:
            cursor = await connection.execute(
                f"SELECT EXISTS (SELECT FROM {t.document} WHERE vector IS NULL AND {whose}), "
                # The documents of an index have vectors of one model.
                f"(SELECT model FROM {t.document} WHERE vector IS NOT NULL AND {whose} LIMIT 1) "
                f"<> coalesce((SELECT id FROM {t.model} WHERE name = %s AND dimension = %s), -1)",
                (ledger, ledger, self._model, self._dimension),
            )
            return any((await cursor.fetchall())[0])

    async def count(self, ledger: LedgerId) -> int:
        """See ``VectorIndex.count``."""
        async with self._sessions.glance() as connection:
            cursor = await connection.execute(
                f"SELECT documents FROM {self._tables.ledger} WHERE name = %s", (ledger,)
            )
            rows = await cursor.fetchall()
            return rows[0][0] if rows else 0

    # Maintenance

    async def compact(self, ledger: LedgerId | None = None) -> int:
        """Build missing HNSW indexes of large ledgers; cheap if none is missing.

        See ``Compactable.compact``. A build takes about a minute for 100,000 documents. Searches
        are correct without it, but slow down as the ledger grows.

        Args:
            ledger: check only this ledger; ``None`` checks all.

        Returns:
            Number of indexes built.

        Raises:
            AdapterUnavailable: the server did not answer.
        """
        async with self._sessions.glance() as connection:
            storage = await self.storage(connection)
            due = await self._graphs.due(connection, storage, ledger)
        return sum([await self._graphs.make(self._sessions, storage, each) for each in due])

    async def storage(self, connection: Reader) -> Storage:
        """How the tables store vectors; cached, since it is fixed when they are created."""
        if self._known is None:
            stored = await schema.stored_as(connection, self._tables)
            found = await schema.find_extension(connection) if stored == "vector" else None
            self._known = Storage(self._tables, found, self._model, self._dimension)
        return self._known
