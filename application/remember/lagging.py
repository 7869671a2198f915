"""What lags behind a write: vectors that are missing, external projections; for its receipt."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from attrs import evolve

from remembrancer.application.embedding import NO_VECTOR, Embedding
from remembrancer.application.projections.after_commit import AfterCommit
from remembrancer.application.remember.receipt import Receipt

R = TypeVar("R", bound=Receipt)


async def embedded(embedding: Embedding, texts: Sequence[str]) -> tuple[str, ...]:
    """Embed the texts of a write before it; returns ``Receipt.lagging`` if the embedder does not
    answer.
    """
    try:
        await embedding.documents(texts)
    except NO_VECTOR:
        return ("vectors",)
    return ()


async def with_lagging(receipt: R, after_commit: AfterCommit) -> R:
    """Deliver the events to external projections, and return the receipt with the names of those
    that did not catch up in time.
    """
    lagging = await after_commit(receipt.ledger, receipt.positions[1])
    return evolve(receipt, lagging=(*receipt.lagging, *lagging)) if lagging else receipt
