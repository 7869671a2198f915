"""External engines for tests: the ones in memory, which can be told to fail, and one in a file of
its own, which outlives its process.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from attrs import frozen

from memledger.adapters.knowledge_graph.memory import InMemoryKnowledgeGraph
from memledger.adapters.sqlite.database import Database, Durability, SqliteSettings
from memledger.adapters.vector_index.memory import InMemoryVectorIndex
from memledger.adapters.vector_index.sqlite import SqliteVectorIndex
from memledger.domain.errors import AdapterUnavailable, InvalidRequest
from memledger.domain.fact import FactKey
from memledger.domain.ports.vector_index import Document, Hit, IndexQuery
from memledger.domain.recorded import Recorded
from memledger.registry import Adapter


class FlappingIndex(InMemoryVectorIndex):
    """An index that is away while ``away`` says so, and refuses documents that ``bad`` names."""

    def __init__(self) -> None:
        super().__init__()
        self.away: Callable[[], bool] = lambda: False
        self.bad: Callable[[Document], bool] = lambda _document: False
        self.puts = 0
        self.documents: dict[FactKey, Document] = {}
        self.gate = threading.Event()
        self.gate.set()
        self.waiting = threading.Event()

    def _answer(self) -> None:
        if self.away():
            raise AdapterUnavailable("flapping", "connection refused")

    def put(self, documents: Sequence[Document]) -> None:
        """Put, unless it is away; behind the gate, if that is shut."""
        self.puts += 1
        self._answer()
        self.waiting.set()
        self.gate.wait()
        if any(map(self.bad, documents)):
            raise InvalidRequest("text", "is too long for this engine")
        super().put(documents)
        self.documents.update((document.key, document) for document in documents)
        # What was taken in although the answer never came
        self._answer()

    def search(self, query: IndexQuery) -> list[Hit]:
        """Search, unless it is away."""
        self._answer()
        return super().search(query)

    def clear(self) -> None:
        """Clear, unless it is away."""
        self._answer()
        super().clear()
        self.documents.clear()


class FlappingGraph(InMemoryKnowledgeGraph):
    """A graph that is away while ``away`` says so, and refuses events that ``bad`` names."""

    def __init__(self) -> None:
        super().__init__()
        self.away: Callable[[], bool] = lambda: False
        self.bad: Callable[[Recorded], bool] = lambda _item: False

    def apply(self, chain: Sequence[Recorded]) -> None:
        """Apply, unless it is away."""
        if self.away():
            raise AdapterUnavailable("flapping", "connection refused")
        if any(map(self.bad, chain)):
            raise InvalidRequest("name", "is too long for this engine")
        super().apply(chain)


class FileIndex(SqliteVectorIndex):
    """An index in a file of its own. ``before`` is called before anything is put into it."""

    def __init__(
        self, path: Path, dimension: int, before: Callable[[], None] = lambda: None
    ) -> None:
        self._database = Database(
            SqliteSettings(path=str(path), durability=Durability.NORMAL),
            [lambda schema: super(FileIndex, self).create(schema.conn)],
        )
        self._before = before
        super().__init__(self._database, model="file", dimension=dimension)

    def put(self, documents: Sequence[Document]) -> None:
        """See ``VectorIndex.put``."""
        self._before()
        super().put(documents)
        self._before()

    def clear(self, connection: Any = None) -> None:
        """See ``ExternalIndex.clear``."""
        with self._database.transaction() as own:
            super().clear(own)

    def ping(self) -> str:
        """See ``ExternalIndex.ping``."""
        return "sqlite"

    def close(self) -> None:
        """See ``ExternalIndex.close``."""
        self._database.close()


@frozen(kw_only=True)
class FileSettings:
    """Where the index is."""

    path: str


file_index = Adapter(
    settings=FileSettings,
    build=lambda settings, _model, dimension: FileIndex(Path(settings.path), dimension),
)
"""``FileIndex`` for settings: ``engines:file_index``."""
