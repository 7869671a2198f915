"""The port to the read models in the log's own store: checkpoints and missing vectors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from remembrancer.domain.facts.fact import Fact
from remembrancer.domain.ports.embedder import Vector
from remembrancer.domain.recorded import Recorded


class ReadModels(Protocol):
    """The projections in the log's own store.

    Contract: facts are complete when an append returns. A document whose text was not embedded in
    time answers keyword searches only, until ``supply`` gives it a vector (backfill).
    """

    async def positions(self) -> Mapping[str, int]:
        """The last position that each read model has applied, by its name."""
        ...

    async def documents(self, chain: Sequence[Recorded]) -> Sequence[tuple[Fact, str]]:
        """The versions, with contexts, that events may have changed in an external index, as in
        ``remembrancer.domain.recall.documents.touched``.
        """
        ...

    async def unembedded(self, limit: int) -> Sequence[str]:
        """The texts of documents without a vector, oldest first."""
        ...

    async def supply(self, vectors: Mapping[str, Vector]) -> int:
        """Add missing vectors, by text; returns the number of documents that got one."""
        ...
