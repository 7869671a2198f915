"""Run one set of ``async`` use-cases for sync and async callers, on sync and async adapters.

============== =============================== ============================
adapter        under ``Memory``                under ``AsyncMemory``
============== =============================== ============================
plain methods  called inline, no loop, no hop  in a worker thread
``async def``  on one background event loop    awaited
============== =============================== ============================

An adapter whose ``async def`` methods block instead of suspending sets ``never_suspends = True``;
under ``Memory`` its methods are then called directly, without the background loop.

Under ``Memory`` no lifted call suspends, so a single ``send(None)`` runs a whole use-case.
"""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, Protocol, TypeAlias, TypeVar

from remembrancer.application.inline import run_inline
from remembrancer.domain.errors import AdapterUnavailable

T = TypeVar("T")

Work: TypeAlias = Callable[[], Coroutine[Any, Any, None]]


class Lift(Protocol):
    """Makes an adapter's methods awaitable."""

    def __call__(self, adapter: Any) -> Any:
        """A proxy of ``adapter`` whose methods are all coroutine functions."""
        ...


class BackgroundLoop:
    """One event loop in a daemon thread of the given name, started on first use."""

    def __init__(self, name: str = "remembrancer-loop") -> None:
        self._name = name
        self._lock = threading.Lock()
        self._closed = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine in the loop and wait for it; interrupting the wait cancels it.

        Raises:
            AdapterUnavailable: the loop has been closed.
        """
        try:
            loop = self._started()
        except AdapterUnavailable:
            coroutine.close()
            raise
        future = asyncio.run_coroutine_threadsafe(coroutine, loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    def _started(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._closed:
                raise AdapterUnavailable(
                    "remembrancer", "the memory has been closed; open it again"
                )
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                self._thread = threading.Thread(
                    target=self._loop.run_forever, name=self._name, daemon=True
                )
                self._thread.start()
            return self._loop

    def close(self) -> None:
        """Cancel all running tasks, so that no waiter hangs, and stop the loop for good."""
        with self._lock:
            self._closed = True
            if self._loop is None or self._thread is None:
                return
            asyncio.run_coroutine_threadsafe(_cancel_all(), self._loop).result()
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()
            self._loop = self._thread = None


async def _cancel_all() -> None:
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
    await asyncio.get_running_loop().shutdown_asyncgens()


class Lifted:
    """A proxy whose methods are coroutine functions; other attributes are the adapter's own."""

    def __init__(self, adapter: object, lift: Callable[[Callable[..., Any]], Any]) -> None:
        self._adapter = adapter
        self._lift = lift

    def __getattr__(self, name: str) -> Any:
        attribute = getattr(self._adapter, name)
        if not callable(attribute):
            return attribute
        lifted = self._lift(attribute)
        # Cached on the instance: the next look-up does not call ``__getattr__``.
        self.__dict__[name] = lifted
        return lifted


def lift_inline(loop: BackgroundLoop) -> Lift:
    """For ``Memory``: plain methods are called inline, async ones on ``loop``. Adapters with
    ``never_suspends`` are returned as they are.
    """

    def lift_method(method: Callable[..., Any]) -> Callable[..., Any]:
        if inspect.iscoroutinefunction(method):

            async def on_loop(*args: Any, **kwargs: Any) -> Any:
                return loop.run(method(*args, **kwargs))

            return on_loop

        async def inline(*args: Any, **kwargs: Any) -> Any:
            return method(*args, **kwargs)

        return inline

    def lift(adapter: Any) -> Any:
        if getattr(adapter, "never_suspends", False) is True:
            return adapter
        return Lifted(adapter, lift_method)

    return lift


def lift_to_threads(workers: ThreadPoolExecutor) -> Lift:
    """For ``AsyncMemory``: plain methods run in ``workers``, async ones are awaited.

    If a task is cancelled while a plain method runs, the task stops waiting, and the method runs to
    its end: a commit is never interrupted.
    """

    def lift_method(method: Callable[..., Any]) -> Callable[..., Any]:
        if inspect.iscoroutinefunction(method):
            return method

        def call(*args: Any, **kwargs: Any) -> Any:
            try:
                return method(*args, **kwargs)
            except StopIteration as error:
                # A future can't carry StopIteration: the awaiting task would hang.
                raise RuntimeError(f"{method!r} raised StopIteration") from error

        async def in_thread(*args: Any, **kwargs: Any) -> Any:
            loop = asyncio.get_running_loop()
            try:
                future = loop.run_in_executor(workers, partial(call, *args, **kwargs))
            except RuntimeError as error:
                raise AdapterUnavailable(
                    "remembrancer", "the memory has been closed; open it again"
                ) from error
            return await future

        return in_thread

    return lambda adapter: Lifted(adapter, lift_method)


class BesideThreads:
    """For ``Memory``: each work runs in a thread of its own."""

    def __init__(self) -> None:
        self._running: set[threading.Thread] = set()

    def start(self, work: Work) -> Callable[[float], Awaitable[None]]:
        """Start work; return a function that waits for its end, for at most the given seconds."""

        def run() -> None:
            try:
                run_inline(work())
            finally:
                self._running.discard(thread)

        # Not a daemon: at exit, the interpreter must wait for its writes.
        thread = threading.Thread(target=run, name="remembrancer-beside")
        self._running.add(thread)
        thread.start()

        async def wait(seconds: float) -> None:
            thread.join(seconds)

        return wait

    async def close(self) -> None:
        """Wait for all running works."""
        for thread in list(self._running):
            thread.join()


class BesideTasks:
    """For ``AsyncMemory``: work runs in tasks of the caller's loop."""

    def __init__(self) -> None:
        self._running: set[asyncio.Task[None]] = set()

    def start(self, work: Work) -> Callable[[float], Awaitable[None]]:
        """Start work; return a function that waits for its end, for at most the given seconds."""
        task = asyncio.get_running_loop().create_task(work())
        self._running.add(task)
        task.add_done_callback(self._running.discard)

        async def wait(seconds: float) -> None:
            await asyncio.wait({task}, timeout=seconds)

        return wait

    async def close(self) -> None:
        """Wait for all works in this event loop; those of closed loops have ended."""
        loop = asyncio.get_running_loop()
        running = {task for task in self._running if task.get_loop() is loop}
        if running:
            await asyncio.wait(running)
