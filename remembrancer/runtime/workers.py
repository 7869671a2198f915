"""Threads for plain adapters under ``AsyncMemory``.

They are daemon threads, unlike those of ``ThreadPoolExecutor``, which the interpreter joins at its
exit: an engine's call that never returns must not keep the process alive.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import Executor, Future
from contextlib import suppress
from functools import partial
from typing import Any, ParamSpec, TypeVar

from attrs import define, field

P = ParamSpec("P")
T = TypeVar("T")


@define(eq=False)
class _Call:
    run: Callable[[], Any]
    name: str
    future: Future[Any] = field(factory=Future)


class Workers(Executor):
    """Starts a thread for a call if all threads are busy, up to ``limit``.

    Args:
        limit: threads.
        name: what their names begin with.
    """

    def __init__(self, limit: int, name: str = "remembrancer") -> None:
        self._limit = limit
        self._name = name
        self._calls: queue.SimpleQueue[_Call | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._threads: list[threading.Thread] = []
        self._running: dict[threading.Thread, _Call] = {}
        self._pending = 0
        self._closed = False

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """See ``Executor.submit``.

        Raises:
            RuntimeError: the workers have been closed.
        """
        call = _Call(partial(fn, *args, **kwargs), getattr(fn, "__qualname__", repr(fn)))
        with self._lock:
            if self._closed:
                raise RuntimeError("the workers have been closed")
            self._pending += 1
            self._calls.put(call)
            if self._pending > len(self._threads) < self._limit:
                thread = threading.Thread(
                    target=self._serve, name=f"{self._name}_{len(self._threads)}", daemon=True
                )
                self._threads.append(thread)
                thread.start()
        return call.future

    def _serve(self) -> None:
        me = threading.current_thread()
        while (call := self._calls.get()) is not None:
            if call.future.set_running_or_notify_cancel():
                self._running[me] = call
                try:
                    result = call.run()
                except BaseException as error:  # noqa: BLE001 - it is raised where one waits
                    call.future.set_exception(error)
                else:
                    call.future.set_result(result)
                    # Otherwise an idle thread would keep the result alive.
                    del result
                del self._running[me]
            with self._lock:
                self._pending -= 1
            del call

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """See ``Executor.shutdown``."""
        self._end(cancel_futures=cancel_futures)
        if wait:
            for thread in self._threads:
                thread.join()

    def close(self, grace: float) -> tuple[str, ...]:
        """Cancel the calls that have not begun, and wait for the others. Closing twice is fine.

        Args:
            grace: seconds to wait.

        Returns:
            The names of the calls that still run; their threads are left behind.
        """
        self._end(cancel_futures=True)
        deadline = time.monotonic() + grace
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        return tuple(sorted(call.name for call in list(self._running.values())))

    def _end(self, *, cancel_futures: bool) -> None:
        with self._lock:
            if self._closed:
                return
            self._closed = True
            if cancel_futures:
                self._cancel_waiting()
            for _ in self._threads:
                self._calls.put(None)

    def _cancel_waiting(self) -> None:
        with suppress(queue.Empty):
            while True:
                call = self._calls.get_nowait()
                if call is not None:
                    call.future.cancel()
                    self._pending -= 1
