"""Embedding with a cache: an LRU of recent vectors in memory, then the stored vectors.

The read models take the vectors of new facts from here, so that no transaction waits for the
embedder.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from math import isfinite
from typing import Protocol

from remembrancer.domain.errors import AdapterUnavailable, ModelError, SettingsError
from remembrancer.domain.ports.embedder import Embedder, Purpose, Vector, check_dimension

RECENT = 4096
"""Vectors in the LRU cache; about 6 MB at 384 components."""

NO_VECTOR = (AdapterUnavailable, ModelError, SettingsError)
"""Errors that leave a text without a vector. Keywords find it, so writes and searches go on and say
so; deliveries to external indexes and the backfill, whose work is the vectors, stop.
"""


class VectorCache(Protocol):
    """The persistent cache of vectors."""

    async def vectors_for(self, texts: Sequence[str]) -> Mapping[str, Vector]:
        """Stored vectors of the current model by text; missing texts are left out."""
        ...


class Embedding:
    """Embeds texts through the caches.

    Args:
        embedder: computes vectors.
        cache: the persistent cache; not used for a local embedder, which is as fast as a look-up.
    """

    def __init__(self, embedder: Embedder, cache: VectorCache) -> None:
        self._embedder = embedder
        self._cache = cache
        self._lock = threading.Lock()
        self._recent: OrderedDict[tuple[Purpose, str], Vector] = OrderedDict()

    @property
    def local(self) -> bool:
        """See ``Embedder.local``."""
        return self._embedder.local

    def recent(self, texts: Sequence[str]) -> dict[str, Vector]:
        """Document vectors in the LRU cache, by text; missing texts are left out."""
        return self._remembered(texts, "document")

    async def documents(self, texts: Sequence[str]) -> dict[str, Vector]:
        """Document vectors of all texts, by text."""
        found = self._remembered(texts, "document")
        missing = [text for text in dict.fromkeys(texts) if text not in found]
        if missing and not self._embedder.local:
            kept = await self._cache.vectors_for(missing)
            self._remember(kept, "document")
            found.update(kept)
            missing = [text for text in missing if text not in kept]
        if missing:
            found |= await self._embed(missing, "document")
        return found

    async def query(self, text: str) -> Vector:
        """The query vector of a text."""
        found = self._remembered([text], "query")
        return (found or await self._embed([text], "query"))[text]

    async def _embed(self, texts: Sequence[str], purpose: Purpose) -> dict[str, Vector]:
        vectors = await self._embedder.embed(texts, purpose)
        check_vectors(self._embedder, texts, vectors)
        fresh = dict(zip(texts, vectors, strict=True))
        self._remember(fresh, purpose)
        return fresh

    def _remembered(self, texts: Sequence[str], purpose: Purpose) -> dict[str, Vector]:
        with self._lock:
            return {
                text: self._recent[purpose, text]
                for text in texts
                if (purpose, text) in self._recent
            }

    def _remember(self, vectors: Mapping[str, Vector], purpose: Purpose) -> None:
        with self._lock:
            for text, vector in vectors.items():
                self._recent[purpose, text] = vector
                self._recent.move_to_end((purpose, text))
            while len(self._recent) > RECENT:
                self._recent.popitem(last=False)


def check_vectors(embedder: Embedder, texts: Sequence[str], vectors: Sequence[Vector]) -> None:
    """Check the embedder's answer before it is cached.

    Raises:
        SettingsError: all vectors have another dimension.
        ModelError: too few or too many vectors, vectors of several dimensions, or a component that
            is not finite.
    """
    if len(vectors) != len(texts):
        raise ModelError(f"{embedder.model} returned {len(vectors)} vectors for {len(texts)} texts")
    check_dimension(embedder.model, embedder.dimension, vectors)
    for vector in vectors:
        # Finite components are too small for their sum to overflow.
        if not isfinite(sum(vector)):
            raise ModelError(f"{embedder.model} returned a vector that is not finite")
