"""Curating by hand: correct a fact, withdraw one, withdraw all that a scope covers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from attrs import evolve

from remembrancer.application.embedding import Embedding
from remembrancer.application.remember.open_relations import open_relations
from remembrancer.application.remember.optimistic_append import OptimisticAppender
from remembrancer.application.remember.receipt import Receipt, receipt_of
from remembrancer.domain.errors import AdapterUnavailable, InvalidRequest, ModelError, NotFound
from remembrancer.domain.events import Event
from remembrancer.domain.facts.evolve import retract, revise
from remembrancer.domain.facts.fact import Fact, FactId, Metadata
from remembrancer.domain.ports.fact_store import FactStore
from remembrancer.domain.ports.link_history import LinkHistory
from remembrancer.domain.scope import Scope

CALLER = "caller"


class Curate:
    """Changes that a caller asks for by name, each recorded with its reason.

    Args:
        appender: the loop that appends.
        facts: the facts as of the last append.
        links: the relations that came from facts.
        embedding: vectors for corrected texts.
    """

    def __init__(
        self,
        *,
        appender: OptimisticAppender,
        facts: FactStore,
        links: LinkHistory,
        embedding: Embedding,
    ) -> None:
        self._appender = appender
        self._facts = facts
        self._links = links
        self._embedding = embedding

    async def update(
        self,
        fact_id: FactId,
        *,
        scope: Scope | None,
        text: str | None,
        metadata: Metadata | None,
        reason: str,
        actor: str,
    ) -> Receipt | None:
        """Correct the text or replace the metadata of an active fact; the old version stays. Of its
        relations those end that the new text does not tell any more.

        Args:
            fact_id: which fact.
            scope: whose it must be, ``None`` for anybody's.
            text: the new text, ``None`` to leave it.
            metadata: the new metadata as a whole, ``None`` to leave it.
            reason: kept in the event.
            actor: who asks.

        Returns:
            The receipt, ``None`` if the fact says all that already.

        Raises:
            InvalidRequest: there is nothing to change.
            NotFound: no such fact in that scope, or it is not active any more.
        """
        if text is None and metadata is None:
            raise InvalidRequest("text", "nothing to change; pass a text or metadata")
        lagging = () if text is None else await self._embed(text)

        async def correct(fact: Fact) -> list[Event]:
            ledger, ids = fact.scope.ledger, [fact.fact_id]
            still_open = await open_relations(self._links, ledger, ids) if text else []
            return revise(
                fact, text=text, metadata=metadata, reason=reason, open_relations=still_open
            )

        receipt = await self._change(fact_id, scope, correct, actor)
        return evolve(receipt, lagging=lagging) if receipt else None

    async def delete(
        self, fact_id: FactId, *, scope: Scope | None, reason: str, actor: str
    ) -> Receipt:
        """Withdraw an active fact; its history stays.

        Raises:
            NotFound: no such fact in that scope, or it is not active any more.
        """

        async def withdraw(fact: Fact) -> list[Event]:
            return retract(fact, reason=reason)

        receipt = await self._change(fact_id, scope, withdraw, actor)
        assert receipt is not None, "a retraction always makes an event"
        return receipt

    async def delete_all(self, scope: Scope, *, reason: str, actor: str) -> Receipt | None:
        """Withdraw all active facts that a scope covers, in one append, even those that only a
        reader of another time sees.

        Returns:
            The receipt, ``None`` if there was nothing to withdraw.
        """

        async def decide() -> Sequence[Event]:
            facts = await self._facts.active_in(scope)
            return [event for fact in facts for event in retract(fact, reason=reason)]

        appended = await self._appender.decide_and_append(
            scope.ledger, decide, correlation_id=self._appender.correlation_id(), actor=actor
        )
        return receipt_of(appended.recorded, CALLER) if appended else None

    async def _change(
        self,
        fact_id: FactId,
        scope: Scope | None,
        decide: Callable[[Fact], Awaitable[list[Event]]],
        actor: str,
    ) -> Receipt | None:
        async def on_latest() -> Sequence[Event]:
            return await decide(await self._latest(fact_id, scope))

        ledger = (await self._latest(fact_id, scope)).scope.ledger
        appended = await self._appender.decide_and_append(
            ledger, on_latest, correlation_id=self._appender.correlation_id(), actor=actor
        )
        return receipt_of(appended.recorded, CALLER) if appended else None

    async def _latest(self, fact_id: FactId, scope: Scope | None) -> Fact:
        versions = await self._facts.versions(fact_id)
        if not versions or (scope is not None and not scope.covers(versions[-1].scope)):
            raise NotFound(f"no fact {fact_id} that this scope may see")
        return versions[-1]

    async def _embed(self, text: str) -> tuple[str, ...]:
        try:
            await self._embedding.documents([text])
        except (AdapterUnavailable, ModelError):
            return ("vectors",)
        return ()
