"""Timeout around any reranker, sync or async.

``rerank`` is ``async``. A sync reranker runs in one worker thread, one question at a time. A call
that times out there still runs to its end; the next question waits for it, and this wait counts
toward the timeout of that question.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from remembrancer.domain.errors import AdapterUnavailable


class BoundedReranker:
    """A ``Reranker`` with a timeout.

    Args:
        reranker: the reranker to call; its ``rerank`` may be a plain method or ``async def``.
        deadline: timeout of one question in seconds, retries included.

    Raises:
        AdapterUnavailable: from ``rerank``, after the timeout.
    """

    def __init__(self, reranker: Any, *, deadline: float) -> None:
        self._reranker = reranker
        self._deadline = deadline
        self._thread: ThreadPoolExecutor | None = None
        if not inspect.iscoroutinefunction(reranker.rerank):
            self._thread = ThreadPoolExecutor(1, thread_name_prefix="remembrancer-reranker")

    @property
    def model(self) -> str:
        """The name of the model."""
        name: str = self._reranker.model
        return name

    async def rerank(self, question: str, texts: Sequence[str]) -> Sequence[float]:
        """See ``Reranker.rerank``."""
        try:
            async with asyncio.timeout(self._deadline):
                found: Sequence[float] = await self._asked(question, texts)
                return found
        except TimeoutError as error:
            raise AdapterUnavailable(
                "reranker", f"{self.model}: no answer within {self._deadline:g} s"
            ) from error

    def _asked(self, question: str, texts: Sequence[str]) -> Awaitable[Any]:
        if self._thread is None:
            asked: Awaitable[Any] = self._reranker.rerank(question, texts)
            return asked
        loop = asyncio.get_running_loop()
        try:
            return loop.run_in_executor(self._thread, self._reranker.rerank, question, texts)
        except RuntimeError as error:
            raise AdapterUnavailable(
                "reranker", "the memory has been closed; open it again"
            ) from error

    def close(self) -> None:
        """Stop accepting questions. Does not wait for a running call."""
        if self._thread is not None:
            self._thread.shutdown(wait=False, cancel_futures=True)
