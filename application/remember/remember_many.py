"""Remember many conversations: different ledgers concurrently, one ledger in order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from functools import partial
from typing import Any

from attrs import frozen

from remembrancer.application.parsing.request import RememberRequest
from remembrancer.application.remember.failure import Failure, outcome_of
from remembrancer.application.remember.ledger_queues import LedgerQueues
from remembrancer.application.remember.ordered_remember import OrderedRemember
from remembrancer.application.remember.receipt import Receipt
from remembrancer.application.remember.remember import Remember
from remembrancer.domain.jsonable import to_jsonable
from remembrancer.domain.recorded import CorrelationId
from remembrancer.domain.usage import Usage, sum_of


@frozen(kw_only=True)
class Added:
    """The results of many requests: ``outcomes`` in the order of the input."""

    outcomes: tuple[Receipt | Failure, ...]

    @property
    def receipts(self) -> tuple[Receipt, ...]:
        """The receipts of successful requests."""
        return tuple(each for each in self.outcomes if isinstance(each, Receipt))

    @property
    def failures(self) -> tuple[Failure, ...]:
        """The failed requests."""
        return tuple(each for each in self.outcomes if isinstance(each, Failure))

    @property
    def usage(self) -> Usage:
        """Model usage of the receipts; replayed ones don't count."""
        return sum_of(each.usage for each in self.receipts if not each.replayed)

    def to_dict(self) -> dict[str, Any]:
        """All fields as JSON values."""
        result: dict[str, Any] = to_jsonable(self)
        return result


@frozen(kw_only=True)
class Adding:
    """Progress of a call: conversations that have ended (``done`` of ``total``), the number of them
    that ``failed``, model ``usage`` so far, and the ``outcome`` of the last one to end, which is at
    ``index`` of the input.
    """

    done: int
    total: int
    failed: int
    usage: Usage
    index: int
    outcome: Receipt | Failure


class RememberMany:
    """Remembers many requests at once.

    Args:
        remember: observes each request.
        ordered_remember: finishes each request.
        queues: one FIFO queue per ledger.
    """

    def __init__(
        self, *, remember: Remember, ordered_remember: OrderedRemember, queues: LedgerQueues
    ) -> None:
        self._remember = remember
        self._ordered_remember = ordered_remember
        self._queues = queues

    async def __call__(
        self,
        requests: Sequence[RememberRequest],
        *,
        limit: int | None,
        progress: Callable[[Adding], None] | None,
    ) -> Added:
        """Remember all requests; a failure does not stop the others.

        Args:
            requests: requests of one ledger run one by one, in this order.
            limit: ledgers at a time; ``None`` for the setting ``concurrency``.
            progress: called after each request. If it raises, no further request is started.
        """
        outcomes: dict[int, Receipt | Failure] = {}
        observed: dict[int, CorrelationId] = {}
        spent, failed = Usage(), 0

        async def remember(index: int) -> Receipt:
            begun = await self._remember.observe(requests[index])
            observed[index] = begun.correlation_id
            return await self._ordered_remember.finish(begun, requests[index])

        def done(index: int, future: Future[Receipt]) -> None:
            nonlocal spent, failed
            outcome = outcomes[index] = outcome_of(future, observed.get(index))
            if isinstance(outcome, Failure):
                failed += 1
            elif not outcome.replayed:
                spent = sum_of((spent, outcome.usage))
            if progress is not None:
                progress(
                    Adding(
                        done=len(outcomes),
                        total=len(requests),
                        failed=failed,
                        usage=spent,
                        index=index,
                        outcome=outcome,
                    )
                )

        await self._queues.each(
            [
                (request.scope.ledger, partial(remember, index))
                for index, request in enumerate(requests)
            ],
            limit=limit,
            done=done,
        )
        return Added(outcomes=tuple(outcomes[index] for index in range(len(requests))))
