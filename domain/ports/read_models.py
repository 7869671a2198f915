"""The port to the read models as a whole: how far they have come, and what they still lack."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from remembrancer.domain.facts.fact import Fact
from remembrancer.domain.ports.embedder import Vector
from remembrancer.domain.recorded import Recorded


class ReadModels(Protocol):
    """What follows the log.

    Contract: facts are complete when an append returns. A document whose text could not be
    embedded in time answers keyword searches, and waits for its vector to be supplied.
    """

    async def positions(self) -> Mapping[str, int]:
        """The last position that each read model has taken in, by its name."""
        ...

    async def documents(self, chain: Sequence[Recorded]) -> Sequence[tuple[Fact, str]]:
        """What an external index is to hold because of events that were appended: the versions
        and their contexts, as ``remembrancer.domain.recall.documents.touched`` has them.
        """
        ...

    async def unembedded(self, limit: int) -> Sequence[str]:
        """Texts of documents without a vector, oldest first."""
        ...

    async def supply(self, vectors: Mapping[str, Vector]) -> int:
        """Give documents that wait for them their vectors, by text; returns how many got one."""
        ...
