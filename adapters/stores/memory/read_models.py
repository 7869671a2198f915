"""The read models of the in-memory log: facts, index and others."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from remembrancer.adapters.stores.memory.fact_store import InMemoryFactStore
from remembrancer.domain.conversation import Message
from remembrancer.domain.events import MessageObserved
from remembrancer.domain.facts.fact import Fact, FactId, FactKey, MessageId
from remembrancer.domain.ports.embedder import Vector
from remembrancer.domain.ports.vector_index import Document
from remembrancer.domain.recall.documents import (
    SAME_CONVERSATION,
    Surroundings,
    context_for,
    document_of,
    to_index,
    touched,
)
from remembrancer.domain.recall.index_context import NEIGHBOURS
from remembrancer.domain.recorded import Recorded


class Index(Protocol):
    """A vector index with synchronous writes."""

    def put(self, documents: Sequence[Document]) -> None:
        """See ``VectorIndex.put``."""
        ...

    def vectors_for(self, texts: Sequence[str]) -> Mapping[str, Vector]:
        """See ``VectorIndex.vectors_for``."""
        ...


class Projection(Protocol):
    """A read model that depends on the log alone."""

    name: str

    def apply(self, chain: Sequence[Recorded]) -> None:
        """Apply events, in order."""
        ...


class InMemoryReadModels:
    """All read models of the in-memory log, updated within the append.

    Args:
        facts: the facts read model.
        index: the vector index.
        embed: returns the available vectors of texts; must not block. A text without one is
            embedded later.
        others: further read models, such as the knowledge graph.
    """

    def __init__(
        self,
        facts: InMemoryFactStore,
        index: Index,
        embed: Callable[[Sequence[str]], Mapping[str, Vector]],
        others: Sequence[Projection] = (),
    ) -> None:
        self._facts = facts
        self._index = index
        self._embed = embed
        self._others = others
        self._conversations = _Conversations(facts)
        self._unembedded: dict[FactKey, Fact] = {}
        self._position = 0
        # The log's lock serialises writers only; readers of conversations need this one.
        self._lock = threading.RLock()

    def apply(self, chain: Sequence[Recorded]) -> None:
        """Apply events, in order."""
        with self._lock:
            self._apply(chain)

    def _apply(self, chain: Sequence[Recorded]) -> None:
        changes = self._facts.apply(chain)
        self._conversations.apply(chain, [change.after for change in changes])
        versions = to_index(chain, changes, self._conversations)
        texts = [fact.text for fact, _ in versions]
        vectors = {**self._index.vectors_for(texts), **self._embed(texts)}
        for fact, context in versions:
            vector = vectors.get(fact.text)
            self._index.put([document_of(fact, context=context, vector=vector)])
            if vector is None:
                self._unembedded[fact.key] = fact
        for other in self._others:
            other.apply(chain)
        self._position = chain[-1].position

    def documents(self, chain: Sequence[Recorded]) -> Sequence[tuple[Fact, str]]:
        """See ``ReadModels.documents``."""
        with self._lock:
            return touched(chain, self._conversations, self._facts.versions)

    def unembedded(self, limit: int) -> Sequence[str]:
        """See ``ReadModels.unembedded``."""
        return [fact.text for fact in list(self._unembedded.values())[:limit]]

    def supply(self, vectors: Mapping[str, Vector]) -> int:
        """See ``ReadModels.supply``."""
        supplied = [fact for fact in self._unembedded.values() if fact.text in vectors]
        for fact in supplied:
            context = context_for(fact, self._conversations)
            self._index.put([document_of(fact, context=context, vector=vectors[fact.text])])
            del self._unembedded[fact.key]
        return len(supplied)

    def positions(self) -> Mapping[str, int]:
        """The checkpoint of each read model, by name: the last applied position."""
        names = ("facts", "index", *(other.name for other in self._others))
        return dict.fromkeys(names, self._position)


class _Conversations:
    def __init__(self, facts: InMemoryFactStore) -> None:
        self._facts = facts
        self._threads: dict[tuple[object, ...], list[Message]] = defaultdict(list)
        self._places: dict[MessageId, tuple[tuple[object, ...], int]] = {}
        self._citing: dict[MessageId, set[FactId]] = defaultdict(set)

    def apply(self, chain: Sequence[Recorded], changed: Sequence[Fact]) -> None:
        for item in chain:
            if isinstance(item.event, MessageObserved):
                message = item.event.message
                scope = message.scope
                thread = (scope.ledger, scope.agent_id, scope.run_id, scope.app_id)
                self._places[message.message_id] = (thread, len(self._threads[thread]))
                self._threads[thread].append(message)
        for fact in changed:
            for evidence in fact.evidence:
                self._citing[evidence.message_id].add(fact.fact_id)

    def around(self, message_id: MessageId) -> Surroundings | None:
        if message_id not in self._places:
            return None
        thread, place = self._places[message_id]
        messages = self._threads[thread]
        own = messages[place]

        def near(neighbours: Sequence[Message]) -> tuple[Message, ...]:
            return tuple(
                message
                for message in neighbours
                if abs(message.occurred_at - own.occurred_at) <= SAME_CONVERSATION
            )

        return Surroundings(
            before=near(messages[max(0, place - NEIGHBOURS) : place]),
            own=own,
            after=near(messages[place + 1 : place + 1 + NEIGHBOURS]),
        )

    def citing(self, message_id: MessageId) -> Sequence[Fact]:
        return [
            version
            for fact_id in sorted(self._citing.get(message_id, ()))
            for version in self._facts.versions(fact_id)
        ]
