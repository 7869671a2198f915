"""The port to the raw rows of a store, for ``verify``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, TypeAlias

from remembrancer.domain.audit.faults import Findings

Progress: TypeAlias = Callable[[int, int], None]
"""Called with the number of checked events and the number of all events."""


class Inspection(Protocol):
    """Compares every stored row with the log.

    Contract: it changes nothing, repairs nothing, and caches nothing of what it read. Writers may
    go on. A value that can't be read is a fault with its place, never an exception. A part that
    can't be checked is named in ``Findings.unchecked``. Faults in the log come before those in what
    is derived from it.
    """

    async def check(
        self, *, chain: bool, jobs: int, embedder: Any, progress: Progress | None
    ) -> Findings:
        """Check the whole store.

        Args:
            chain: check the log alone: every hash, version, position and head.
            jobs: processes to divide the ledgers among, at least 1.
            embedder: an ``Embedder`` with plain methods that computes vectors again; ``None``: they
                are not compared.
            progress: called after each share of the ledgers; from another thread under
                ``AsyncMemory``.

        Raises:
            AdapterUnavailable: the store did not answer.
            InvalidRequest: a part can't be sent to other processes, or the store uses none.
        """
        ...
