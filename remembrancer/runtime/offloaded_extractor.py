"""Extraction from long messages in a worker thread, so that it does not block an event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import Executor
from typing import Any

from remembrancer.application.inline import run_inline
from remembrancer.domain.conversation import Message
from remembrancer.domain.guidance import Guidance
from remembrancer.domain.ports.clock import IdSource
from remembrancer.domain.ports.extractor import Extraction, Extractor

AT_ONCE = 2_000
"""Characters that the loop itself extracts from: rules take some 20 µs a character at worst, and a
thread is not worth it below some milliseconds.
"""


class OffloadedExtractor:
    """An extractor that never suspends, for ``AsyncMemory``.

    Args:
        extractor: computes, and waits for nothing; see ``NeverSuspends``.
        workers: the threads for long messages.
    """

    def __init__(self, extractor: Extractor, workers: Executor) -> None:
        self._extractor = extractor
        self._workers = workers

    def __getattr__(self, name: str) -> Any:
        return getattr(self._extractor, name)

    async def extract(
        self, messages: Sequence[Message], ids: IdSource, guidance: Guidance | None = None
    ) -> Extraction:
        """See ``Extractor.extract``."""
        return await self._run(messages, lambda: self._extractor.extract(messages, ids, guidance))

    async def recount(
        self, messages: Sequence[Message], ids: IdSource, guidance: Guidance | None = None
    ) -> Extraction:
        """See ``Extractor.recount``."""
        return await self._run(messages, lambda: self._extractor.recount(messages, ids, guidance))

    async def _run(
        self, messages: Sequence[Message], work: Callable[[], Coroutine[Any, Any, Extraction]]
    ) -> Extraction:
        if sum(len(message.text) for message in messages) <= AT_ONCE:
            return await work()
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._workers, lambda: run_inline(work()))
