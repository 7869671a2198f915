"""Index maintenance outside of writes: build graphs and segments that make searches faster."""

from __future__ import annotations

from collections.abc import Sequence

from remembrancer.application.projections.readiness import Readiness
from remembrancer.domain.ports.vector_index import Compactable


class IndexMaintenance:
    """Compacts indexes.

    Args:
        indexes: the indexes that support it; may be empty.
        readiness: refuses structures for the index of another embedder.
    """

    def __init__(self, indexes: Sequence[Compactable], readiness: Readiness) -> None:
        self._indexes = indexes
        self._readiness = readiness

    async def __call__(self) -> int:
        """Compact every index, one after the other.

        Returns:
            The number of graphs and segments built.

        Raises:
            InvalidRequest: another embedder or release made the index.
            IntegrityError: the read models are damaged.
            AdapterUnavailable: an engine did not answer; what was built before is kept.
        """
        self._readiness.require()
        return sum([await index.compact() for index in self._indexes])
