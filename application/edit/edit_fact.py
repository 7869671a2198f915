"""Edit one fact: decide on its latest version, and append."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from remembrancer.application.projections.after_commit import AfterCommit
from remembrancer.application.remember.lagging import with_lagging
from remembrancer.application.remember.optimistic_append import OptimisticAppender
from remembrancer.application.remember.receipt import CALLER, Receipt, receipt_of
from remembrancer.domain.errors import NotFound
from remembrancer.domain.events import Event
from remembrancer.domain.facts.fact import Fact, FactId
from remembrancer.domain.ports.fact_store import FactStore
from remembrancer.domain.recorded import Head, NewEvent
from remembrancer.domain.scope import Scope


class EditFact:
    """The common part of all edits of one fact.

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

    async def __call__(
        self,
        fact_id: FactId,
        decide: Callable[[Fact], Awaitable[Sequence[Event]]],
        *,
        scope: Scope | None,
        actor: str,
    ) -> Receipt | None:
        """Append the events that ``decide`` returns for the latest version; repeat after every lost
        race.

        Args:
            fact_id: id of the fact.
            decide: from its latest version to events.
            scope: must cover the fact; ``None`` allows any fact.
            actor: recorded in the events.

        Returns:
            The receipt, ``None`` if there was nothing to change.

        Raises:
            NotFound: no such fact in that scope, or raised by ``decide``.
        """

        async def on_latest(_: Head) -> Sequence[NewEvent]:
            events = await decide(await self._latest(fact_id, scope))
            return [self._appender.new(event) for event in events]

        ledger = (await self._latest(fact_id, scope)).scope.ledger
        appended = await self._appender.decide_and_append(
            ledger, on_latest, correlation_id=self._appender.correlation_id(), actor=actor
        )
        if appended is None:
            return None
        return await with_lagging(receipt_of(appended.recorded, CALLER), self._after_commit)

    async def _latest(self, fact_id: FactId, scope: Scope | None) -> Fact:
        versions = await self._facts.versions(fact_id)
        if not versions or (scope is not None and not scope.covers(versions[-1].scope)):
            raise NotFound(f"no fact {fact_id} that this scope may see")
        return versions[-1]
