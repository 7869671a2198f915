"""Reading from an external engine where it knows enough, else from the log's own database.

The log's own index and graph hold every append that has returned, so what they answer is whole.
An engine that lags behind the ledger that is asked about, or does not answer, is passed over, and
the caller is told: right answers come before fast ones.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

from attrs import field, frozen

from remembrancer.application.projections.circuit_breaker import CircuitBreaker
from remembrancer.application.projections.projector import Projector
from remembrancer.domain.errors import AdapterUnavailable
from remembrancer.domain.graph.graph import Entity, Relation, View
from remembrancer.domain.graph.walk import Reached
from remembrancer.domain.ports.audit_log import AuditLog
from remembrancer.domain.ports.clock import Clock
from remembrancer.domain.ports.knowledge_graph import KnowledgeGraph
from remembrancer.domain.scope import LedgerId

E = TypeVar("E")
T = TypeVar("T")


@frozen(kw_only=True)
class ExternalReader(Generic[E]):
    """An engine, and the projection that feeds it."""

    engine: E
    projector: Projector
    log: AuditLog
    clock: Clock
    circuit_breaker: CircuitBreaker = field(factory=CircuitBreaker)
    """Of reading; an engine that can't be written to may well be read."""

    async def knows(self, ledger: LedgerId) -> bool:
        """Whether it can be asked, and holds all that the ledger has."""
        if self.circuit_breaker.is_open(await self.clock.now()):
            return False
        if await self.projector.has_all_of(ledger, await self.log.last_position()):
            return True
        # Behind the log, perhaps by the events of others.
        head = await self.log.head(ledger)
        newest = await self.log.read_ledger(ledger, max(0, head.version - 1), 1)
        return not newest or await self.projector.has_all_of(ledger, newest[-1].position)


class ReadFallback(Generic[E]):
    """An index or a graph, wherever it is.

    Args:
        embedded: the one in the log's own database.
        external: the one that is asked first, ``None`` where there is no other.
    """

    def __init__(self, embedded: E, external: ExternalReader[E] | None = None) -> None:
        self._embedded = embedded
        self._external = external

    async def ask(
        self, ledger: LedgerId, question: Callable[[E], Awaitable[T]]
    ) -> tuple[T, tuple[str, ...]]:
        """Ask a question about one ledger.

        Args:
            ledger: which one.
            question: asked once or, where the engine fails in the middle, again from the start.

        Returns:
            The answer, and the name of the engine if it was not the one that gave it.

        Raises:
            AdapterUnavailable: the log's own database did not answer.
            InvalidRequest: the question is refused.
        """
        external = self._external
        if external is None:
            return await question(self._embedded), ()
        if await external.knows(ledger):
            try:
                answer = await question(external.engine)
            except AdapterUnavailable:
                external.circuit_breaker.record_failure(await external.clock.now())
            else:
                external.circuit_breaker.record_success()
                return answer, ()
        return await question(self._embedded), (external.projector.feed.projection,)


class CurrentGraph:
    """``KnowledgeGraph`` that is read wherever it knows enough, for callers who need not know
    where that is.

    Args:
        fallback: the graph.
    """

    def __init__(self, fallback: ReadFallback[KnowledgeGraph]) -> None:
        self._fallback = fallback

    async def neighbours(
        self, view: View, entities: Sequence[str], depth: int = 2, limit: int = 100
    ) -> Sequence[Reached]:
        """See ``KnowledgeGraph.neighbours``."""
        found, _ = await self._fallback.ask(
            view.scope.ledger, lambda graph: graph.neighbours(view, entities, depth, limit)
        )
        return found

    async def relations(self, view: View, entity: str, limit: int = 100) -> Sequence[Relation]:
        """See ``KnowledgeGraph.relations``."""
        found, _ = await self._fallback.ask(
            view.scope.ledger, lambda graph: graph.relations(view, entity, limit)
        )
        return found

    async def entities(
        self, view: View, names: Sequence[str] | None = None, limit: int = 100
    ) -> Sequence[Entity]:
        """See ``KnowledgeGraph.entities``."""
        found, _ = await self._fallback.ask(
            view.scope.ledger, lambda graph: graph.entities(view, names, limit)
        )
        return found
