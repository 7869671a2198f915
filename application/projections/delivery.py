"""Deliver log events to one external engine.

Delivery is at least once, possibly by two processes at the same time. Leases, checkpoints and dead
letters are in ``projector``.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Protocol

from attrs import evolve

from remembrancer.application.embedding import Embedding
from remembrancer.application.projections.embedding_backfill import BATCH
from remembrancer.domain.errors import InvalidRequest, ModelError, SettingsError
from remembrancer.domain.facts.fact import Fact
from remembrancer.domain.ports.audit_log import AuditLog
from remembrancer.domain.ports.embedder import Vector
from remembrancer.domain.ports.external_engine import ExternalGraph, ExternalIndex
from remembrancer.domain.ports.read_models import ReadModels
from remembrancer.domain.ports.vector_index import Document
from remembrancer.domain.recall.documents import document_of
from remembrancer.domain.recorded import Position, Recorded


class Delivery(Protocol):
    """Delivers events to one engine.

    ``ordered``: after an event that was refused, the engine can't apply later events of the same
    ledger.
    """

    @property
    def ordered(self) -> bool:
        """See the class."""
        ...

    async def __call__(self, chain: Sequence[Recorded]) -> None:
        """Deliver the events of ``chain``; all are durable when this returns.

        Raises:
            SettingsError: the engine or the embedder refuses the settings, not the events.
            InvalidRequest, ModelError: the events are refused for good.
            AdapterUnavailable: the engine or the embedder did not answer.
        """
        ...

    async def repair(self, chain: Sequence[Recorded]) -> None:
        """Make sure that an earlier delivery of ``chain``, which another worker may have overtaken,
        has left nothing in the engine that is older than what that worker delivered.

        Raises:
            InvalidRequest, ModelError, AdapterUnavailable: as for a delivery.
        """
        ...

    async def clear(self) -> None:
        """Delete everything in the engine."""
        ...


class IndexDelivery:
    """Upserts the current documents of the facts that events change.

    Args:
        index: the external index.
        log: tells how far the documents are up to date.
        read_models: the current documents of events.
        embedding: vectors of their texts; vectors in the log's own index are reused.
    """

    ordered = False

    def __init__(
        self,
        *,
        index: ExternalIndex,
        log: AuditLog,
        read_models: ReadModels,
        embedding: Embedding,
    ) -> None:
        self._index = index
        self._log = log
        self._read_models = read_models
        self._embedding = embedding

    async def __call__(self, chain: Sequence[Recorded]) -> None:
        """See ``Delivery``."""
        revision = await self._log.last_position()
        versions = await self._read_models.documents(chain)
        await self._put(versions, revision, apart=len(chain) == 1)

    async def repair(self, chain: Sequence[Recorded]) -> None:
        """See ``Delivery``. The last put of a document is right if no event has changed it by the
        end of the put.
        """
        delivered: Sequence[tuple[Fact, str]] = ()
        while True:
            revision = await self._log.last_position()
            versions = await self._read_models.documents(chain)
            changed = [version for version in versions if version not in delivered]
            if not changed:
                return
            await self._put(changed, revision, apart=len(chain) == 1)
            delivered = [*delivered, *changed]

    async def _put(
        self, versions: Sequence[tuple[Fact, str]], revision: Position, *, apart: bool
    ) -> None:
        """Put documents; with ``apart`` one by one, if they are refused together.

        ``revision``: the end of the log, read before the versions were.
        """
        if not versions:
            return
        vectors = await self._vectors([fact.text for fact, _ in versions])
        documents = [
            evolve(document_of(fact, context=context, vector=vectors[fact.text]), revision=revision)
            for fact, context in versions
        ]
        try:
            await self._index.put(documents)
        except SettingsError:
            raise
        except (InvalidRequest, ModelError):
            if apart:
                await self._put_apart(documents)
            raise

    async def _put_apart(self, documents: Sequence[Document]) -> None:
        """Put the documents of one event one by one: a refused document must not hold back the
        others.
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
    """Applies events to an external graph.

    Args:
        graph: the external graph.
    """

    ordered = True

    def __init__(self, graph: ExternalGraph) -> None:
        self._graph = graph

    async def __call__(self, chain: Sequence[Recorded]) -> None:
        """See ``Delivery``."""
        await self._graph.apply(chain)

    async def repair(self, chain: Sequence[Recorded]) -> None:
        """See ``Delivery``. The graph skips events up to the last position that it applied."""

    async def clear(self) -> None:
        """See ``Delivery``."""
        await self._graph.clear()
