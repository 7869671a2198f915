"""When to try again, and how long to wait before: bounded in number and in time.

It knows nothing of models or HTTP, but for the header in which a server names the wait itself.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from math import isfinite
from typing import TypeVar

from attrs import frozen

from remembrancer.domain.errors import RemembrancerError

T = TypeVar("T")

FIRST_WAIT = 0.5
"""Seconds before the first retry; doubled before each further one."""

LONGEST_WAIT = 16.0
"""Seconds; what doubling ends at."""


class TryAgain(Exception):
    """An attempt failed in a way that may pass.

    ``error`` is what to raise when no more tries are left; ``after`` is the number of seconds
    that the server asked to be left alone for, if it did.
    """

    def __init__(self, error: RemembrancerError, after: float | None = None) -> None:
        super().__init__(str(error))
        self.error = error
        self.after = after


@frozen(kw_only=True)
class Retrying:
    """Runs an attempt until it succeeds, fails for good, or has failed too often.

    Args:
        retries: further tries after the first.
        patience: seconds after which no further try begins.
        sleep: waits for a number of seconds.
        now: a clock in seconds.
        chance: a number in [0, 1), fresh with each call.
    """

    retries: int
    patience: float
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    now: Callable[[], float] = time.monotonic
    chance: Callable[[], float] = random.random

    async def run(self, attempt: Callable[[], Awaitable[T]]) -> T:
        """What the first successful attempt returns.

        Raises:
            RemembrancerError: the last failure, with the library's own exception as its cause.
        """
        begun = self.now()
        tried = 0
        while True:
            try:
                return await attempt()
            except TryAgain as failure:
                wait = self.wait_before(tried, failure.after)
                if tried >= self.retries or self.now() - begun + wait > self.patience:
                    raise failure.error from failure.__cause__
            tried += 1
            await self.sleep(wait)

    def wait_before(self, tried: int, after: float | None) -> float:
        """Seconds to wait after ``tried`` + 1 failures: never less than the server asked for, and
        by chance longer, so that those who failed together do not come back together.
        """
        if after is not None:
            return after + FIRST_WAIT * self.chance()
        return min(LONGEST_WAIT, FIRST_WAIT * 2.0**tried) * (1 + self.chance()) / 2


def retry_after(headers: Mapping[str, str], now: datetime) -> float | None:
    """The seconds that a server asks to be left alone for, ``None`` if it does not say.

    Args:
        headers: of the answer; names compare without regard to case.
        now: the time, for a server that names a date (RFC 9110, section 10.2.3).
    """
    found = {name.lower(): value.strip() for name, value in headers.items()}
    for name, unit in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        with suppress(ValueError):
            seconds = float(found.get(name, "")) * unit
            if isfinite(seconds):
                return max(0.0, seconds)
    with suppress(ValueError, TypeError):
        date = parsedate_to_datetime(found.get("retry-after", ""))
        aware = date if date.tzinfo else date.replace(tzinfo=UTC)
        return max(0.0, (aware - now).total_seconds())
    return None
