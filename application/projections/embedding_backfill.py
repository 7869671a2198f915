"""Backfill the vectors of facts that were recorded while the embedder was unavailable."""

from __future__ import annotations

from collections.abc import Callable

from remembrancer.application.embedding import Embedding
from remembrancer.application.projections.readiness import Readiness
from remembrancer.domain.ports.read_models import ReadModels

BATCH = 64
"""Texts per call; embedding services accept that many."""


class EmbeddingBackfill:
    """Embeds the documents without a vector.

    Args:
        read_models: list the documents without a vector, and store the vectors.
        embedding: computes vectors.
        readiness: refuses vectors for the index of another embedder.
    """

    def __init__(
        self, *, read_models: ReadModels, embedding: Embedding, readiness: Readiness
    ) -> None:
        self._read_models = read_models
        self._readiness = readiness
        self._embedding = embedding

    async def __call__(
        self, progress: Callable[[int], None] | None = None, *, batches: int | None = None
    ) -> int:
        """Embed the documents without a vector, oldest first.

        Args:
            progress: called with the number of embedded documents so far.
            batches: maximum number of batches; ``None``: all documents.

        Returns:
            The number of embedded documents.

        Raises:
            InvalidRequest: another embedder or release made the index.
            IntegrityError: the read models are damaged.
            AdapterUnavailable: the embedder did not answer; the vectors so far are stored.
        """
        self._readiness.require()
        done = 0
        while batches is None or batches > 0:
            texts = await self._read_models.unembedded(BATCH)
            if not texts:
                break
            done += await self._read_models.supply(await self._embedding.documents(texts))
            if progress is not None:
                progress(done)
            if batches is not None:
                batches -= 1
        return done
