"""One background thread with one event loop per index, for the client of the engine.

The client's connection belongs to the loop that opened it, but callers use several loops: the
host's under ``AsyncMemory``, the background loop under ``Memory``, another one in a worker.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from typing import Any, TypeVar

from remembrancer.domain.errors import AdapterUnavailable

T = TypeVar("T")


class OwnLoop:
    """An event loop in a daemon thread; started by the first call, stopped by ``close``."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._closed = False

    async def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine on the loop; cancelling the await cancels the coroutine.

        Raises:
            AdapterUnavailable: the loop is closed.
        """
        try:
            loop = self._running()
        except AdapterUnavailable:
            coroutine.close()
            raise
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(coroutine, loop))

    def _running(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._closed:
                raise AdapterUnavailable(self._name, "the index has been closed; open it again")
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                self._thread = threading.Thread(
                    target=self._loop.run_forever, name=f"remembrancer-{self._name}", daemon=True
                )
                self._thread.start()
            return self._loop

    async def close(self, last: Coroutine[Any, Any, None]) -> None:
        """Cancel all running tasks, run the coroutine ``last``, and stop the loop. Idempotent."""
        with self._lock:
            loop, thread = self._loop, self._thread
            self._closed, self._loop, self._thread = True, None, None
        if loop is None or thread is None:
            last.close()
            return
        await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(_cancel_others(), loop))
        try:
            await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(last, loop))
        finally:
            loop.call_soon_threadsafe(loop.stop)
            thread.join()
            loop.close()


async def _cancel_others() -> None:
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
