"""Circuit breaker: after a failure, an engine is not called for a while.

It saves callers the timeout of every request. The caller chooses the fallback.
"""

from __future__ import annotations

from datetime import datetime, timedelta

SHORTEST = timedelta(seconds=0.5)
LONGEST = timedelta(seconds=30)
"""How long the breaker is open: ``SHORTEST`` at first, doubled per failure up to ``LONGEST``."""

REFUSED = timedelta(minutes=10)
"""How long it is open after the engine refused the settings: repeated logins lock accounts."""


class CircuitBreaker:
    """The circuit breaker of one engine in this process.

    It is safe to share between threads and tasks: a race costs one call more or less.
    """

    def __init__(self) -> None:
        self._failures = 0
        self._until: datetime | None = None

    def is_open(self, now: datetime) -> bool:
        """Whether not to call the engine."""
        return self._until is not None and now < self._until

    def record_failure(self, now: datetime) -> None:
        """Open the breaker, for twice as long as after the failure before."""
        if not self.is_open(now):
            self._failures += 1
        self._until = now + min(LONGEST, SHORTEST * 2 ** min(self._failures - 1, 10))

    def record_refusal(self, now: datetime) -> None:
        """Open the breaker for ``REFUSED``: the engine refuses the settings."""
        self._until = now + REFUSED

    def record_success(self) -> None:
        """Close the breaker."""
        self._failures, self._until = 0, None
