"""The port to time and to fresh identities, the two things that the pure core may not make."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol


class Clock(Protocol):
    """Contract: ``now`` is aware and in UTC; ``sleep`` waits for about that long."""

    async def now(self) -> datetime:
        """The time, in UTC."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait for ``seconds`` (>= 0)."""
        ...


class IdSource(Protocol):
    """Contract: every id is 32 lower-case hex digits, never given twice by anybody."""

    def new(self) -> str:
        """A fresh id; later ones sort after earlier ones."""
        ...
