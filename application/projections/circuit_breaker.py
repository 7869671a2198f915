"""Whether an engine is worth asking: once it has not answered, it is left alone for a while.

It spares callers the wait for a time-out with every request; it decides nothing about what is
done instead.
"""

from __future__ import annotations

from datetime import datetime, timedelta

SHORTEST = timedelta(seconds=0.5)
LONGEST = timedelta(seconds=30)


class CircuitBreaker:
    """What this process knows about one engine. Safe to share between threads and tasks: who
    loses a race asks once more, or once less.
    """

    def __init__(self) -> None:
        self._failures = 0
        self._until: datetime | None = None

    def is_open(self, now: datetime) -> bool:
        """Whether to leave the engine alone."""
        return self._until is not None and now < self._until

    def record_failure(self, now: datetime) -> None:
        """It did not answer: leave it alone, twice as long each time."""
        if not self.is_open(now):
            self._failures += 1
        self._until = now + min(LONGEST, SHORTEST * 2 ** min(self._failures - 1, 10))

    def record_success(self) -> None:
        """It has answered."""
        self._failures, self._until = 0, None
