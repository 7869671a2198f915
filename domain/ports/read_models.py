"""The port to the read models in the log's own store: checkpoints and missing vectors."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, Protocol, TypeAlias, TypeGuard

from remembrancer.domain.facts.fact import Fact
from remembrancer.domain.ports.embedder import Vector
from remembrancer.domain.recorded import Recorded

OnRebuild: TypeAlias = Callable[[str, int, int], None]
"""Called while read models are rebuilt: with a label, the events done and the total."""

ReadModelsState: TypeAlias = Literal["current", "behind", "damaged"]
"""``behind``: the log has newer events. ``damaged``: the read models must be rebuilt, as after a
change of the release or the embedder.
"""


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


class CatchesUp(Protocol):
    """Optional, for read models that may be behind the log, or damaged, when the store is built."""

    async def catch_up(self, log: Any, progress: OnRebuild | None = None) -> None:
        """Apply the rest of the log, or all of it again.

        Contract: it is called once, after ``build`` and before anything else. ``async def`` is
        allowed but must not suspend, because a memory is opened without an event loop.

        Args:
            log: the ``audit_log`` of the same store, as the store built it; its type is the
                store's own.
            progress: called after each page.

        Raises:
            InvalidRequest: events are sealed, and no key vault is configured.
            Erased: events are sealed, and the key vault has no key for them.
            AdapterUnavailable: the store did not answer.
        """
        ...


def catches_up(read_models: object) -> TypeGuard[CatchesUp]:
    """Whether read models must catch up after the store is built."""
    return hasattr(read_models, "catch_up")


class HasState(Protocol):
    """Optional, for read models that can tell whether they are up to date, for
    ``remembrancer doctor``.
    """

    async def state(self) -> ReadModelsState:
        """The state of all read models together. Changes nothing, and works before ``catch_up``.

        Raises:
            AdapterUnavailable: the store did not answer.
        """
        ...


def has_state(read_models: object) -> TypeGuard[HasState]:
    """Whether read models can tell their state."""
    return hasattr(read_models, "state")
