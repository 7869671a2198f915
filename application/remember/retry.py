"""Trying again what a model left undone: messages that were observed and wait for extraction."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from typing import Any

from attrs import frozen

from remembrancer.application.remember.failure import Failure, outcome_of
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
    """What became of the requests that were waiting."""

    receipts: tuple[Receipt, ...]
    failures: tuple[Failure, ...]

    def to_dict(self) -> dict[str, Any]:
        """All fields in JSON's terms."""
        result: dict[str, Any] = to_jsonable(self)
        return result


class Retry:
    """Finishes requests, oldest first, each exactly once however many try; those of several
    ledgers at a time.

    Args:
        log: tells whose a request is.
        facts: tell which requests wait.
        remember: finishes one.
        queues: where that is done.
    """

    def __init__(
        self, *, log: AuditLog, facts: FactStore, remember: Remember, queues: LedgerQueues
    ) -> None:
        self._log = log
        self._facts = facts
        self._remember = remember
        self._queues = queues

    async def __call__(
        self,
        ledger: LedgerId | None,
        *,
        actor: str,
        progress: Callable[[int, int], None] | None = None,
    ) -> Retried:
        """Try again. What a caller in this process is working on is left to that one.

        Args:
            ledger: whose messages, ``None`` for everybody's.
            actor: who asks, for the audit.
            progress: called with the requests tried so far and those to try in all.

        Returns:
            Receipts of what is done now, and what still waits, with the reasons.
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
        return Retried(
            receipts=tuple(each for each in ended if isinstance(each, Receipt)),
            failures=tuple(each for each in ended if isinstance(each, Failure)),
        )

    async def _ledger_of(self, correlation_id: CorrelationId) -> LedgerId:
        return (await self._log.read_correlation(correlation_id))[0].ledger
