"""Stores without a memory, among them one to be overridden as a whole."""

from __future__ import annotations

from remembrancer import Store, StoreNeeds
from remembrancer.adapters.models.hashing import HashingEmbedder
from remembrancer.adapters.stores.memory.store import build
from remembrancer.adapters.stores.shared.codec import EventCodec


def offline_needs() -> StoreNeeds:
    """What a store needs of a memory with the offline embedder and an open log."""
    embedder = HashingEmbedder()
    return StoreNeeds(
        model=embedder.model,
        dimension=embedder.dimension,
        embed=lambda texts: dict(zip(texts, embedder.embed(texts, "document"), strict=True)),
        codec=EventCodec(),
        blocking=True,
    )


def store_in_memory() -> Store:
    return build(None, offline_needs())
