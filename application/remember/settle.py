"""Decide about candidates on the head of a ledger, and append the decision with its record."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from attrs import define, evolve, field, frozen

from remembrancer.application.embedding import NO_VECTOR, Embedding
from remembrancer.application.projections.embedding_backfill import EmbeddingBackfill
from remembrancer.application.remember.neighbours import (
    FindNeighbours,
    FoundNeighbours,
    Neighbours,
    is_ahead,
    is_open,
)
from remembrancer.application.remember.open_relations import open_relations
from remembrancer.application.remember.optimistic_append import OptimisticAppender
from remembrancer.application.remember.pipeline import Pipeline
from remembrancer.application.remember.receipt import pending_of
from remembrancer.application.remember.screening import Screening
from remembrancer.application.remember.settlement import Trail, settlement
from remembrancer.application.statements.reconcile_statement import beside_statements
from remembrancer.domain.conversation import Message
from remembrancer.domain.errors import AdapterUnavailable, ModelError
from remembrancer.domain.events import CandidatesSettled, RelationAsserted
from remembrancer.domain.facts.decide import Decided, decide, expire
from remembrancer.domain.facts.fact import Fact, MessageId
from remembrancer.domain.facts.verdicts import Candidate, Decision, Proposal
from remembrancer.domain.ports.audit_log import Appended, AuditLog
from remembrancer.domain.ports.clock import Clock
from remembrancer.domain.ports.extractor import Extraction
from remembrancer.domain.ports.fact_store import FactStore
from remembrancer.domain.ports.link_history import LinkHistory
from remembrancer.domain.ports.reconciler import (
    Comparison,
    Reconciler,
    Reconciliation,
    compares_words,
)
from remembrancer.domain.recorded import CorrelationId, Head, NewEvent, Recorded
from remembrancer.domain.scope import LedgerId


@frozen(kw_only=True)
class Matter:
    """What there is to decide.

    ``by_meaning``: compare with facts of similar vectors, too. ``ended``: also with facts in the
    slots of candidates that have ended. ``messages`` are those that candidates quote. ``before``
    are the events of the request so far; ``beside`` are new events that are appended together with
    the decision, before it. ``in_turn``: decide nothing while earlier messages of the ledger are
    pending. ``unfinished``: the extraction is a part of a message, which stays pending.
    """

    ledger: LedgerId
    correlation_id: CorrelationId
    actor: str
    extraction: Extraction
    reconciler: Reconciler
    by_meaning: bool
    ended: bool = False
    messages: Sequence[Message] = ()
    before: Sequence[Recorded] = ()
    beside: Sequence[NewEvent] = ()
    in_turn: bool = False
    unfinished: bool = False
    idempotency_key: str | None = None


@frozen(kw_only=True)
class Settled:
    """What came of it.

    ``appended`` is ``None`` if there was nothing to append. ``superfluous``: another caller had
    extracted from the messages, and at most the calls of models were recorded. ``embedded``:
    whether the candidates had vectors.
    """

    appended: Appended | None
    superfluous: bool
    embedded: bool


@define(kw_only=True)
class _Try:
    """The results of the latest try."""

    failure: ModelError | AdapterUnavailable | None = None
    superfluous: bool = False


@frozen(kw_only=True)
class _Decision:
    decided: Sequence[Decided] = ()
    neighbours: FoundNeighbours = field()
    reconciliation: Reconciliation = field()


def _open(near: Neighbours, now: datetime) -> Neighbours:
    """The neighbours that a reconciler of sentences compares with."""
    return {key: found for key, found in near.items() if is_open(found[0], now)}


def _ahead(near: Neighbours, now: datetime) -> list[Fact]:
    """The statements among the neighbours that it does not."""
    return [fact for fact, _ in near.values() if is_ahead(fact, now)]


async def _comparison(matter: Matter, *, embedded: bool) -> Comparison:
    """What the candidates are compared with."""
    wanted = Comparison(by_meaning=matter.by_meaning)
    if matter.by_meaning and compares_words(matter.reconciler):
        wanted = await matter.reconciler.comparison(matter.extraction.candidates)
    return wanted if embedded else evolve(wanted, by_meaning=False)


class Settle:
    """Decides about candidates.

    Args:
        log: the log, for the head of the ledger.
        appender: appends with optimistic concurrency.
        facts: the facts as of the last append.
        find_neighbours: finds the active facts near a candidate.
        links: the relations asserted by facts.
        embedding: vectors for candidates.
        embedding_backfill: embeds facts without a vector once the embedder answers again.
        pipeline: describes the parts that decide.
        clock: the time of decisions.
    """

    def __init__(
        self,
        *,
        log: AuditLog,
        appender: OptimisticAppender,
        facts: FactStore,
        find_neighbours: FindNeighbours,
        links: LinkHistory,
        embedding: Embedding,
        embedding_backfill: EmbeddingBackfill,
        pipeline: Pipeline,
        clock: Clock,
    ) -> None:
        self._log = log
        self._appender = appender
        self._facts = facts
        self._find_neighbours = find_neighbours
        self._links = links
        self._embedding = embedding
        self._embedding_backfill = embedding_backfill
        self._pipeline = pipeline
        self._clock = clock

    @property
    def is_local(self) -> bool:
        """Whether the vectors of candidates are computed within the process."""
        return self._embedding.local

    async def __call__(self, matter: Matter) -> Settled:
        """Decide, and append; again after every lost race.

        Raises:
            Conflict: other writers won every race.
            AdapterUnavailable, ModelError: a model did not answer usably; its calls are recorded.
        """
        embedded = await self._embed(matter.extraction.candidates)
        trail = Trail.of(
            [*matter.before, *matter.beside],
            matter.extraction.inferences,
            self._pipeline.digest,
            self._appender.new,
        )
        last = _Try()

        async def decide_on_head(head: Head) -> Sequence[NewEvent]:
            trail.try_again()
            last.failure, last.superfluous = None, await self._superfluous(matter, head)
            if last.superfluous:
                return trail.lost()
            if matter.in_turn and await self._facts.unfinished(matter.ledger, 1):
                return []
            now = await self._clock.now()
            due = await self._facts.due(matter.ledger, now)
            decision = await self._decide(matter, due, now, embedded=embedded)
            last.failure = decision.reconciliation.failure
            trail.reconciled(decision.reconciliation.inferences)
            described = await self._described(matter.ledger, head)
            if last.failure is not None:
                asked = trail.lost()
                return [*described, *asked] if asked else []
            if not (matter.beside or matter.unfinished or trail.done):
                return [*described, *trail.used()]
            settled = settlement(
                decision.decided,
                decision.neighbours,
                trail,
                now=now,
                embedded=embedded,
                refused=matter.extraction.refused,
                messages=matter.messages,
            )
            new = self._appender.new
            return [
                *described,
                *matter.beside,
                *trail.used(),
                new(settled, trail.last),
                *(new(event) for event in expire(due)),
                *(
                    new(event, trail.cause_of(each.candidate))
                    for each in decision.decided
                    for event in each.events
                ),
            ]

        appended = await self._appender.decide_and_append(
            matter.ledger,
            decide_on_head,
            correlation_id=matter.correlation_id,
            actor=matter.actor,
            idempotency_key=matter.idempotency_key,
        )
        if last.failure is not None:
            raise last.failure
        return Settled(appended=appended, superfluous=last.superfluous, embedded=embedded)

    async def _superfluous(self, matter: Matter, head: Head) -> bool:
        """Whether another caller has extracted from these messages since ``matter.before``."""
        if not matter.before or head.version == matter.before[-1].version:
            return False
        now = await self._log.read_correlation(matter.correlation_id)
        return _progress(now) != _progress(matter.before)

    async def _described(self, ledger: LedgerId, head: Head) -> list[NewEvent]:
        missing = await self._pipeline.missing(ledger, head)
        return [self._appender.new(self._pipeline.description)] if missing else []

    async def _embed(self, candidates: Sequence[Candidate]) -> bool:
        """Embed the candidates for the index; return whether that worked. Without vectors the facts
        are stored, and found by keyword until the backfill.
        """
        try:
            await self._embedding.documents([candidate.text for candidate in candidates])
            await self._embedding_backfill(batches=1)
        except NO_VECTOR:
            return False
        return True

    async def _decide(
        self, matter: Matter, due: Sequence[Fact], now: datetime, *, embedded: bool
    ) -> _Decision:
        candidates = matter.extraction.candidates
        found = await self._find_neighbours(
            candidates,
            ledger=matter.ledger,
            now=now,
            expired={fact.fact_id for fact in due},
            comparison=await _comparison(matter, embedded=embedded),
            ended=matter.ended,
        )
        neighbours = found.each
        shown = neighbours if matter.ended else [_open(near, now) for near in neighbours]
        blocked = await self._facts.blocked(matter.ledger) if candidates else []
        screening = Screening.of(candidates, blocked)
        reconciliation = await matter.reconciler.reconcile(
            screening.admitted(candidates), screening.admitted(shown)
        )
        if reconciliation.failure is not None:
            return _Decision(neighbours=found, reconciliation=reconciliation)
        proposals = screening.proposals(reconciliation.proposals)
        if not matter.ended:
            proposals = tuple(
                beside_statements(candidate, proposal, _ahead(near, now), now)
                for candidate, proposal, near in zip(candidates, proposals, neighbours, strict=True)
            )
        decided = decide(
            candidates,
            proposals,
            now=now,
            known={key: fact for near in neighbours for key, (fact, _) in near.items()},
            messages=matter.messages,
            open_relations=await self._open_relations(matter.ledger, candidates, proposals),
        )
        return _Decision(decided=decided, neighbours=found, reconciliation=reconciliation)

    async def _open_relations(
        self, ledger: LedgerId, candidates: Sequence[Candidate], proposals: Sequence[Proposal]
    ) -> list[RelationAsserted]:
        """The relations that a revision may end: those asserted by its target that have not
        ended.
        """
        revised = [
            proposal.target
            for candidate, proposal in zip(candidates, proposals, strict=True)
            if proposal.decision is Decision.REVISE and candidate.relations and proposal.target
        ]
        return await open_relations(self._links, ledger, revised) if revised else []


def _progress(recorded: Sequence[Recorded]) -> tuple[list[MessageId], int]:
    """How far a request is: its pending messages, and the number of its decisions."""
    decisions = sum(isinstance(item.event, CandidatesSettled) for item in recorded)
    return [message.message_id for message in pending_of(recorded)], decisions
