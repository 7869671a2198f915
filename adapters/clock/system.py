"""The machine's clock, and ids by RFC 9562 (UUID version 7: they sort by time)."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime

import uuid_utils


class SystemClock:
    """``Clock`` for threads."""

    def now(self) -> datetime:
        """See ``Clock.now``."""
        return datetime.now(UTC)

    def sleep(self, seconds: float) -> None:
        """See ``Clock.sleep``."""
        time.sleep(seconds)


class AsyncSystemClock:
    """``Clock`` for an event loop."""

    async def now(self) -> datetime:
        """See ``Clock.now``."""
        return datetime.now(UTC)

    async def sleep(self, seconds: float) -> None:
        """See ``Clock.sleep``."""
        await asyncio.sleep(seconds)


class UuidSource:
    """``IdSource`` of UUIDv7 in hex."""

    def new(self) -> str:
        """See ``IdSource.new``."""
        return uuid_utils.uuid7().hex
