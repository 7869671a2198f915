"""The index in a PostgreSQL database, as other parts see it.

The methods with ``_in`` take part in a transaction of the caller, so that an index commits
together with the log that it follows. It decides nothing about ranking or about facts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from remembrancer.adapters.index_scoring.analysis import ANALYSIS_VERSION
from remembrancer.adapters.stores.postgres.nul import restored as unescaped
from remembrancer.adapters.stores.postgres.sessions import Connection, Reader, Sessions
from remembrancer.adapters.stores.postgres.vector_index import schema, writing
from remembrancer.adapters.stores.postgres.vector_index.graphs import LARGE, Graphs
from remembrancer.adapters.stores.postgres.vector_index.searching import search
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
from remembrancer.domain.scope import LedgerId


class PostgresVectorIndex:
    """See ``VectorIndex``. Safe to share between threads and tasks; the tables, between processes.

    Args:
        sessions: the database; ``create`` must have been called in it once.
        model: what made the vectors, as ``Embedder.model``.
        dimension: components per vector.
        prefix: what the names of the tables begin with.
        pgvector: whether the extension may be used where the server has it. It is decided when
            the tables are made.
        large: documents from which a ledger is searched by a graph.
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
        """Changes whenever documents would be stored differently, as with another embedder."""
        return f"{schema.FORMAT}.{ANALYSIS_VERSION}/{self._model}/{self._dimension}"

    @property
    def never_suspends(self) -> bool:
        """See ``Sessions.never_suspends``."""
        return self._sessions.never_suspends

    @property
    def tables(self) -> Sequence[str]:
        """The names of the tables."""
        return self._tables.all

    # Inside a transaction of the caller

    async def create(self, connection: Connection) -> None:
        """Make the tables, where they are missing."""
        extension = await schema.install_extension(connection) if self._pgvector else None
        await schema.create(
            connection, self._tables, extension, self._dimension, self._sessions.schema
        )
        self._known = None

    async def clear(self, connection: Connection) -> None:
        """Drop all documents. Vectors stay, for whoever puts the same texts again; see
        ``forget_unused_in``. Where pgvector was installed since the tables were made, they are
        made again for it, and vectors do not stay.
        """
        stored = await schema.stored_as(connection, self._tables)
        found = await schema.find_extension(connection) if self._pgvector else None
        if (stored == "vector") == (found is not None):
            await schema.empty(connection, self._tables)
            return
        await self.start_over(connection)

    async def start_over(self, connection: Connection) -> None:
        """Drop everything and make the tables again; readers wait until it is committed."""
        await schema.drop(connection, self._tables)
        await self.create(connection)

    async def put_in(self, connection: Connection, documents: Sequence[Document]) -> None:
        """See ``VectorIndex.put``."""
        await writing.put(connection, await self._storage(connection), documents)

    async def remove_in(self, connection: Connection, keys: Sequence[FactKey]) -> None:
        """See ``VectorIndex.remove``."""
        await writing.remove(connection, self._tables, keys)

    async def search_in(self, connection: Reader, query: IndexQuery) -> list[Hit]:
        """See ``VectorIndex.search``. Inside a transaction it sees what that wrote."""
        return await search(connection, await self._storage(connection), query, self._graphs)

    async def vectors_in(self, connection: Reader, texts: Sequence[str]) -> Mapping[str, Vector]:
        """See ``VectorIndex.vectors_for``."""
        digests = {digest_of(text): text for text in texts}
        extension = (await self._storage(connection)).extension
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
        """Documents of all ledgers, counted."""
        cursor = await connection.execute(f"SELECT count(*) FROM {self._tables.wording}")
        count: int = (await cursor.fetchall())[0][0]
        return count

    async def without_vector(self, connection: Reader, limit: int) -> Sequence[tuple[FactKey, str]]:
        """Documents that wait to be embedded, with their texts, oldest first."""
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
        """Delete the vectors that no document has, at the end of a rebuild."""
        await connection.execute(f"DELETE FROM {self._tables.kept}")

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
        # There are few, in however many rows: from each, straight on to the next.
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

    async def count(self, ledger: LedgerId) -> int:
        """See ``VectorIndex.count``."""
        async with self._sessions.glance() as connection:
            cursor = await connection.execute(
                f"SELECT documents FROM {self._tables.ledger} WHERE name = %s", (ledger,)
            )
            rows = await cursor.fetchall()
            return rows[0][0] if rows else 0

    # Upkeep

    async def compact(self, ledger: LedgerId | None = None) -> int:
        """Make graphs for very large ledgers that have none; cheap where there is none to make.

        See ``Compactable.compact``: a graph takes a minute for some 100,000 documents. Searches
        are right without it, and grow slower with the ledger.

        Args:
            ledger: ``None`` looks after all.

        Returns:
            How many graphs were made.

        Raises:
            AdapterUnavailable: the server did not answer.
        """
        async with self._sessions.glance() as connection:
            storage = await self._storage(connection)
            due = await self._graphs.due(connection, storage, ledger)
        return sum([await self._graphs.make(self._sessions, storage, each) for each in due])

    async def _storage(self, connection: Reader) -> Storage:
        """What the tables were made for, which does not change while they are there."""
        if self._known is None:
            stored = await schema.stored_as(connection, self._tables)
            found = await schema.find_extension(connection) if stored == "vector" else None
            self._known = Storage(self._tables, found, self._model, self._dimension)
        return self._known
