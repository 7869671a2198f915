"""In-memory external engines that fail on demand."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

from remembrancer.adapters.stores.memory.knowledge_graph import InMemoryKnowledgeGraph
from remembrancer.adapters.stores.memory.vector_index import InMemoryVectorIndex
from remembrancer.domain.errors import AdapterUnavailable, InvalidRequest
from remembrancer.domain.facts.fact import FactKey
from remembrancer.domain.ports.external_engine import LogId
from remembrancer.domain.ports.vector_index import Document, Hit, IndexQuery
from remembrancer.domain.recorded import Recorded


class _Claimed:
    """Stores which log it holds, in memory."""

    log: LogId | None = None

    def claim(self, log: LogId, *, bind: bool) -> LogId | None:
        """See ``Claimable``; fails while it is away."""
        self._answer()
        if self.log is None and bind:
            self.log = log
        return self.log

    def _answer(self) -> None:
        raise NotImplementedError


class FlappingIndex(_Claimed, InMemoryVectorIndex):
    """An index that fails while ``away()`` is true, and refuses ``bad`` documents."""

    def __init__(self) -> None:
        super().__init__()
        self.away: Callable[[], bool] = lambda: False
        self.bad: Callable[[Document], bool] = lambda _document: False
        self.puts = 0
        self.delivered: dict[FactKey, Document] = {}
        self.gate = threading.Event()
        self.gate.set()
        self.waiting = threading.Event()

    def _answer(self) -> None:
        if self.away():
            raise AdapterUnavailable("flapping", "connection refused")

    def put(self, documents: Sequence[Document]) -> None:
        """Put, unless it is away. Wait while ``gate`` is not set."""
        self.puts += 1
        self._answer()
        self.waiting.set()
        self.gate.wait()
        if any(map(self.bad, documents)):
            raise InvalidRequest("text", "is too long for this engine")
        super().put(documents)
        self.delivered.update((document.key, document) for document in documents)
        # The put can succeed although the answer fails
        self._answer()

    def search(self, query: IndexQuery) -> list[Hit]:
        """Search, unless it is away."""
        self._answer()
        return super().search(query)

    def clear(self) -> None:
        """Clear, unless it is away."""
        self._answer()
        super().clear()
        self.delivered.clear()
        self.log = None


class FlappingGraph(_Claimed, InMemoryKnowledgeGraph):
    """A graph that fails while ``away()`` is true, and refuses ``bad`` events."""

    def __init__(self) -> None:
        super().__init__()
        self.away: Callable[[], bool] = lambda: False
        self.bad: Callable[[Recorded], bool] = lambda _item: False

    def _answer(self) -> None:
        if self.away():
            raise AdapterUnavailable("flapping", "connection refused")

    def apply(self, chain: Sequence[Recorded]) -> None:
        """Apply, unless it is away."""
        self._answer()
        if any(map(self.bad, chain)):
            raise InvalidRequest("name", "is too long for this engine")
        super().apply(chain)

    def clear(self) -> None:
        """Clear, unless it is away."""
        self._answer()
        super().clear()
        self.log = None
