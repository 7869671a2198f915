"""Looking after indexes outside of any write: what takes its time and makes searches faster."""

from __future__ import annotations

from collections.abc import Sequence

from remembrancer.domain.ports.vector_index import Compactable


class IndexMaintenance:
    """Has every index make what is due.

    Args:
        indexes: those that can; none is fine.
    """

    def __init__(self, indexes: Sequence[Compactable]) -> None:
        self._indexes = indexes

    async def __call__(self) -> int:
        """Have it made, one after the other, and wait for it.

        Returns:
            How many graphs or segments were made.

        Raises:
            AdapterUnavailable: an engine did not answer; what was made until then stays.
        """
        return sum([await index.compact() for index in self._indexes])
