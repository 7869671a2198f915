"""Read from an external engine if it is up to date, else from the log's own database.

This gives read-your-writes: the log's own index and graph hold every committed append. An engine
that lags behind the ledger of the query, holds another log, refuses the settings, does not answer,
or answers what can't be read, is skipped and named in the result.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

from attrs import field, frozen

from remembrancer.application.projections.circuit_breaker import CircuitBreaker
from remembrancer.application.projections.projector import Projector
from remembrancer.domain.errors import AdapterUnavailable, IntegrityError, SettingsError
from remembrancer.domain.graph.graph import Entity, Relation, View
from remembrancer.domain.graph.walk import Reached
from remembrancer.domain.ports.audit_log import AuditLog
from remembrancer.domain.ports.clock import Clock
from remembrancer.domain.ports.knowledge_graph import KnowledgeGraph
from remembrancer.domain.recorded import Position
from remembrancer.domain.scope import LedgerId

E = TypeVar("E")
T = TypeVar("T")


@frozen(kw_only=True)
class ExternalReader(Generic[E]):
    """An external engine and its projection."""

    engine: E
    projector: Projector
    log: AuditLog
    clock: Clock
    circuit_breaker: CircuitBreaker = field(factory=CircuitBreaker)
    """For reads; the projector has its own for writes."""

    async def knows(self, ledger: LedgerId, last: Position) -> bool:
        """Whether the circuit breaker is closed and the engine holds all events of the ledger.

        Args:
            ledger: the ledger.
            last: the position of the newest event of the log.
        """
        if self.circuit_breaker.is_open(await self.clock.now()):
            return False
        if await self.projector.has_all_of(ledger, last):
            return True
        # It lags, but perhaps only by events of other ledgers.
        head = await self.log.head(ledger)
        newest = await self.log.read_ledger(ledger, max(0, head.version - 1), 1)
        return not newest or await self.projector.has_all_of(ledger, newest[-1].position)


class ReadFallback(Generic[E]):
    """An index or a graph with a fallback.

    Args:
        embedded: the one in the log's own database.
        external: the one that is queried first, if any.
    """

    def __init__(self, embedded: E, external: ExternalReader[E] | None = None) -> None:
        self._embedded = embedded
        self._external = external

    @property
    def embedded(self) -> E:
        """The index or graph in the log's own database."""
        return self._embedded

    def is_embedded(self, skipped: Sequence[str]) -> bool:
        """Whether an answer of ``ask``, with the engines that it names, is of ``embedded``."""
        return self._external is None or bool(skipped)

    async def ask(
        self, ledger: LedgerId, question: Callable[[E], Awaitable[T]]
    ) -> tuple[T, tuple[str, ...]]:
        """Run a query on one ledger.

        Args:
            ledger: the ledger.
            question: the query; it is run again from the start if the external engine fails.

        Returns:
            The answer, and the name of the external engine if it was skipped.

        Raises:
            AdapterUnavailable: the log's own database did not answer.
            InvalidRequest: the query is refused.
        """
        external = self._external
        if external is None:
            return await question(self._embedded), ()
        last = await external.log.last_position()
        if not last:
            # An empty log has no identity, and the engine may hold another one.
            return await question(self._embedded), ()
        if await external.knows(ledger, last):
            try:
                answer = await question(external.engine)
                # Afterwards: another log may have taken the engine over during the query.
                held = await external.projector.claim.is_held()
            except SettingsError:
                external.circuit_breaker.record_refusal(await external.clock.now())
            except (AdapterUnavailable, IntegrityError):
                external.circuit_breaker.record_failure(await external.clock.now())
            else:
                external.circuit_breaker.record_success()
                if held:
                    return answer, ()
        return await question(self._embedded), (external.projector.feed.projection,)


class CurrentGraph:
    """A ``KnowledgeGraph`` over a ``ReadFallback``, for callers that don't report skipped engines.

    It leaves out links that the view does not see, and entities that the log's own database does
    not have there, whatever the engine returns.

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
        return [item for item in found if all(map(view.sees, item.path.links))]

    async def relations(self, view: View, entity: str, limit: int = 100) -> Sequence[Relation]:
        """See ``KnowledgeGraph.relations``."""
        found, _ = await self._fallback.ask(
            view.scope.ledger, lambda graph: graph.relations(view, entity, limit)
        )
        return [relation for relation in found if view.sees(relation)]

    async def entities(
        self, view: View, names: Sequence[str] | None = None, limit: int = 100
    ) -> Sequence[Entity]:
        """See ``KnowledgeGraph.entities``."""
        found, skipped = await self._fallback.ask(
            view.scope.ledger, lambda graph: graph.entities(view, names, limit)
        )
        if self._fallback.is_embedded(skipped) or not found:
            return found
        # An entity has no scope and no time to check, and its counts are of all its links.
        own = self._fallback.embedded
        known = await own.entities(view, [entity.name for entity in found], limit)
        return known if len(known) == len(found) else await own.entities(view, names, limit)
