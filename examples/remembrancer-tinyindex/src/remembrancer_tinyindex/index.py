"""The index: it stores documents in SQLite and loads those of a ledger for each search.

Filters and scores are those of remembrancer's in-memory index.
"""

import sqlite3
import threading
from array import array
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from remembrancer.adapters.index_scoring.argument_checks import (
    check_query,
    checked_vectors,
    components,
)
from remembrancer.adapters.stores.memory.vector_index import InMemoryVectorIndex
from remembrancer.domain.errors import AdapterUnavailable, InvalidRequest
from remembrancer.domain.facts.fact import FactKey
from remembrancer.domain.ports.embedder import Vector
from remembrancer.domain.ports.external_engine import LogId
from remembrancer.domain.ports.vector_index import Document, Hit, IndexQuery
from remembrancer.domain.scope import LedgerId
from remembrancer_tinyindex.documents import packed, unpacked
from remembrancer_tinyindex.settings import TinyIndexSettings

NAME = "tinyindex"

_SCHEMA = """
CREATE TABLE IF NOT EXISTS embedder (model TEXT NOT NULL, dimension INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS held (one INTEGER PRIMARY KEY CHECK (one = 1), log TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS document (
    fact_id TEXT NOT NULL, version INTEGER NOT NULL, ledger TEXT NOT NULL,
    text TEXT NOT NULL, speaker TEXT, body TEXT NOT NULL, vector BLOB,
    PRIMARY KEY (fact_id, version)
);
CREATE INDEX IF NOT EXISTS document_ledger ON document (ledger);
CREATE INDEX IF NOT EXISTS document_text ON document (text);
"""


class TinyIndex:
    """See ``ExternalIndex``. Safe to share between threads and between processes.

    Args:
        settings: the path and the timeout.
        model: the name of the embedder of the vectors.
        dimension: components per vector.
    """

    def __init__(self, settings: TinyIndexSettings, model: str, dimension: int) -> None:
        self._settings = settings
        self._embedder = (model, dimension)
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        self._closed = False

    def put(self, documents: Sequence[Document]) -> None:
        """See ``VectorIndex.put``."""
        vectors = checked_vectors(documents, self._embedder[1])
        rows = [
            (
                *document.key,
                document.scope.ledger,
                document.text,
                document.speaker,
                packed(document),
                None if vector is None else vector.tobytes(),
            )
            for document, vector in zip(documents, vectors, strict=True)
        ]
        with self._transaction() as connection:
            connection.executemany("REPLACE INTO document VALUES (?, ?, ?, ?, ?, ?, ?)", rows)

    def remove(self, keys: Sequence[FactKey]) -> None:
        """See ``VectorIndex.remove``."""
        with self._transaction() as connection:
            connection.executemany("DELETE FROM document WHERE fact_id = ? AND version = ?", keys)

    def search(self, query: IndexQuery) -> list[Hit]:
        """See ``VectorIndex.search``."""
        check_query(query)
        if query.vector is not None:
            components(query.vector, self._embedder[1], "vector")
        with self._transaction() as connection:
            rows = connection.execute(
                "SELECT body, vector FROM document WHERE ledger = ?", (query.scope.ledger,)
            ).fetchall()
        reference = InMemoryVectorIndex()
        reference.put([unpacked(body, vector) for body, vector in rows])
        return reference.search(query)

    def speakers(self, ledger: LedgerId) -> Sequence[str]:
        """See ``VectorIndex.speakers``."""
        with self._transaction() as connection:
            rows = connection.execute(
                "SELECT DISTINCT speaker FROM document WHERE ledger = ? AND speaker IS NOT NULL",
                (ledger,),
            ).fetchall()
        return [speaker for (speaker,) in rows]

    def vectors_for(self, texts: Sequence[str]) -> Mapping[str, Vector]:
        """See ``VectorIndex.vectors_for``."""
        found: dict[str, Vector] = {}
        with self._transaction() as connection:
            for text in texts:
                row = connection.execute(
                    "SELECT vector FROM document WHERE text = ? AND vector IS NOT NULL", (text,)
                ).fetchone()
                if row is not None:
                    found[text] = array("f", row[0])
        return found

    def count(self, ledger: LedgerId) -> int:
        """See ``VectorIndex.count``."""
        with self._transaction() as connection:
            row = connection.execute("SELECT count(*) FROM document WHERE ledger = ?", (ledger,))
            return int(row.fetchone()[0])

    def claim(self, log: LogId, *, bind: bool) -> LogId | None:
        """See ``Claimable``."""
        with self._transaction(any_embedder=True) as connection:
            if bind:
                connection.execute("INSERT OR IGNORE INTO held VALUES (1, ?)", (log,))
            row = connection.execute("SELECT log FROM held").fetchone()
        return None if row is None else LogId(row[0])

    def clear(self) -> None:
        """See ``ExternalIndex.clear``. The next vectors are those of the current embedder."""
        with self._transaction(any_embedder=True) as connection:
            connection.execute("DELETE FROM document")
            connection.execute("DELETE FROM held")
            connection.execute("DELETE FROM embedder")
            connection.execute("INSERT INTO embedder VALUES (?, ?)", self._embedder)

    def ping(self) -> str:
        """See ``ExternalIndex.ping``; it creates no file."""
        if self._closed or Path(self._settings.path).exists():
            with self._transaction(any_embedder=True) as connection:
                connection.execute("SELECT 1 FROM document LIMIT 1")
        return f"{NAME} 0.1.0 (SQLite {sqlite3.sqlite_version})"

    def close(self) -> None:
        """See ``ExternalIndex.close``."""
        with self._lock:
            self._closed = True
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    @contextmanager
    def _transaction(self, *, any_embedder: bool = False) -> Iterator[sqlite3.Connection]:
        """A transaction for one thread at a time: committed at the end, rolled back on an error."""
        with self._lock:
            if self._closed:
                raise AdapterUnavailable(NAME, "the index has been closed; open it again")
            try:
                if self._connection is None:
                    self._connection = self._opened()
                with self._connection:
                    if not any_embedder:
                        self._check_embedder(self._connection)
                    yield self._connection
            except sqlite3.Error as error:
                raise AdapterUnavailable(NAME, f"{self._settings.path}: {error}") from error

    def _opened(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            self._settings.path, timeout=self._settings.busy_timeout, check_same_thread=False
        )
        # Overwrite deleted content with zeros, so that erased text leaves no trace.
        connection.execute("PRAGMA secure_delete = ON")
        connection.executescript(_SCHEMA)
        with connection:
            connection.execute(
                "INSERT INTO embedder SELECT ?, ? WHERE NOT EXISTS (SELECT 1 FROM embedder)",
                self._embedder,
            )
        return connection

    def _check_embedder(self, connection: sqlite3.Connection) -> None:
        found = connection.execute("SELECT model, dimension FROM embedder").fetchone()
        if found != self._embedder:
            raise InvalidRequest(
                "vector_index.path",
                f"{self._settings.path} holds vectors of {found}, not of {self._embedder}; name "
                "another file, or run: remembrancer rebuild vector_index",
            )
