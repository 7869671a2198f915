"""Index maintenance outside of writes: build graphs and segments that make searches faster."""

from __future__ import annotations

from collections.abc import Sequence

from remembrancer.domain.ports.vector_index import Compactable


class IndexMaintenance:
    """Compacts indexes.

    Args:
        indexes: the indexes that support it; may be empty.
    """

    def __init__(self, indexes: Sequence[Compactable]) -> None:
        self._indexes = indexes

    async def __call__(self) -> int:
        """Compact every index, one after the other.

        Returns:
            The number of graphs and segments built.

        Raises:
            AdapterUnavailable: an engine did not answer; what was built before is kept.
        """
        return sum([await index.compact() for index in self._indexes])
