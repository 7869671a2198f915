"""The one fake clock of the tests."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from attrs import define

NOON = datetime(2024, 5, 3, 12, 0, tzinfo=UTC)


@define(kw_only=True)
class VirtualClock:
    """A ``Clock`` that stands still until a test moves it. ``sleep`` moves it, without waiting.

    Attributes:
        time: what ``now`` returns next.
        step: seconds by which each reading moves the clock.
    """

    time: datetime = NOON
    step: float = 0.0

    def now(self) -> datetime:
        moment = self.time
        self.move(seconds=self.step)
        return moment

    def sleep(self, seconds: float) -> None:
        self.move(seconds=seconds)

    def move(self, **by: float) -> None:
        """Move the clock; takes the arguments of ``timedelta``, which may be negative."""
        self.time += timedelta(**by)
