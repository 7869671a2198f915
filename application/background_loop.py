"""An event loop in a daemon thread, for async engines whose callers have no loop or another one."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Coroutine
from concurrent.futures import CancelledError, Future, wait
from contextlib import suppress
from typing import Any, TypeVar

from remembrancer.domain.errors import AdapterUnavailable, RemembrancerError, WrongContext

T = TypeVar("T")

GRACE = 4.0
"""Seconds that ``close`` waits by default."""


class BackgroundLoop:
    """Starts with the first call and ends with ``close``.

    A thread does not survive a fork. In a child process, calls raise an error, unless ``forks`` is
    true: then the child starts a loop of its own.

    Args:
        name: of what runs there; names the thread, and the adapter in errors.
        forks: whether the coroutines hold nothing that belongs to the parent process.
    """

    def __init__(self, name: str = "memory", *, forks: bool = False) -> None:
        self._name = name
        self._forks = forks
        self._reset()

    def _reset(self) -> None:
        # A lock that another thread held during a fork stays locked in the child.
        self._lock = threading.Lock()
        self._pid = os.getpid()
        self._closed = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._stopped = False

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine and block until it ends. An interrupt of the caller cancels it.

        Raises:
            AdapterUnavailable: the loop has been closed, before the call or during it.
            WrongContext: the caller is the loop's own thread, which would wait for itself, or a
                process that was forked after the loop had started.
        """
        try:
            self._check_thread()
        except BaseException:
            coroutine.close()
            raise
        future = self._sent(coroutine)
        try:
            return future.result()
        except CancelledError as error:
            raise self._ended_early() from error
        except BaseException:
            future.cancel()
            raise

    async def run_async(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine and await its end. Cancelling the await cancels it.

        Raises:
            AdapterUnavailable: the loop has been closed, before the call or during it.
            WrongContext: the caller is a process that was forked after the loop had started.
        """
        future = self._sent(coroutine)
        try:
            return await asyncio.wrap_future(future)
        except asyncio.CancelledError as error:
            caller = asyncio.current_task()
            if caller is not None and caller.cancelling():
                raise
            raise self._ended_early() from error

    def _sent(self, coroutine: Coroutine[Any, Any, T]) -> Future[T]:
        try:
            loop = self._started()
            with self._lock:
                if self._stopped:
                    raise self._ended_early()
                return asyncio.run_coroutine_threadsafe(coroutine, loop)
        except RemembrancerError:
            coroutine.close()
            raise
        except RuntimeError as error:
            coroutine.close()
            raise self._ended_early() from error

    def _ended_early(self) -> AdapterUnavailable:
        return AdapterUnavailable(
            self._name, "its event loop was closed before the call ended; open the memory again"
        )

    def _started(self) -> asyncio.AbstractEventLoop:
        if self._pid != os.getpid():
            self._adopt_child()
        with self._lock:
            if self._closed:
                raise AdapterUnavailable(self._name, "has been closed; open it again")
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                self._thread = threading.Thread(
                    target=self._serve,
                    args=(self._loop,),
                    name=f"remembrancer-{self._name}",
                    daemon=True,
                )
                self._thread.start()
            return self._loop

    def _serve(self, loop: asyncio.AbstractEventLoop) -> None:
        try:
            loop.run_forever()
            # If an engine has stopped it, and not ``close``, callers must not wait for ever: what
            # was sent is cancelled, and nothing more is sent.
            with self._lock:
                self._stopped = True
            while not _is_ended(loop):
                pass
        finally:
            loop.close()

    def _check_thread(self) -> None:
        if threading.current_thread() is self._thread:
            raise WrongContext(
                f"{self._name}: an async adapter called the Memory that it serves, and would wait "
                "for itself; call from another thread, as asyncio.to_thread does"
            )

    def _adopt_child(self) -> None:
        if self._loop is not None and not self._forks:
            raise WrongContext(
                f"{self._name}: process {os.getpid()} was forked from process {self._pid}, whose "
                "threads it does not have; open a memory in each process"
            )
        self._reset()

    def close(
        self, grace: float = GRACE, last: Coroutine[Any, Any, None] | None = None
    ) -> tuple[str, ...]:
        """Cancel all tasks, run ``last``, and stop the loop for good. Closing twice does nothing.

        Args:
            grace: seconds to wait. A task that has not ended by then is left behind, with the
                daemon thread.
            last: runs after the others have ended, such as the close of a client.

        Returns:
            What was left behind: the names of coroutines.
        """
        loop, thread = self._take()
        with self._lock:
            ended: Future[None] | None = None
            if loop is not None and not self._stopped:
                ended = asyncio.run_coroutine_threadsafe(_end(last), loop)
        if loop is None or thread is None or ended is None:
            # It was not started, or an engine has stopped it: its thread ends what there is.
            if last is not None:
                last.close()
            if thread is not None:
                thread.join(grace)
            return ()
        if not wait([ended], grace).done:
            # A loop that hangs in a blocking call does not even run the cancellation. It stops by
            # itself if that call returns after all.
            ended.add_done_callback(lambda _: _stop(loop))
            left = tuple(sorted({_name_of(task) for task in asyncio.all_tasks(loop)} - {"_end"}))
            return left or (thread.name,)
        _stop(loop)
        thread.join()
        # An engine may have stopped the loop at the same time, which cancels this, too.
        with suppress(CancelledError):
            ended.result()
        return ()

    async def close_async(
        self, grace: float = GRACE, last: Coroutine[Any, Any, None] | None = None
    ) -> tuple[str, ...]:
        """``close`` without blocking the event loop of the caller."""
        return await asyncio.to_thread(self.close, grace, last)

    def _take(self) -> tuple[asyncio.AbstractEventLoop | None, threading.Thread | None]:
        if self._pid != os.getpid():
            self._reset()
        with self._lock:
            taken = self._loop, self._thread
            self._closed, self._loop, self._thread = True, None, None
        return taken


def _stop(loop: asyncio.AbstractEventLoop) -> None:
    loop.call_soon_threadsafe(loop.stop)


def _is_ended(loop: asyncio.AbstractEventLoop) -> bool:
    try:
        loop.run_until_complete(_end(None))
    except RuntimeError:
        # A call that was sent before has stopped it once more.
        return loop.is_closed()
    return True


async def _end(last: Coroutine[Any, Any, None] | None) -> None:
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
    if last is not None:
        await last
    await asyncio.get_running_loop().shutdown_asyncgens()


def _name_of(task: asyncio.Task[Any]) -> str:
    coroutine = task.get_coro()
    return getattr(coroutine, "__qualname__", None) or task.get_name()
