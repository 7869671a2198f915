"""Retract facts explicitly; their history stays."""

from __future__ import annotations

from collections.abc import Sequence

from remembrancer.application.edit.edit_fact import EditFact
from remembrancer.application.projections.after_commit import AfterCommit
from remembrancer.application.remember.lagging import with_lagging
from remembrancer.application.remember.optimistic_append import OptimisticAppender
from remembrancer.application.remember.receipt import CALLER, Receipt, receipt_of
from remembrancer.application.statements.slot_timeline import ReadTimeline
from remembrancer.domain.events import Event
from remembrancer.domain.facts.decide import retimings, retract
from remembrancer.domain.facts.fact import Fact, FactId
from remembrancer.domain.ports.fact_store import FactStore
from remembrancer.domain.recorded import Head, NewEvent
from remembrancer.domain.scope import Scope


class Withdraw:
    """Retracts one active fact. Facts in its slot that it cut hold again.

    Args:
        edit_fact: decides on the latest version, and appends.
        read_timeline: the facts in the slot of the fact.
    """

    def __init__(self, *, edit_fact: EditFact, read_timeline: ReadTimeline) -> None:
        self._edit_fact = edit_fact
        self._read_timeline = read_timeline

    async def __call__(
        self,
        fact_id: FactId,
        *,
        block: bool = False,
        scope: Scope | None,
        reason: str,
        actor: str,
    ) -> Receipt:
        """Retract the fact; with ``block`` it is not drawn again until its owner says it anew.

        Raises:
            NotFound: no such fact in that scope, or it is not active.
        """

        async def withdraw(fact: Fact) -> Sequence[Event]:
            retracted = retract(fact, block=block, reason=reason)
            timeline = await self._read_timeline(fact)
            left = {key: claim for key, claim in timeline.claims.items() if key != fact_id}
            reopened = timeline.after(left)
            return [*retracted, *retimings(reopened, timeline.versions(), reason=reason)]

        receipt = await self._edit_fact(fact_id, withdraw, scope=scope, actor=actor)
        assert receipt is not None, "a retraction always makes an event"
        return receipt


class WithdrawAll:
    """Retracts all active facts that a scope covers.

    Args:
        appender: appends with optimistic concurrency.
        facts: the facts as of the last append.
        after_commit: delivers written events to external projections.
    """

    def __init__(
        self, *, appender: OptimisticAppender, facts: FactStore, after_commit: AfterCommit
    ) -> None:
        self._appender = appender
        self._facts = facts
        self._after_commit = after_commit

    async def __call__(self, scope: Scope, *, reason: str, actor: str) -> Receipt | None:
        """Retract them in one append, including facts whose valid time is in the past or future.
        Facts that they ended stay ended.

        Returns:
            The receipt, ``None`` if there is no active fact.
        """

        async def decide(_: Head) -> Sequence[NewEvent]:
            facts = await self._facts.active_in(scope)
            return [
                self._appender.new(event)
                for fact in facts
                if scope.covers(fact.scope)
                for event in retract(fact, reason=reason)
            ]

        appended = await self._appender.decide_and_append(
            scope.ledger, decide, correlation_id=self._appender.correlation_id(), actor=actor
        )
        if appended is None:
            return None
        return await with_lagging(receipt_of(appended.recorded, CALLER), self._after_commit)
