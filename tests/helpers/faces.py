"""``Memory`` and ``AsyncMemory`` behind one async interface: a test runs on both."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

from remembrancer import AsyncMemory, AsyncPendingReceipt, Memory, PendingReceipt, Receipt
from remembrancer.application.extraction.rules.extractor import RulesExtractor
from remembrancer.domain.conversation import Message
from remembrancer.domain.guidance import Guidance
from remembrancer.domain.ports.clock import IdSource
from remembrancer.domain.ports.extractor import Extraction
from remembrancer.runtime.sync_bridge import Lifted
from remembrancer.wiring.settings import load_settings
from tests.helpers.waiting import PATIENCE

SYNC, ASYNC = "Memory", "AsyncMemory"


class GatedExtractor:
    """A rules extractor that waits for a gate, and counts concurrent extractions.

    Args:
        face: ``SYNC`` or ``ASYNC``; ``SYNC`` blocks the thread while waiting.
        is_open: whether the gate is open at first.

    Attributes:
        begun: the texts of all messages, in the order in which their extraction began.
        most: the largest number of concurrent extractions, by ledger, and in all under ``""``.
        threads: the names of the threads that extracted.
        failing: the error to raise for a text, once each.
    """

    kept_image_bytes = 0

    def __init__(self, face: str, *, is_open: bool = True) -> None:
        self.begun: list[str] = []
        self.most: Counter[str] = Counter()
        self.threads: set[str] = set()
        self.failing: dict[str, Exception] = {}
        self.gate = threading.Event()
        self._held: dict[str, Callable[[], None]] = {}
        self._blocks = face == SYNC
        self._changed = threading.Condition()
        self._now: Counter[str] = Counter()
        self._rules = RulesExtractor()
        self._waiters = ThreadPoolExecutor(64)
        if is_open:
            self.gate.set()

    def meet(self, text: str, wait: Callable[[], None]) -> None:
        """Let the extraction of a text call ``wait`` instead of waiting for the gate."""
        self._held[text] = wait

    async def until_begun(self, count: int) -> None:
        """Wait until ``count`` extractions have begun."""
        await asyncio.to_thread(self._until_begun, count)

    def _until_begun(self, count: int) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.begun) >= count, PATIENCE)

    async def extract(
        self, messages: Sequence[Message], ids: IdSource, guidance: Guidance | None = None
    ) -> Extraction:
        """Extract by rules, once the gate is open."""
        text, ledger = messages[0].text, messages[0].scope.ledger
        with self._changed:
            self.begun.append(text)
            self._now.update((ledger, ""))
            self.most |= self._now
            self.threads.add(threading.current_thread().name)
            self._changed.notify_all()
        try:
            wait = self._held.get(text, partial(self.gate.wait, PATIENCE))
            if self._blocks:
                wait()
            else:
                await asyncio.get_running_loop().run_in_executor(self._waiters, wait)
        finally:
            with self._changed:
                self._now.subtract((ledger, ""))
        if text in self.failing:
            raise self.failing.pop(text)
        return await self._rules.extract(messages, ids)


@asynccontextmanager
async def opened(
    face: str, config: Mapping[str, Any] | None = None, **overrides: Any
) -> AsyncIterator[Any]:
    """A memory of either face; its methods are awaited."""
    settings = load_settings({"audit_log": "memory", **(config or {})}, environment={})
    if face == ASYNC:
        async with await AsyncMemory.open(settings=settings, overrides=overrides) as memory:
            yield memory
        return
    blocking = await asyncio.to_thread(Memory, settings=settings, overrides=overrides)
    try:
        yield Lifted(
            blocking, lambda memory, name: partial(asyncio.to_thread, getattr(memory, name))
        )
    finally:
        await asyncio.to_thread(blocking.close)


async def final(receipt: Receipt, timeout: float | None = PATIENCE) -> Receipt:
    """Wait for a receipt of either face."""
    if isinstance(receipt, PendingReceipt):
        return await asyncio.to_thread(receipt.wait, timeout)
    assert isinstance(receipt, AsyncPendingReceipt)
    return await receipt.wait(timeout)


def queue_threads() -> list[str]:
    """The names of the queue worker threads that are alive."""
    return [each.name for each in threading.enumerate() if each.name == "remembrancer-queue"]


def lanes_of(texts: Sequence[str], owner: Callable[[str], str]) -> dict[str, list[str]]:
    """The texts by owner, in order."""
    found: dict[str, list[str]] = defaultdict(list)
    for text in texts:
        found[owner(text)].append(text)
    return dict(found)
