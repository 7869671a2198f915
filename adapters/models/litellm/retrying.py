"""Retries with exponential backoff and jitter, bounded in number and in time.

Independent of models and HTTP, except for the header ``Retry-After``.
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
"""Backoff before the first retry in seconds; doubled for each further one."""

LONGEST_WAIT = 16.0
"""Maximum backoff in seconds."""


class TryAgain(Exception):
    """A transient failure of an attempt.

    ``error`` is raised when no retries are left; ``after`` is the server's ``Retry-After`` in
    seconds, ``None`` if it sent none.
    """

    def __init__(self, error: RemembrancerError, after: float | None = None) -> None:
        super().__init__(str(error))
        self.error = error
        self.after = after


@frozen(kw_only=True)
class Retrying:
    """Retry policy: runs an attempt until it succeeds, fails permanently, or retries run out.

    Args:
        retries: maximum retries after the first try.
        patience: seconds after the first try in which a retry may begin.
        sleep: waits for a number of seconds.
        now: a monotonic clock in seconds.
        chance: returns a random number in [0, 1), for jitter.
    """

    retries: int
    patience: float
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    now: Callable[[], float] = time.monotonic
    chance: Callable[[], float] = random.random

    async def run(self, attempt: Callable[[], Awaitable[T]]) -> T:
        """Return the result of the first successful attempt.

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
        """Return the backoff in seconds before retry number ``tried`` + 1.

        At least ``after``, if given, with random jitter so that clients that failed together do
        not retry together.
        """
        if after is not None:
            return after + FIRST_WAIT * self.chance()
        return min(LONGEST_WAIT, FIRST_WAIT * 2.0**tried) * (1 + self.chance()) / 2


def retry_after(headers: Mapping[str, str], now: datetime) -> float | None:
    """Return the ``Retry-After`` of a response in seconds, ``None`` if it has none.

    Args:
        headers: of the response; names are case-insensitive.
        now: current time, for a header with a date (RFC 9110, section 10.2.3).
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
