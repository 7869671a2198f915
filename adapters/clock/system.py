"""The system clock, and a source of UUIDv7 ids (RFC 9562; they sort by time)."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime

import uuid_utils


class SystemClock:
    """A synchronous ``Clock``."""

    def now(self) -> datetime:
        """See ``Clock.now``."""
        return datetime.now(UTC)

    def sleep(self, seconds: float) -> None:
        """See ``Clock.sleep``."""
        time.sleep(seconds)


class AsyncSystemClock:
    """An asynchronous ``Clock``."""

    async def now(self) -> datetime:
        """See ``Clock.now``."""
        return datetime.now(UTC)

    async def sleep(self, seconds: float) -> None:
        """See ``Clock.sleep``."""
        await asyncio.sleep(seconds)


class UuidSource:
    """An ``IdSource`` of UUIDv7 ids, as 32 hex digits."""

    def new(self) -> str:
        """See ``IdSource.new``."""
        return uuid_utils.uuid7().hex
