"""The ports to time and to new ids, which the pure domain may not make itself."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol


class Clock(Protocol):
    """Contract: ``now`` is aware and in UTC; ``sleep`` takes about the time given."""

    async def now(self) -> datetime:
        """The current time, in UTC."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait for ``seconds`` (>= 0)."""
        ...


class IdSource(Protocol):
    """Contract: every id is 32 lower-case hex digits and globally unique."""

    def new(self) -> str:
        """A new id; later ids sort after earlier ones."""
        ...
