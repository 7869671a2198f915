"""Retry extraction for messages that are pending because a model failed."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from typing import Any

from attrs import frozen

from remembrancer.application.projections.after_commit import AfterCommit
from remembrancer.application.remember.failure import Failure, outcome_of
from remembrancer.application.remember.lagging import with_lagging
from remembrancer.application.remember.ledger_queues import LedgerQueues
from remembrancer.application.remember.receipt import Receipt
from remembrancer.application.remember.remember import Remember
from remembrancer.domain.jsonable import to_jsonable
from remembrancer.domain.ports.audit_log import AuditLog
from remembrancer.domain.ports.fact_store import FactStore
from remembrancer.domain.recorded import CorrelationId
from remembrancer.domain.scope import LedgerId

LIMIT = 10_000
"""Requests per call."""


@frozen(kw_only=True)
class Retried:
    """The results of retried requests."""

    receipts: tuple[Receipt, ...]
    failures: tuple[Failure, ...]

    def to_dict(self) -> dict[str, Any]:
        """All fields as JSON values."""
        result: dict[str, Any] = to_jsonable(self)
        return result


class Retry:
    """Finishes pending requests, oldest first, several ledgers at a time. Each request is finished
    exactly once, even if several callers retry it.

    Args:
        log: reads the ledger of a request.
        facts: lists unfinished requests.
        remember: finishes a request.
        queues: one FIFO queue per ledger.
        after_commit: delivers written events to external projections.
    """

    def __init__(
        self,
        *,
        log: AuditLog,
        facts: FactStore,
        remember: Remember,
        queues: LedgerQueues,
        after_commit: AfterCommit,
    ) -> None:
        self._log = log
        self._facts = facts
        self._remember = remember
        self._queues = queues
        self._after_commit = after_commit

    async def __call__(
        self,
        ledger: LedgerId | None,
        *,
        actor: str,
        progress: Callable[[int, int], None] | None = None,
    ) -> Retried:
        """Retry. Requests that a caller in this process is working on are skipped.

        Args:
            ledger: one ledger, or ``None`` for all.
            actor: recorded in the events.
            progress: called with the requests tried so far and the total.

        Returns:
            Receipts of finished requests, and failures of those still pending.
        """
        found = await self._facts.unfinished(ledger, LIMIT)
        waiting = [each for each in found if not self._remember.in_work(each)]
        outcomes: dict[int, Receipt | Failure] = {}

        def done(index: int, future: Future[Receipt]) -> None:
            outcomes[index] = outcome_of(future, waiting[index])
            if progress is not None:
                progress(len(outcomes), len(waiting))

        await self._queues.each(
            [
                (
                    ledger or await self._ledger_of(each),
                    partial(self._remember.finish, each, actor=actor),
                )
                for each in waiting
            ],
            done=done,
        )
        ended = [outcomes[index] for index in range(len(waiting))]
        receipts = [each for each in ended if isinstance(each, Receipt)]
        return Retried(
            receipts=tuple([await with_lagging(each, self._after_commit) for each in receipts]),
            failures=tuple(each for each in ended if isinstance(each, Failure)),
        )

    async def _ledger_of(self, correlation_id: CorrelationId) -> LedgerId:
        return (await self._log.read_correlation(correlation_id))[0].ledger
