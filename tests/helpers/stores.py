"""A store in memory, to be overridden as a whole."""

from __future__ import annotations

from remembrancer import Store, StoreNeeds
from remembrancer.adapters.models.hashing import HashingEmbedder
from remembrancer.adapters.stores.memory.store import build
from remembrancer.adapters.stores.shared.codec import EventCodec


def store_in_memory() -> Store:
    embedder = HashingEmbedder()
    return build(
        None,
        StoreNeeds(
            model=embedder.model,
            dimension=embedder.dimension,
            embed=lambda texts: dict(zip(texts, embedder.embed(texts, "document"), strict=True)),
            codec=EventCodec(),
            blocking=True,
        ),
    )
