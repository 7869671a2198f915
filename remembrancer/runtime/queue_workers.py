"""Lanes (see ``application.remember.ledger_queues``): of threads for ``Memory``, of tasks for
``AsyncMemory``.

A worker lives as long as there is something to do, so an idle memory has none, and one that is
never closed leaves nothing behind. Nothing here writes: what is abandoned is in the ledger, and
waits there.
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

from remembrancer.application.remember.ledger_queues import Work
from remembrancer.domain.errors import AdapterUnavailable
from remembrancer.domain.scope import LedgerId
from remembrancer.runtime.sync_bridge import run_inline

T = TypeVar("T")

FAREWELL = 5.0
"""Seconds for which closing waits for works that were cut short. A plain adapter that hangs can't
be cut short; its daemon thread is left to itself."""


@define(eq=False)
class _Job:
    ledger: LedgerId
    work: Work[Any]
    future: Future[Any] = field(factory=Future)


@define(eq=False)
class _QueueWorker:
    """A thread or a task, and what it is working on."""

    runs: Any = None
    job: _Job | None = None


class _Lanes(ABC):
    """Which job comes next, whoever works on it.

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
        self._changed = threading.Condition()

    def submit(self, ledger: LedgerId, work: Work[T]) -> Future[T]:
        """See ``LedgerQueues.submit``."""
        job = _Job(ledger, work)
        with self._changed:
            if self._closed:
                raise _stopped()
            lane = self._queues.setdefault(ledger, deque())
            lane.append(job)
            if len(lane) == 1:
                self._ready.append(ledger)
            self._staff()
        return job.future

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
        tell, told = self._mailbox()
        with self._room_for(most):
            try:
                while ready or begun:
                    while ready and len(begun) < most:
                        index = waiting[ready.popleft()].popleft()
                        begun[index] = self.submit(*works[index])
                        begun[index].add_done_callback(partial(_call, tell, index))
                    index = await told()
                    if waiting[works[index][0]]:
                        ready.append(works[index][0])
                    done(index, begun.pop(index))
            finally:
                for future in begun.values():
                    self._drop(future)

    async def close(self, grace: float) -> None:
        """Finish what was submitted, for so many seconds; then abandon what is left.

        Whoever waits for that is told by ``AdapterUnavailable``. Closing twice does nothing.
        """
        with self._changed:
            self._closed = True
        await self._settled(grace)
        with self._changed:
            self._abandoned = True
            left = [job for lane in self._queues.values() for job in lane]
        for job in left:
            _tell(job, None, _stopped())
        await self._cut_short()

    @abstractmethod
    async def farewell(self) -> None:
        """See ``LedgerQueues.farewell``."""

    @abstractmethod
    def _start(self, worker: _QueueWorker) -> None:
        """Let it run."""

    @abstractmethod
    def _mailbox(self) -> tuple[Callable[[int], None], Callable[[], Coroutine[Any, Any, int]]]:
        """A way to tell numbers, from any thread, to the one who waits in ``each``."""

    @abstractmethod
    async def _settled(self, seconds: float) -> None:
        """Wait until there are no more workers, or the time is over."""

    @abstractmethod
    def _drop(self, future: Future[Any]) -> None:
        """Do not begin it; stop it if it can be stopped."""

    @abstractmethod
    async def _cut_short(self) -> None:
        """Stop the workers, as far as they can be stopped."""

    @contextmanager
    def _room_for(self, limit: int) -> Iterator[None]:
        """Allow as many workers as a call asked for, while it lasts."""
        with self._changed:
            self._limits.append(limit)
        try:
            yield
        finally:
            with self._changed:
                self._limits.remove(limit)

    def _staff(self) -> None:
        if self._ready and len(self._workers) < max(self._limits):
            worker = _QueueWorker()
            self._start(worker)
            self._workers.add(worker)

    def _take(self, worker: _QueueWorker) -> _Job | None:
        """The next job; without one the worker is to end."""
        with self._changed:
            while self._ready and not self._abandoned and len(self._workers) <= max(self._limits):
                job = self._queues[self._ready.popleft()][0]
                if job.future.set_running_or_notify_cancel():
                    worker.job = job
                    return job
                self._leave(job)
            self._workers.discard(worker)
            self._changed.notify_all()
            return None

    def _ended(self, worker: _QueueWorker, result: Any, error: BaseException | None) -> None:
        """Let the next of the lane be done, and tell the outcome."""
        with self._changed:
            job, worker.job = worker.job, None
            if job is not None:
                self._leave(job)
        if job is not None:
            _tell(job, result, error)

    def _leave(self, job: _Job) -> None:
        lane = self._queues[job.ledger]
        lane.popleft()
        if lane:
            self._ready.append(job.ledger)
        else:
            del self._queues[job.ledger]


class ThreadQueues(_Lanes):
    """For ``Memory``: daemon threads, in which use-cases run inline."""

    async def outcome(self, future: Future[T], timeout: float | None = None) -> T:
        """See ``LedgerQueues.outcome``; blocks."""
        return future.result(timeout)

    async def farewell(self) -> None:
        """See ``LedgerQueues.farewell``."""
        await self._settled(FAREWELL)

    def _start(self, worker: _QueueWorker) -> None:
        threading.Thread(
            target=self._serve, args=(worker,), name="remembrancer-lane", daemon=True
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

        async def told() -> int:
            return box.get()

        return box.put, told

    async def _settled(self, seconds: float) -> None:
        with self._changed:
            self._changed.wait_for(lambda: not self._workers, seconds)

    def _drop(self, future: Future[Any]) -> None:
        future.cancel()

    async def _cut_short(self) -> None:
        """What they wait for is closed next, and that ends them."""


class TaskQueues(_Lanes):
    """For ``AsyncMemory``: tasks of the loop that submits. Loops may follow one another."""

    def __init__(self, limit: int) -> None:
        super().__init__(limit)
        self._dropped: set[Future[Any]] = set()

    def submit(self, ledger: LedgerId, work: Work[T]) -> Future[T]:
        """See ``LedgerQueues.submit``."""
        self._bury()
        return super().submit(ledger, work)

    def busy(self, ledger: LedgerId) -> bool:
        """See ``LedgerQueues.busy``."""
        self._bury()
        return super().busy(ledger)

    async def outcome(self, future: Future[T], timeout: float | None = None) -> T:
        """See ``LedgerQueues.outcome``."""
        if future.done():
            return future.result()
        return await asyncio.wait_for(asyncio.shield(asyncio.wrap_future(future)), timeout)

    def _start(self, worker: _QueueWorker) -> None:
        loop = asyncio.get_running_loop()
        worker.runs = loop.create_task(self._serve(worker), name="remembrancer-lane")
        worker.runs.add_done_callback(lambda _: self._lost(worker))

    async def _serve(self, worker: _QueueWorker) -> None:
        while (job := self._take(worker)) is not None:
            try:
                result = await job.work()
            except asyncio.CancelledError:
                self._ended(worker, None, _stopped())
                # Otherwise it is the loop that stops.
                if job.future not in self._dropped:
                    raise
                worker.runs.uncancel()
            except Exception as error:  # noqa: BLE001 - it is raised again where one waits
                self._ended(worker, None, error)
            else:
                self._ended(worker, result, None)
            finally:
                self._dropped.discard(job.future)

    def _bury(self) -> None:
        """Let go of what a loop was working on that was closed without ending its tasks."""
        for worker in list(self._workers):
            if worker.runs.get_loop().is_closed():
                self._lost(worker)

    def _lost(self, worker: _QueueWorker) -> None:
        self._ended(worker, None, _stopped())
        with self._changed:
            self._workers.discard(worker)

    def _mailbox(self) -> tuple[Callable[[int], None], Callable[[], Coroutine[Any, Any, int]]]:
        loop = asyncio.get_running_loop()
        box: asyncio.Queue[int] = asyncio.Queue()

        def tell(number: int) -> None:
            # A loop that is closed has nobody waiting.
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(box.put_nowait, number)

        return tell, box.get

    async def _settled(self, seconds: float) -> None:
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
        """See ``LedgerQueues.farewell``; tasks were stopped when the lanes were closed."""

    async def _cut_short(self) -> None:
        for worker in list(self._workers):
            with suppress(RuntimeError):
                worker.runs.get_loop().call_soon_threadsafe(worker.runs.cancel)
        await self._settled(FAREWELL)


def _call(tell: Callable[[int], None], number: int, _: Future[Any]) -> None:
    tell(number)


def _tell(job: _Job, result: Any, error: BaseException | None) -> None:
    # Closing may have told the waiters before, or they may have gone away.
    with suppress(InvalidStateError):
        if error is None:
            job.future.set_result(result)
        else:
            job.future.set_exception(error)


def _stopped() -> AdapterUnavailable:
    return AdapterUnavailable(
        "remembrancer", "the memory was closed first; what was said is in the ledger, for retry"
    )
