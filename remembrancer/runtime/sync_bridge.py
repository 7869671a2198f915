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
import time
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import Executor
from typing import Any, Protocol, TypeAlias

from remembrancer.application.background_loop import BackgroundLoop
from remembrancer.application.inline import run_inline
from remembrancer.domain.errors import AdapterUnavailable
from remembrancer.domain.ports.never_suspends import never_suspends

Work: TypeAlias = Callable[[], Coroutine[Any, Any, None]]


class Lift(Protocol):
    """Makes an adapter's methods awaitable."""

    def __call__(self, adapter: Any) -> Any:
        """A proxy of ``adapter`` whose methods are all coroutine functions."""
        ...


class Lifted:
    """A proxy whose methods are coroutine functions; other attributes are the adapter's own.

    A method is looked up in the adapter at every call, so that one which is patched later counts.
    """

    def __init__(self, adapter: object, lift: Callable[[object, str], Any]) -> None:
        self._adapter = adapter
        self._lift = lift

    def __getattr__(self, name: str) -> Any:
        attribute = getattr(self._adapter, name)
        if not callable(attribute):
            return attribute
        lifted = self._lift(self._adapter, name)
        # Cached on the instance: the next look-up does not call ``__getattr__``.
        self.__dict__[name] = lifted
        return lifted


def lift_inline(loop: BackgroundLoop) -> Lift:
    """For ``Memory``: plain methods are called inline; whatever can be awaited is awaited on
    ``loop``. Adapters with ``never_suspends`` are returned as they are.
    """

    def lift_method(adapter: object, name: str) -> Callable[..., Any]:
        async def inline(*args: Any, **kwargs: Any) -> Any:
            result = getattr(adapter, name)(*args, **kwargs)
            # Asked of the result, since a decorated ``async def`` is a plain function.
            if asyncio.iscoroutine(result):
                return loop.run(result)
            return loop.run(_awaited(result)) if inspect.isawaitable(result) else result

        return inline

    def lift(adapter: Any) -> Any:
        if never_suspends(adapter):
            return adapter
        return Lifted(adapter, lift_method)

    return lift


async def _awaited(result: Awaitable[Any]) -> Any:
    return await result


def lift_to_threads(workers: Executor) -> Lift:
    """For ``AsyncMemory``: plain methods run in ``workers``; whatever can be awaited is awaited.

    If a task is cancelled while a plain method runs, the task stops waiting, and the method runs to
    its end: a commit is never interrupted.
    """

    def lift_method(adapter: object, name: str) -> Callable[..., Any]:
        async def in_thread(*args: Any, **kwargs: Any) -> Any:
            method = getattr(adapter, name)
            if inspect.iscoroutinefunction(method):
                return await method(*args, **kwargs)

            def call() -> Any:
                try:
                    return method(*args, **kwargs)
                except StopIteration as error:
                    # A future can't carry StopIteration: the awaiting task would hang.
                    raise RuntimeError(f"{method!r} raised StopIteration") from error

            call.__qualname__ = getattr(method, "__qualname__", name)
            loop = asyncio.get_running_loop()
            try:
                future = loop.run_in_executor(workers, call)
            except RuntimeError as error:
                raise AdapterUnavailable(
                    "remembrancer", "the memory has been closed; open it again"
                ) from error
            result = await future
            return await result if inspect.isawaitable(result) else result

        return in_thread

    return lambda adapter: Lifted(adapter, lift_method)


class BesideThreads:
    """For ``Memory``: each work runs in a daemon thread of its own."""

    def __init__(self) -> None:
        self._running: set[threading.Thread] = set()

    def start(self, work: Work) -> Callable[[float], Awaitable[None]]:
        """Start work; return a function that waits for its end, for at most the given seconds."""

        def run() -> None:
            try:
                run_inline(work())
            finally:
                self._running.discard(thread)

        thread = threading.Thread(
            target=run, name=f"remembrancer-beside {_name_of(work)}", daemon=True
        )
        self._running.add(thread)
        thread.start()

        async def wait(seconds: float) -> None:
            thread.join(seconds)

        return wait

    async def close(self, grace: float | None = None) -> tuple[str, ...]:
        """Wait for all works, for at most ``grace`` seconds; return the names of those left."""
        deadline = None if grace is None else time.monotonic() + grace
        for thread in list(self._running):
            thread.join(None if deadline is None else max(0.0, deadline - time.monotonic()))
        return tuple(sorted(thread.name for thread in list(self._running) if thread.is_alive()))


class BesideTasks:
    """For ``AsyncMemory``: work runs in tasks of the caller's loop."""

    def __init__(self) -> None:
        self._running: set[asyncio.Task[None]] = set()

    def start(self, work: Work) -> Callable[[float], Awaitable[None]]:
        """Start work; return a function that waits for its end, for at most the given seconds."""
        task = asyncio.get_running_loop().create_task(work(), name=f"beside {_name_of(work)}")
        self._running.add(task)
        task.add_done_callback(self._running.discard)

        async def wait(seconds: float) -> None:
            await asyncio.wait({task}, timeout=seconds)

        return wait

    async def close(self, grace: float | None = None) -> tuple[str, ...]:
        """Wait for all works in this event loop, for at most ``grace`` seconds; cancel those left,
        and return their names. Works of closed loops have ended.
        """
        loop = asyncio.get_running_loop()
        running = {task for task in self._running if task.get_loop() is loop}
        if not running:
            return ()
        _, left = await asyncio.wait(running, timeout=grace)
        for task in left:
            task.cancel()
        return tuple(sorted(task.get_name() for task in left))


def _name_of(work: Work) -> str:
    return getattr(work, "__qualname__", "work")
