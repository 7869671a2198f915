"""The port to the read models in the log's own store: checkpoints and missing vectors."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, Protocol, TypeAlias, TypeGuard

from remembrancer.domain.errors import IntegrityError, InvalidRequest
from remembrancer.domain.facts.fact import Fact
from remembrancer.domain.ports.embedder import Vector
from remembrancer.domain.recorded import Recorded

OnRebuild: TypeAlias = Callable[[str, int, int], None]
"""Called while read models are built from the log: with a label, the events done and the total."""

ReadModelsState: TypeAlias = Literal["current", "behind", "different", "damaged"]
"""``behind``: the log has newer events. ``different``: another embedder or release made the read
models. ``damaged``: rows, tables or checkpoints are missing.
"""

Refusal: TypeAlias = InvalidRequest | IntegrityError
"""Why a memory must not write: the read models are ``different``, or ``damaged``."""


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
    """Optional, for read models that may be missing, or behind the log, when the store is built."""

    async def catch_up(self, log: Any, progress: OnRebuild | None = None) -> Refusal | None:
        """Create what is not there yet, and apply the rest of the log.

        Contract: nothing that is there is changed or deleted: read models of another embedder or
        release stay as they are, damaged ones too. It is called once, after ``build`` and before
        anything else. ``async def`` is allowed but must not suspend, because a memory is opened
        without an event loop.

        Args:
            log: the ``audit_log`` of the same store, as the store built it; its type is the
                store's own.
            progress: called after each page.

        Returns:
            Why the memory must not write, ``None`` if it may.

        Raises:
            InvalidRequest: events are sealed, and no key vault is configured.
            Erased: events are sealed, and the key vault has no key for them.
            AdapterUnavailable: the store did not answer.
        """
        ...


def catches_up(read_models: object) -> TypeGuard[CatchesUp]:
    """Whether read models must catch up after the store is built."""
    return hasattr(read_models, "catch_up")


class Rebuildable(Protocol):
    """Optional, for read models that can be rebuilt on request."""

    async def rebuild(self, log: Any, progress: OnRebuild | None = None) -> None:
        """Delete all rows and apply the whole log, with the settings of this memory.

        Contract: readers see the old rows until the end. If it fails, nothing has changed. Vectors
        of other models are kept.

        Args:
            log: see ``CatchesUp.catch_up``.
            progress: called after each page.

        Raises:
            AdapterUnavailable: the store did not answer.
        """
        ...


def is_rebuildable(read_models: object) -> TypeGuard[Rebuildable]:
    """Whether read models can be rebuilt on request."""
    return hasattr(read_models, "rebuild")


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

    async def refusal(self) -> Refusal | None:
        """Why a memory must not write: both fingerprints, or what is damaged, and the command to
        run. ``None`` if it may. Changes nothing, and works before ``catch_up``.

        Raises:
            AdapterUnavailable: the store did not answer.
        """
        ...


def has_state(read_models: object) -> TypeGuard[HasState]:
    """Whether read models can tell their state."""
    return hasattr(read_models, "state") and hasattr(read_models, "refusal")
