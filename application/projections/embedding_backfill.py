"""Catching up on vectors that the embedder could not deliver when their facts were recorded."""

from __future__ import annotations

from collections.abc import Callable

from remembrancer.application.embedding import Embedding
from remembrancer.domain.ports.read_models import ReadModels

BATCH = 64
"""Texts per call: what embedding services take well."""


class EmbeddingBackfill:
    """Embeds what waits.

    Args:
        read_models: tell what lacks a vector, and take it.
        embedding: makes vectors.
    """

    def __init__(self, *, read_models: ReadModels, embedding: Embedding) -> None:
        self._read_models = read_models
        self._embedding = embedding

    async def __call__(
        self, progress: Callable[[int], None] | None = None, *, batches: int | None = None
    ) -> int:
        """Embed what waits, oldest first.

        Args:
            progress: called with the documents that have got their vector so far.
            batches: how many at the most; ``None`` goes on until nothing waits.

        Returns:
            Documents that have got their vector.

        Raises:
            AdapterUnavailable: the embedder does not answer (yet); what it delivered is kept.
        """
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
