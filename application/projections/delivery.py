"""What is brought to an external engine because of a stretch of the log.

A delivery may come twice, and from two processes at once; it knows nothing of leases, checkpoints
or what becomes of an event that an engine won't take.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Protocol

from remembrancer.application.embedding import Embedding
from remembrancer.application.projections.embedding_backfill import BATCH
from remembrancer.domain.errors import InvalidRequest, ModelError
from remembrancer.domain.ports.embedder import Vector
from remembrancer.domain.ports.external_engine import ExternalGraph, ExternalIndex
from remembrancer.domain.ports.read_models import ReadModels
from remembrancer.domain.ports.vector_index import Document
from remembrancer.domain.recall.documents import document_of
from remembrancer.domain.recorded import Recorded


class Delivery(Protocol):
    """Brings events to one engine.

    ``ordered`` says that an engine which has left out an event can't be brought the later ones of
    the same ledger before that one.
    """

    @property
    def ordered(self) -> bool:
        """See above."""
        ...

    async def __call__(self, chain: Sequence[Recorded]) -> None:
        """Have the engine hold what ``chain`` says, all of it when this returns.

        Raises:
            InvalidRequest, ModelError: it won't ever take this.
            AdapterUnavailable: the engine, or the embedder, did not answer.
        """
        ...

    async def clear(self) -> None:
        """Empty the engine."""
        ...


class IndexDelivery:
    """Puts the documents that events touch, as they stand now.

    Args:
        index: where to.
        read_models: tell which documents.
        embedding: vectors of their texts; those in the log's own index are not computed again.
    """

    ordered = False

    def __init__(
        self, *, index: ExternalIndex, read_models: ReadModels, embedding: Embedding
    ) -> None:
        self._index = index
        self._read_models = read_models
        self._embedding = embedding

    async def __call__(self, chain: Sequence[Recorded]) -> None:
        """See ``Delivery``."""
        versions = await self._read_models.documents(chain)
        if not versions:
            return
        vectors = await self._vectors([fact.text for fact, _ in versions])
        documents = [
            document_of(fact, context=context, vector=vectors[fact.text])
            for fact, context in versions
        ]
        try:
            await self._index.put(documents)
        except (InvalidRequest, ModelError):
            if len(chain) == 1:
                await self._put_apart(documents)
            raise

    async def _put_apart(self, documents: Sequence[Document]) -> None:
        """Have the index take what it takes of the documents of one event: one may be to blame,
        and the others have nobody else to bring them.
        """
        for document in documents:
            with suppress(InvalidRequest, ModelError):
                await self._index.put([document])

    async def _vectors(self, texts: Sequence[str]) -> dict[str, Vector]:
        unique = list(dict.fromkeys(texts))
        vectors: dict[str, Vector] = {}
        for start in range(0, len(unique), BATCH):
            vectors |= await self._embedding.documents(unique[start : start + BATCH])
        return vectors

    async def clear(self) -> None:
        """See ``Delivery``."""
        await self._index.clear()


class GraphDelivery:
    """Has a graph apply the events themselves.

    Args:
        graph: where to.
    """

    ordered = True

    def __init__(self, graph: ExternalGraph) -> None:
        self._graph = graph

    async def __call__(self, chain: Sequence[Recorded]) -> None:
        """See ``Delivery``."""
        await self._graph.apply(chain)

    async def clear(self) -> None:
        """See ``Delivery``."""
        await self._graph.clear()
