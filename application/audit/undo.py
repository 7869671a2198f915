"""Take back what a request did to facts and relations. Its messages stay, unread."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from attrs import evolve, frozen

from remembrancer.application.audit.ledger_appends import LedgerAppends
from remembrancer.application.embedding import Embedding
from remembrancer.application.projections.after_commit import AfterCommit
from remembrancer.application.remember.lagging import embedded, with_lagging
from remembrancer.application.remember.optimistic_append import OptimisticAppender
from remembrancer.application.remember.receipt import CALLER, Receipt, pending_of, receipt_of
from remembrancer.domain.audit.causes import makers
from remembrancer.domain.audit.undo import (
    Blocker,
    Lineage,
    Restored,
    Undoing,
    blockers_of,
    undo,
)
from remembrancer.domain.errors import Conflict, Erased, InvalidRequest, NotFound
from remembrancer.domain.events import FactRestored, MessageObserved, PayloadErased
from remembrancer.domain.facts.evolve import fact_id_of
from remembrancer.domain.facts.fact import Fact, FactId
from remembrancer.domain.graph.graph import Relation
from remembrancer.domain.jsonable import to_jsonable
from remembrancer.domain.ports.audit_log import AuditLog
from remembrancer.domain.ports.clock import Clock
from remembrancer.domain.ports.fact_store import FactStore
from remembrancer.domain.ports.link_history import LinkHistory
from remembrancer.domain.recorded import CorrelationId, Head, NewEvent, Recorded
from remembrancer.domain.scope import LedgerId, Scope

SHOWN = 5
"""Later changes that an error names."""


@frozen(kw_only=True)
class Undone:
    """What was undone, or would be.

    ``undone`` are the requests, newest first. ``receipt`` is that of the undo, of the first one if
    it was done before; ``None`` if nothing was written. ``restored`` are the facts that are what
    they were before, ``withdrawn`` those that the requests had added. ``blocked_by`` are later
    changes of these facts.
    """

    undone: tuple[CorrelationId, ...]
    receipt: Receipt | None = None
    restored: tuple[Restored, ...] = ()
    withdrawn: tuple[FactId, ...] = ()
    blocked_by: tuple[Blocker, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """All fields as JSON values."""
        result: dict[str, Any] = to_jsonable(self)
        return result


@frozen(kw_only=True)
class _Plan:
    requests: tuple[CorrelationId, ...]
    undoing: Undoing
    texts: tuple[str, ...] = ()

    def outcome(self, receipt: Receipt | None = None) -> Undone:
        return Undone(
            undone=self.requests,
            receipt=receipt,
            restored=self.undoing.restored,
            withdrawn=self.undoing.withdrawn,
            blocked_by=self.undoing.blocked_by,
        )


class UndoRequest:
    """Undoes requests.

    Args:
        log: the log.
        facts: the facts as of the last append.
        links: the relations of facts.
        appender: appends with optimistic concurrency.
        embedding: vectors of the texts that come back.
        after_commit: delivers written events to external projections.
        clock: the time of the decision.
    """

    def __init__(
        self,
        *,
        log: AuditLog,
        facts: FactStore,
        links: LinkHistory,
        appender: OptimisticAppender,
        embedding: Embedding,
        after_commit: AfterCommit,
        clock: Clock,
    ) -> None:
        self._log = log
        self._facts = facts
        self._links = links
        self._appender = appender
        self._embedding = embedding
        self._after_commit = after_commit
        self._clock = clock

    async def __call__(
        self,
        request: CorrelationId,
        *,
        cascade: bool,
        dry_run: bool,
        scope: Scope | None,
        reason: str,
        actor: str,
    ) -> Undone:
        """Undo a request, in one append.

        Args:
            request: which request.
            cascade: undo the later requests that built on it as well.
            dry_run: write nothing.
            scope: must cover all that the request wrote; ``None`` allows any.
            reason: recorded in the events.
            actor: recorded in the events.

        Raises:
            NotFound: no such request in that scope.
            Conflict: later requests built on it, and ``cascade`` is false.
            Erased: what was believed before was erased; nothing is written.
            InvalidRequest: its messages still wait for extraction.
        """
        ledger = (await self._read(request, scope))[0].ledger
        if dry_run:
            return (await self._planned(ledger, request, scope, cascade, reason)).outcome()
        plans: list[_Plan] = []
        lagging: tuple[str, ...] = ()

        async def decide(_: Head) -> Sequence[NewEvent]:
            nonlocal lagging
            plan = await self._planned(ledger, request, scope, cascade, reason)
            plans.append(plan)
            lagging = await embedded(self._embedding, plan.texts)
            return [self._appender.new(event, cause) for event, cause in plan.undoing.events]

        appended = await self._appender.decide_and_append(
            ledger, decide, correlation_id=self._appender.correlation_id(), actor=actor
        )
        plan = plans[-1]
        if plan.undoing.blocked_by:
            raise Conflict(_refusal(request, plan.undoing.blocked_by))
        if appended is None:
            return plan.outcome(await self._first_receipt(plan.undoing.undone_by))
        receipt = evolve(receipt_of(appended.recorded, CALLER), lagging=lagging)
        return plan.outcome(await with_lagging(receipt, self._after_commit))

    async def _first_receipt(self, undone_by: Sequence[CorrelationId]) -> Receipt | None:
        """The receipt of the undo that was done before, if there was one."""
        if not undone_by:
            return None
        done = await self._log.read_correlation(undone_by[0])
        return receipt_of(done, CALLER, replayed=True)

    async def _planned(
        self,
        ledger: LedgerId,
        request: CorrelationId,
        scope: Scope | None,
        cascade: bool,
        reason: str,
    ) -> _Plan:
        appends = LedgerAppends(self._log, ledger)
        read = {request: await self._read(request, scope)}
        while True:
            touched = {fact for events in read.values() for fact in _facts_of(events)}
            lineages, others = await self._lineages(ledger, sorted(touched), appends)
            _check_scope(request, lineages, scope)
            later = {each.correlation_id for each in blockers_of(lineages, read)} - read.keys()
            if not (cascade and later):
                break
            for each in sorted(later):
                read[each] = await self._read(each, scope)
        undoing = undo(lineages, read, now=await self._clock.now(), others=others, reason=reason)
        newest_first = sorted(read, key=lambda each: -read[each][-1].position)
        return _Plan(requests=tuple(newest_first), undoing=undoing, texts=_texts(undoing, lineages))

    async def _read(self, request: CorrelationId, scope: Scope | None) -> Sequence[Recorded]:
        """The events of a request."""
        events = await self._log.read_correlation(request)
        messages = [i.event.message for i in events if isinstance(i.event, MessageObserved)]
        if not events or (
            scope is not None
            and (
                scope.ledger != events[0].ledger
                or not all(scope.covers(message.scope) for message in messages)
            )
        ):
            raise NotFound(f"no request {request} that this scope may see")
        if pending_of(events):
            raise InvalidRequest(
                "request", "its messages still wait for extraction; call retry, then undo it"
            )
        if any(isinstance(i.event, PayloadErased) and "fact" in i.type_name for i in events):
            raise Erased(f"{events[0].ledger}: a fact of request {request} was erased")
        return events

    async def _lineages(
        self, ledger: LedgerId, touched: Sequence[FactId], appends: LedgerAppends
    ) -> tuple[list[Lineage], dict[FactId, Fact]]:
        """The lineages of facts, and the latest versions of those that ever were their rivals."""
        histories = {fact_id: await self._facts.versions(fact_id) for fact_id in touched}
        rivals = {each for known in histories.values() for fact in known for each in fact.rivals}
        known = {
            **{each: await self._facts.versions(each) for each in sorted(rivals)},
            **histories,
        }
        made: dict[Any, Recorded] = {}
        for moment in sorted({fact.updated_at for each in histories.values() for fact in each}):
            append = await appends.at(moment)
            made |= makers(append, known) if append else {}
        links = await self._links.versions(ledger, touched) if touched else ()
        lineages = [
            Lineage(
                versions=versions,
                made={number: item for (of, number), item in made.items() if of == fact_id},
                relations=[
                    link for link in links if isinstance(link, Relation) and link.fact_id == fact_id
                ],
            )
            for fact_id, versions in histories.items()
            if versions
        ]
        return lineages, {each: versions[-1] for each, versions in known.items() if versions}


def _facts_of(events: Sequence[Recorded]) -> set[FactId]:
    return {fact for item in events if (fact := fact_id_of(item.event)) is not None}


def _check_scope(request: CorrelationId, lineages: Sequence[Lineage], scope: Scope | None) -> None:
    if scope is not None and not all(scope.covers(each.latest.scope) for each in lineages):
        raise NotFound(f"no request {request} that this scope may see")


def _texts(undoing: Undoing, lineages: Sequence[Lineage]) -> tuple[str, ...]:
    """The texts that come back."""
    by_id = {each.latest.fact_id: each for each in lineages}
    return tuple(
        by_id[event.fact_id].at(event.to_version).text
        for event, _ in undoing.events
        if isinstance(event, FactRestored)
    )


def _refusal(request: CorrelationId, blockers: Sequence[Blocker]) -> str:
    named = [
        f"request {each.correlation_id} (fact {each.fact_id}, version {each.version})"
        for each in blockers[:SHOWN]
    ]
    more = f" and {len(blockers) - SHOWN} more" if len(blockers) > SHOWN else ""
    return (
        f"request {request} can't be undone alone, because later ones changed its facts: "
        f"{', '.join(named)}{more}; undo these first, or pass cascade"
    )
