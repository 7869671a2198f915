"""Implementations of ``LedgerQueues``: threads for ``Memory``, tasks for ``AsyncMemory``.

A worker ends when no job is left, so an idle memory has no workers, and a memory that is never
closed leaks none. Abandoned jobs lose nothing: their messages are in the ledger.
"""

from __future__ import annotations

import asyncio
import queue
import threading
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Coroutine, Iterator, Sequence
from concurrent.futures import Future, InvalidStateError
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any, TypeVar

from attrs import define, field

from remembrancer.application.inline import run_inline
from remembrancer.application.remember.ledger_queues import Work
from remembrancer.domain.errors import AdapterUnavailable
from remembrancer.domain.scope import LedgerId

T = TypeVar("T")

FAREWELL = 5.0
"""Seconds that closing waits for cancelled jobs. A sync adapter that hangs can't be cancelled; its
daemon thread is abandoned."""


@define(eq=False)
class _Job:
    ledger: LedgerId
    work: Work[Any]
    future: Future[Any] = field(factory=Future)


@define(eq=False)
class _QueueWorker:
    """A thread or a task, and its current job."""

    runs: Any = None
    job: _Job | None = None


class _Queues(ABC):
    """Scheduling of jobs, common to threads and tasks.

    Args:
        limit: ledgers to work on at a time.
    """

    def __init__(self, limit: int) -> None:
        self._usual = limit
        self._limits = [limit]
        self._queues: dict[LedgerId, deque[_Job]] = {}
        self._ready: deque[LedgerId] = deque()
        self._workers: set[_QueueWorker] = set()
        self._closed = self._abandoned = False
        # Held by ``with`` on the lock, whose enter and exit are C: an interrupt inside those of a
        # condition would leave it locked.
        self._lock = threading.RLock()
        self._changed = threading.Condition(self._lock)

    def submit(self, ledger: LedgerId, work: Work[T]) -> Future[T]:
        """See ``LedgerQueues.submit``."""
        job = _Job(ledger, work)
        with self._lock:
            if self._closed:
                raise _closed_error()
            try:
                jobs = self._queues.setdefault(ledger, deque())
                jobs.append(job)
                if len(jobs) == 1:
                    self._ready.append(ledger)
                self._add_worker()
            except BaseException:
                self._withdraw(job)
                raise
        return job.future

    def _withdraw(self, job: _Job) -> None:
        """Remove a job whose submission was interrupted: its ledger would stay busy for ever."""
        jobs = self._queues.get(job.ledger, deque())
        if job in jobs:
            jobs.remove(job)
        if not jobs and job.ledger in self._queues:
            del self._queues[job.ledger]
            if job.ledger in self._ready:
                self._ready.remove(job.ledger)

    def busy(self, ledger: LedgerId) -> bool:
        """See ``LedgerQueues.busy``."""
        return ledger in self._queues

    @abstractmethod
    async def outcome(self, future: Future[T], timeout: float | None = None) -> T:
        """See ``LedgerQueues.outcome``."""

    async def each(
        self,
        works: Sequence[tuple[LedgerId, Work[T]]],
        *,
        limit: int | None = None,
        done: Callable[[int, Future[T]], None],
    ) -> None:
        """See ``LedgerQueues.each``."""
        waiting: dict[LedgerId, deque[int]] = {}
        for index, (ledger, _) in enumerate(works):
            waiting.setdefault(ledger, deque()).append(index)
        most = self._usual if limit is None else limit
        ready = deque(waiting)
        begun: dict[int, Future[T]] = {}
        post, receive = self._mailbox()
        with self._raised_limit(most):
            try:
                while ready or begun:
                    while ready and len(begun) < most:
                        index = waiting[ready.popleft()].popleft()
                        begun[index] = self.submit(*works[index])
                        begun[index].add_done_callback(partial(_post, post, index))
                    index = await receive()
                    if waiting[works[index][0]]:
                        ready.append(works[index][0])
                    done(index, begun.pop(index))
            finally:
                for future in begun.values():
                    self._drop(future)

    async def close(self, grace: float) -> None:
        """See ``LedgerQueues.close``."""
        with self._lock:
            self._closed = True
        await self._wait_idle(grace)
        with self._lock:
            self._abandoned = True
            left = [job for jobs in self._queues.values() for job in jobs]
        for job in left:
            _resolve(job, None, _closed_error())
        await self._cancel_workers()

    @abstractmethod
    async def farewell(self) -> None:
        """See ``LedgerQueues.farewell``."""

    @abstractmethod
    def _start(self, worker: _QueueWorker) -> None:
        """Start the thread or task of a worker."""

    @abstractmethod
    def _mailbox(self) -> tuple[Callable[[int], None], Callable[[], Coroutine[Any, Any, int]]]:
        """A function that posts a number from any thread, and one that ``each`` awaits it with."""

    @abstractmethod
    async def _wait_idle(self, seconds: float) -> None:
        """Wait until there are no workers, or for ``seconds``."""

    @abstractmethod
    def _drop(self, future: Future[Any]) -> None:
        """Cancel a job; a running one only if it can be cancelled."""

    @abstractmethod
    async def _cancel_workers(self) -> None:
        """Cancel the workers, as far as they can be cancelled."""

    @contextmanager
    def _raised_limit(self, limit: int) -> Iterator[None]:
        """Allow up to ``limit`` workers during the block."""
        self._limits += [limit]
        try:
            yield
        finally:
            with self._lock:
                self._limits.remove(limit)

    def _add_worker(self) -> None:
        if self._ready and len(self._workers) < max(self._limits):
            worker = _QueueWorker()
            self._start(worker)
            self._workers.add(worker)

    def _take(self, worker: _QueueWorker) -> _Job | None:
        """The next job; ``None`` if the worker must end."""
        with self._lock:
            while self._ready and not self._abandoned and len(self._workers) <= max(self._limits):
                job = self._queues[self._ready.popleft()][0]
                if job.future.set_running_or_notify_cancel():
                    worker.job = job
                    return job
                self._dequeue(job)
            self._workers.discard(worker)
            self._changed.notify_all()
            return None

    def _ended(self, worker: _QueueWorker, result: Any, error: BaseException | None) -> None:
        """Remove an ended job from its queue, and set the result of its future."""
        with self._lock:
            job, worker.job = worker.job, None
            if job is not None:
                self._dequeue(job)
        if job is not None:
            _resolve(job, result, error)

    def _dequeue(self, job: _Job) -> None:
        jobs = self._queues[job.ledger]
        jobs.popleft()
        if jobs:
            self._ready.append(job.ledger)
        else:
            del self._queues[job.ledger]


class ThreadQueues(_Queues):
    """For ``Memory``: jobs run inline in daemon threads."""

    async def outcome(self, future: Future[T], timeout: float | None = None) -> T:
        """See ``LedgerQueues.outcome``; blocks the calling thread."""
        return future.result(timeout)

    async def farewell(self) -> None:
        """See ``LedgerQueues.farewell``."""
        await self._wait_idle(FAREWELL)

    def _start(self, worker: _QueueWorker) -> None:
        threading.Thread(
            target=self._serve, args=(worker,), name="remembrancer-queue", daemon=True
        ).start()

    def _serve(self, worker: _QueueWorker) -> None:
        while (job := self._take(worker)) is not None:
            try:
                result, failure = run_inline(job.work()), None
            except BaseException as error:  # noqa: BLE001 - it is raised again where one waits
                result, failure = None, error
            self._ended(worker, result, failure)

    def _mailbox(self) -> tuple[Callable[[int], None], Callable[[], Coroutine[Any, Any, int]]]:
        box: queue.SimpleQueue[int] = queue.SimpleQueue()

        async def receive() -> int:
            return box.get()

        return box.put, receive

    async def _wait_idle(self, seconds: float) -> None:
        with self._lock:
            self._changed.wait_for(lambda: not self._workers, seconds)

    def _drop(self, future: Future[Any]) -> None:
        future.cancel()

    async def _cancel_workers(self) -> None:
        """Do nothing: closing the adapters that the threads wait for ends them."""


class TaskQueues(_Queues):
    """For ``AsyncMemory``: jobs run in tasks of the submitting event loop. The loop may change."""

    def __init__(self, limit: int) -> None:
        super().__init__(limit)
        self._dropped: set[Future[Any]] = set()

    def submit(self, ledger: LedgerId, work: Work[T]) -> Future[T]:
        """See ``LedgerQueues.submit``."""
        self._remove_dead_workers()
        return super().submit(ledger, work)

    def busy(self, ledger: LedgerId) -> bool:
        """See ``LedgerQueues.busy``."""
        self._remove_dead_workers()
        return super().busy(ledger)

    async def outcome(self, future: Future[T], timeout: float | None = None) -> T:
        """See ``LedgerQueues.outcome``."""
        # The loop of the worker may have been closed: nobody else would end its job.
        self._remove_dead_workers()
        with self._changed:
            self._add_worker()
        if future.done():
            return future.result()
        return await asyncio.wait_for(asyncio.shield(asyncio.wrap_future(future)), timeout)

    def _start(self, worker: _QueueWorker) -> None:
        loop = asyncio.get_running_loop()
        worker.runs = loop.create_task(self._serve(worker), name="remembrancer-queue")
        worker.runs.add_done_callback(lambda _: self._remove_worker(worker))

    async def _serve(self, worker: _QueueWorker) -> None:
        while (job := self._take(worker)) is not None:
            try:
                result = await job.work()
            except asyncio.CancelledError:
                self._ended(worker, None, _closed_error())
                # Not cancelled by ``_drop``: the event loop is stopping.
                if job.future not in self._dropped:
                    raise
                worker.runs.uncancel()
            except Exception as error:  # noqa: BLE001 - it is raised again where one waits
                self._ended(worker, None, error)
            else:
                self._ended(worker, result, None)
            finally:
                self._dropped.discard(job.future)

    def _remove_dead_workers(self) -> None:
        """Remove workers whose event loop was closed without ending its tasks."""
        for worker in list(self._workers):
            if worker.runs.get_loop().is_closed():
                self._remove_worker(worker)

    def _remove_worker(self, worker: _QueueWorker) -> None:
        self._ended(worker, None, _closed_error())
        with self._lock:
            self._workers.discard(worker)

    def _mailbox(self) -> tuple[Callable[[int], None], Callable[[], Coroutine[Any, Any, int]]]:
        loop = asyncio.get_running_loop()
        box: asyncio.Queue[int] = asyncio.Queue()

        def post(number: int) -> None:
            # Nothing waits in a closed loop.
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(box.put_nowait, number)

        return post, box.get

    async def _wait_idle(self, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        here = [worker.runs for worker in self._workers if worker.runs.get_loop() is loop]
        if here:
            await asyncio.wait(here, timeout=seconds)

    def _drop(self, future: Future[Any]) -> None:
        if future.cancel():
            return
        for worker in list(self._workers):
            if worker.job is not None and worker.job.future is future:
                self._dropped.add(future)
                worker.runs.cancel()

    async def farewell(self) -> None:
        """See ``LedgerQueues.farewell``; ``close`` has cancelled the tasks."""

    async def _cancel_workers(self) -> None:
        for worker in list(self._workers):
            with suppress(RuntimeError):
                worker.runs.get_loop().call_soon_threadsafe(worker.runs.cancel)
        await self._wait_idle(FAREWELL)


def _post(post: Callable[[int], None], number: int, _: Future[Any]) -> None:
    post(number)


def _resolve(job: _Job, result: Any, error: BaseException | None) -> None:
    # ``close`` may have set the exception before, or a waiter may have cancelled the future.
    with suppress(InvalidStateError):
        if error is None:
            job.future.set_result(result)
        else:
            job.future.set_exception(error)


def _closed_error() -> AdapterUnavailable:
    return AdapterUnavailable(
        "remembrancer", "the memory was closed first; the messages are in the ledger: call retry"
    )
