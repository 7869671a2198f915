"""What use-cases need to have work done in the background: a lane for each ledger.

It says nothing of threads or tasks; the face has lanes of either kind (``runtime.queue_workers``).
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import Future
from typing import Any, Protocol, TypeAlias, TypeVar

from remembrancer.domain.scope import LedgerId

T = TypeVar("T")

Work: TypeAlias = Callable[[], Coroutine[Any, Any, T]]


class LedgerQueues(Protocol):
    """Works on several ledgers at a time, on each of them in the order of ``submit``, one by one.

    Contract: a work begins at most once. The future gets what it returns or raises;
    ``AdapterUnavailable`` if the lanes were closed first.
    """

    def submit(self, ledger: LedgerId, work: Work[T]) -> Future[T]:
        """Have it done in the background; returns at once.

        Raises:
            AdapterUnavailable: the lanes are closed.
        """
        ...

    def busy(self, ledger: LedgerId) -> bool:
        """Whether anything of this ledger is waiting or in work."""
        ...

    async def outcome(self, future: Future[T], timeout: float | None = None) -> T:
        """Wait for a submitted work. Whoever stops waiting does not stop the work.

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
        """Do all works, and return when all of them have ended.

        Args:
            works: the works and whose they are; those of one ledger are done in this order.
            limit: ledgers to work on at a time, even if that is more than what is usual here;
                ``None`` for what is usual.
            done: called here after each with its index and its ended future. If it raises, or
                the wait is interrupted or cancelled, nothing more is begun.
        """
        ...

    async def close(self, grace: float) -> None:
        """Take no more works, finish those that there are for ``grace`` seconds, and abandon what
        is left then: whoever waits for it gets ``AdapterUnavailable``. Closing twice does nothing.
        """
        ...

    async def farewell(self) -> None:
        """Wait for what was abandoned to let go, once all that it might wait for is closed."""
        ...
