"""The port that notifies of new events in the log."""

from __future__ import annotations

from typing import Protocol

from remembrancer.domain.recorded import Position


class AppendSignal(Protocol):
    """Contract: ``wait`` returns soon after any process has appended events behind position
    ``after``, or times out after about ``seconds`` (>= 0). It may return early without new events.

    Raises:
        AdapterUnavailable: the log's database did not answer.
    """

    async def wait(self, after: Position, seconds: float) -> None:
        """Wait for events behind ``after``."""
        ...
