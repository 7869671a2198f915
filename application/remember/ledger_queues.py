"""Interface of background work: one FIFO queue per ledger.

``runtime.queue_workers`` implements it with threads and with tasks.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import Future
from typing import Any, Protocol, TypeAlias, TypeVar

from remembrancer.domain.scope import LedgerId

T = TypeVar("T")

Work: TypeAlias = Callable[[], Coroutine[Any, Any, T]]


class LedgerQueues(Protocol):
    """Runs jobs of several ledgers concurrently, and jobs of one ledger one by one, in the order of
    ``submit``.

    Contract: a job starts at most once. Its future gets its result or exception;
    ``AdapterUnavailable`` if the queues were closed first.
    """

    def submit(self, ledger: LedgerId, work: Work[T]) -> Future[T]:
        """Enqueue a job; returns at once.

        Raises:
            AdapterUnavailable: the queues are closed.
        """
        ...

    def busy(self, ledger: LedgerId) -> bool:
        """Whether a job of this ledger is queued or running."""
        ...

    async def outcome(self, future: Future[T], timeout: float | None = None) -> T:
        """Wait for a submitted job. The job goes on if the wait is cancelled or times out.

        Raises:
            TimeoutError: it took longer than ``timeout`` seconds.
        """
        ...

    async def each(
        self,
        works: Sequence[tuple[LedgerId, Work[T]]],
        *,
        limit: int | None = None,
        done: Callable[[int, Future[T]], None],
    ) -> None:
        """Run all jobs, and return when all have ended.

        Args:
            works: jobs with their ledgers; jobs of one ledger run in this order.
            limit: ledgers at a time, even above the configured concurrency; ``None`` for the
                configured one.
            done: called by the waiting caller after each job, with its index and its future. If
                it raises, or the wait is interrupted or cancelled, no further job is started.
        """
        ...

    async def close(self, grace: float) -> None:
        """Accept no more jobs, run the submitted ones for up to ``grace`` seconds, then abandon the
        rest: their futures get ``AdapterUnavailable``. Idempotent.
        """
        ...

    async def farewell(self) -> None:
        """Wait for abandoned jobs to end, after the adapters that they wait for are closed."""
        ...
