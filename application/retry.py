"""Trying again what a model left undone: messages that were observed and wait for extraction."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from attrs import frozen

from memledger.application.receipt import Receipt
from memledger.application.remember import Remember
from memledger.domain.errors import AdapterUnavailable, Conflict, ModelError
from memledger.domain.plain import plain
from memledger.domain.ports.fact_store import FactStore
from memledger.domain.recorded import CorrelationId
from memledger.domain.scope import LedgerId

LIMIT = 10_000
"""Requests per call."""


@frozen(kw_only=True)
class Failure:
    """A request that still waits, and why."""

    correlation_id: CorrelationId
    problem: str


@frozen(kw_only=True)
class Retried:
    """What became of the requests that were waiting."""

    receipts: tuple[Receipt, ...]
    failures: tuple[Failure, ...]

    def to_dict(self) -> dict[str, Any]:
        """All fields in JSON's terms."""
        result: dict[str, Any] = plain(self)
        return result


class Retry:
    """Finishes requests, oldest first, each exactly once however many try.

    Args:
        facts: tell which requests wait.
        remember: finishes one.
    """

    def __init__(self, *, facts: FactStore, remember: Remember) -> None:
        self._facts = facts
        self._remember = remember

    async def __call__(
        self,
        ledger: LedgerId | None,
        *,
        actor: str,
        progress: Callable[[int, int], None] | None = None,
    ) -> Retried:
        """Try again.

        Args:
            ledger: whose messages, ``None`` for everybody's.
            actor: who asks, for the audit.
            progress: called with the requests tried so far and those to try in all.

        Returns:
            Receipts of what is done now, and what still waits, with the reasons.
        """
        waiting = await self._facts.unfinished(ledger, LIMIT)
        receipts: list[Receipt] = []
        failures: list[Failure] = []
        for number, correlation_id in enumerate(waiting, start=1):
            try:
                receipts.append(await self._remember.finish(correlation_id, actor=actor))
            except (AdapterUnavailable, ModelError, Conflict) as error:
                failures.append(Failure(correlation_id=correlation_id, problem=str(error)))
            if progress is not None:
                progress(number, len(waiting))
        return Retried(receipts=tuple(receipts), failures=tuple(failures))
