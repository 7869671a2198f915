"""The port to the news that something was appended to the log."""

from __future__ import annotations

from typing import Protocol

from remembrancer.domain.recorded import Position


class AppendSignal(Protocol):
    """Contract: ``wait`` returns soon after there are events behind ``after``, whoever appended
    them, and after about ``seconds`` (>= 0) in any case. It may return too early; it tells nothing.

    Raises:
        AdapterUnavailable: the log's database did not answer.
    """

    async def wait(self, after: Position, seconds: float) -> None:
        """Wait for events."""
        ...
