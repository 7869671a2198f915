"""Remember a fact that a caller states as subject, predicate and value."""

from __future__ import annotations

from datetime import datetime

from attrs import field, frozen

from remembrancer.application.extraction.rules.entities import names_in
from remembrancer.application.projections.after_commit import AfterCommit
from remembrancer.application.remember.lagging import with_lagging
from remembrancer.application.remember.optimistic_append import OptimisticAppender
from remembrancer.application.remember.receipt import Receipt, receipt_of
from remembrancer.application.remember.settle import Matter, Settle
from remembrancer.application.statements.reconcile_statement import StatementReconciler
from remembrancer.application.statements.slot import in_words, slot_of
from remembrancer.domain.errors import InvalidRequest
from remembrancer.domain.events import StatementMade
from remembrancer.domain.facts.fact import FactId, Interval, Metadata, Statement
from remembrancer.domain.facts.verdicts import Candidate, ProposedRelation
from remembrancer.domain.ports.clock import Clock, IdSource
from remembrancer.domain.ports.extractor import Extraction
from remembrancer.domain.scope import Scope

STATED = "stated"
"""``Receipt.extractor`` of statements."""


@frozen(kw_only=True)
class StatementRequest:
    """A statement. ``valid`` is when it holds, from now on if it has no start; ``single``: the
    subject has one value for the predicate at a time; ``text`` are the words of the fact, by
    default made from the statement.
    """

    scope: Scope
    statement: Statement
    valid: Interval = Interval()
    single: bool = True
    text: str | None = None
    metadata: Metadata = field(factory=dict)
    reason: str = ""
    actor: str


class MakeStatement:
    """Remembers statements. They share slots with the sentences that were said.

    Args:
        settle: decides about candidates.
        appender: makes events.
        after_commit: delivers written events to external projections.
        clock: the time of the statement.
        ids: new ids.
    """

    def __init__(
        self,
        *,
        settle: Settle,
        appender: OptimisticAppender,
        after_commit: AfterCommit,
        clock: Clock,
        ids: IdSource,
    ) -> None:
        self._settle = settle
        self._appender = appender
        self._after_commit = after_commit
        self._clock = clock
        self._ids = ids

    async def __call__(self, request: StatementRequest) -> Receipt:
        """Remember the statement.

        Raises:
            Conflict: other writers won every race.
            AdapterUnavailable: an engine did not answer.
            InvalidRequest: the actor is no opaque id, or the statement ends before it begins.
        """
        now = await self._clock.now()
        if request.valid.end is not None and request.valid.end <= (request.valid.start or now):
            raise InvalidRequest("valid_to", "is not later than the start; pass a later one")
        candidate = self._candidate(request, now)
        stated = StatementMade(
            scope=request.scope,
            statement=request.statement,
            text=candidate.text,
            occurred_at=candidate.occurred_at,
            valid=candidate.valid,
            single=request.single,
            metadata=request.metadata,
            reason=request.reason,
        )
        settled = await self._settle(
            Matter(
                ledger=request.scope.ledger,
                correlation_id=self._appender.correlation_id(),
                actor=request.actor,
                extraction=Extraction(candidates=(candidate,), skipped=(), inferences=()),
                reconciler=StatementReconciler(now),
                by_meaning=False,
                ended=True,
                beside=[self._appender.new(stated)],
            )
        )
        assert settled.appended is not None, "a statement is always recorded"
        receipt = receipt_of(settled.appended.recorded, STATED)
        return await with_lagging(receipt, self._after_commit)

    def _candidate(self, request: StatementRequest, now: datetime) -> Candidate:
        statement = request.statement
        text = request.text or in_words(statement)
        named = (statement.subject, *names_in(text))
        return Candidate(
            fact_id=FactId(self._ids.new()),
            scope=request.scope,
            text=text,
            occurred_at=now,
            metadata=request.metadata,
            entities=tuple(dict.fromkeys(named)),
            slot=slot_of(statement) if request.single else None,
            statement=statement,
            relations=(
                ProposedRelation(
                    relation_id=self._ids.new(),
                    subject=statement.subject,
                    predicate=statement.predicate,
                    object=statement.value,
                ),
            ),
            valid=Interval(start=request.valid.start or now, end=request.valid.end),
        )
