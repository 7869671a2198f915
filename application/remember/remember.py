"""Remembering: observe, extract, find neighbours, reconcile, judge, append.

The read models follow in the append itself or are driven from the log; that is the business of
the audit log's adapter.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from attrs import Attribute, evolve, field, frozen

from remembrancer.application.embedding import Embedding
from remembrancer.application.extraction.images import described, for_the_ledger, with_images
from remembrancer.application.parsing.arguments import Turn
from remembrancer.application.projections.embedding_backfill import EmbeddingBackfill
from remembrancer.application.remember.open_relations import open_relations
from remembrancer.application.remember.optimistic_append import OptimisticAppender
from remembrancer.application.remember.receipt import Receipt, pending_of, receipt_of
from remembrancer.application.remember.verbatim import (
    VERBATIM,
    VerbatimReconciler,
    verbatim_candidates,
)
from remembrancer.domain.conversation import Message
from remembrancer.domain.errors import AdapterUnavailable, InvalidRequest, ModelError, NotFound
from remembrancer.domain.events import (
    Event,
    FactAdded,
    FactExpired,
    FactRetracted,
    FactRevised,
    FactSuperseded,
    InferenceRecorded,
    MessageObserved,
    RelationAsserted,
    RelationEnded,
)
from remembrancer.domain.facts.fact import (
    Fact,
    FactId,
    FactKind,
    FactStatus,
    Interval,
    MessageId,
    Metadata,
)
from remembrancer.domain.facts.verdicts import Candidate, Decision, Proposal, events_of, judge
from remembrancer.domain.guidance import Guidance
from remembrancer.domain.image import Image
from remembrancer.domain.ports.audit_log import AuditLog
from remembrancer.domain.ports.clock import Clock, IdSource
from remembrancer.domain.ports.extractor import Extractor
from remembrancer.domain.ports.fact_store import FactStore
from remembrancer.domain.ports.link_history import LinkHistory
from remembrancer.domain.ports.reconciler import Reconciler, Reconciliation
from remembrancer.domain.ports.vector_index import IndexQuery, VectorIndex
from remembrancer.domain.recorded import CorrelationId, Head, Recorded, readable
from remembrancer.domain.scope import LedgerId, Scope

NEIGHBOURS = 8
"""Nearest facts that a candidate is compared with. A duplicate or a conflict is nearer than that;
more would only cost."""

Neighbours = Mapping[FactId, tuple[Fact, float]]


def _check_flag(_request: object, attribute: Attribute[bool], value: object) -> None:
    # What is true in Python and no boolean could be stored, but not read again.
    if not isinstance(value, bool):
        raise InvalidRequest(attribute.name, f"expected true or false, got {type(value).__name__}")


@frozen(kw_only=True)
class RememberRequest:
    """What a caller wants remembered, already checked."""

    scope: Scope
    turns: Sequence[Turn]
    metadata: Metadata
    occurred_at: datetime | None = None
    expires_at: datetime | None = None
    infer: bool = field(default=True, validator=_check_flag)
    kind: FactKind | None = None
    guidance: Guidance | None = None
    idempotency_key: str | None = None
    actor: str = "remembrancer"

    def __attrs_post_init__(self) -> None:
        if not self.infer:
            _check_verbatim(self)
        if self.kind is FactKind.PROCEDURAL and not (self.scope.agent_id or self.scope.run_id):
            raise InvalidRequest(
                "agent_id", "a procedural memory is of an agent's run; name the agent or the run"
            )

    @property
    def images(self) -> Mapping[str, str]:
        """The bytes of images that are at hand (base64), by their references."""
        return {
            image.reference: image.data
            for turn in self.turns
            for image in turn.images
            if image.data is not None
        }

    @property
    def compared(self) -> bool:
        """Whether what is found is compared with what is near in meaning. What is told word for
        word, and how one run went, stand for themselves.
        """
        return self.infer and self.kind is None


def _check_verbatim(request: RememberRequest) -> None:
    """Refuse what only extraction could honour."""
    for number, turn in enumerate(request.turns):
        if not turn.text:
            raise InvalidRequest(
                f"messages[{number}].content", "has no text that infer=False could keep"
            )
    told = request.guidance.named if request.guidance is not None else ()
    for name in (*(["kind"] if request.kind else []), *told):
        raise InvalidRequest(
            name, "infer=False keeps messages word for word; leave one of the two out"
        )


@frozen(kw_only=True)
class _Attempt:
    request: RememberRequest
    correlation_id: CorrelationId
    messages: Sequence[Message]


class Remember:
    """The write path.

    Args:
        log: where requests are looked up.
        appender: the loop that appends.
        facts: the facts as of the last append.
        index: where the neighbours of a candidate are found.
        links: the relations that came from facts.
        embedding: vectors for candidates.
        embedding_backfill: catches up on vectors once the embedder answers again.
        extractor: messages to candidates.
        reconciler: candidates to proposals.
        clock: the time of messages that carry none.
        ids: fresh ids.
    """

    def __init__(
        self,
        *,
        log: AuditLog,
        appender: OptimisticAppender,
        facts: FactStore,
        index: VectorIndex,
        links: LinkHistory,
        embedding: Embedding,
        embedding_backfill: EmbeddingBackfill,
        extractor: Extractor,
        reconciler: Reconciler,
        clock: Clock,
        ids: IdSource,
    ) -> None:
        self._log = log
        self._appender = appender
        self._facts = facts
        self._index = index
        self._links = links
        self._embedding = embedding
        self._embedding_backfill = embedding_backfill
        self._extractor = extractor
        self._reconciler = reconciler
        self._verbatim = VerbatimReconciler()
        self._runs = VerbatimReconciler("tells how a run went")
        self._clock = clock
        self._ids = ids
        # A list, since the same request may be in work twice, and its methods are atomic.
        self._in_work: list[CorrelationId] = []

    async def __call__(self, request: RememberRequest) -> Receipt:
        """Remember messages.

        Raises:
            InvalidRequest: the idempotency key was used for other messages.
            Conflict: other writers won every race; with ``infer`` the messages are in the ledger
                all the same, waiting for extraction.
            AdapterUnavailable: an engine did not answer; a model among them leaves the messages
                waiting as above.
            ModelError: a model answered with nothing usable; its answer is in the ledger, and the
                messages wait as above.
        """
        begun = await self.observe(request)
        if not begun.pending:
            return begun
        return await self.finish(begun.correlation_id, actor=request.actor, data=request.images)

    async def observe(self, request: RememberRequest) -> Receipt:
        """Only put what was said into the ledger; ``finish`` draws facts from it.

        With ``infer=False`` there is nothing to draw: then the facts are in the ledger, too.

        Returns:
            The receipt so far: what is ``pending`` in it waits for ``finish``.

        Raises:
            InvalidRequest, Conflict, AdapterUnavailable: as for the whole.
        """
        ledger, key = request.scope.ledger, request.idempotency_key
        if key is not None:
            first = await self._log.find_request(ledger, key)
            if first:
                return await self._replay(first, request)
        attempt = _Attempt(
            request=request,
            correlation_id=self._appender.correlation_id(),
            messages=self._messages(request, await self._clock.now()),
        )
        most = self._extractor.kept_image_bytes if request.infer else 0
        observed = [
            MessageObserved(
                message=for_the_ledger(message, most),
                extract=request.infer,
                metadata=request.metadata,
                expires_at=request.expires_at,
                guidance=request.guidance,
                kind=request.kind,
            )
            for message in attempt.messages
        ]
        if not request.infer:
            candidates = verbatim_candidates(attempt.messages, self._ids)
            return await self._settle(attempt, candidates, first=observed)
        appended = await self._appender.append(
            ledger,
            observed,
            correlation_id=attempt.correlation_id,
            actor=request.actor,
            idempotency_key=key,
        )
        if appended.replayed:
            return await self._replay(appended.recorded, request)
        return receipt_of(appended.recorded, VERBATIM)

    def in_work(self, correlation_id: CorrelationId) -> bool:
        """Whether a caller in this process is drawing facts from this request's messages now."""
        return correlation_id in self._in_work

    async def _infer(self, attempt: _Attempt, observed: Sequence[Recorded]) -> Receipt:
        wanted = attempt.request
        attempt = evolve(attempt, messages=with_images(attempt.messages, {}, described(observed)))
        draw = self._extractor.extract if wanted.kind is None else self._extractor.recount
        extraction = await draw(attempt.messages, self._ids, wanted.guidance)
        if extraction.messages:
            attempt = evolve(attempt, messages=extraction.messages)
        failure = extraction.failure
        if failure is not None and not extraction.inferences:
            raise failure
        receipt = await self._settle(
            attempt, extraction.candidates, first=extraction.inferences, before=observed
        )
        if failure is not None:
            raise failure
        return receipt

    async def _replay(self, first: Sequence[Recorded], request: RememberRequest) -> Receipt:
        """The receipt of an earlier try, as far as that has come."""
        readable(first)
        said = [
            (message.scope, message.role, message.text, message.name, _shown(message.images))
            for message in (i.event.message for i in first if isinstance(i.event, MessageObserved))
        ]
        if said != [
            (request.scope, turn.role, turn.text, turn.name, _shown(turn.images))
            for turn in request.turns
        ]:
            raise InvalidRequest(
                "idempotency_key", "was used before for other messages; make a new key"
            )
        done = readable(await self._log.read_correlation(first[0].correlation_id))
        return receipt_of(done, VERBATIM, replayed=True)

    async def finish(
        self,
        correlation_id: CorrelationId,
        *,
        actor: str,
        data: Mapping[str, str] | None = None,
    ) -> Receipt:
        """Do what an earlier request has left undone: extract from its messages that wait.

        Args:
            correlation_id: the request.
            actor: who asks now.
            data: bytes of images that are at hand (base64), by their references.

        Raises:
            NotFound: there is no such request.
            AdapterUnavailable: as for the request itself; the messages go on waiting.
            ModelError: likewise.
            Erased: what was said has been erased since.
        """
        done = readable(await self._log.read_correlation(correlation_id))
        observed = [item.event for item in done if isinstance(item.event, MessageObserved)]
        if not observed:
            raise NotFound(f"no request {correlation_id}")
        pending = pending_of(done)
        if not pending:
            return receipt_of(done, VERBATIM, replayed=True)
        attempt = _Attempt(
            request=RememberRequest(
                scope=observed[0].message.scope,
                turns=(),
                metadata=observed[0].metadata,
                expires_at=observed[0].expires_at,
                guidance=observed[0].guidance,
                kind=observed[0].kind,
                actor=actor,
            ),
            correlation_id=correlation_id,
            messages=with_images(pending, data or {}, {}),
        )
        self._in_work.append(correlation_id)
        try:
            return await self._infer(attempt, done)
        finally:
            self._in_work.remove(correlation_id)

    async def _settle(
        self,
        attempt: _Attempt,
        candidates: Sequence[Candidate],
        *,
        first: Sequence[Event],
        before: Sequence[Recorded] = (),
    ) -> Receipt:
        """Decide about the candidates on the ledger as it stands, and append."""
        request = attempt.request
        candidates = [
            evolve(
                candidate,
                metadata={**request.metadata, **candidate.metadata},
                expires_at=request.expires_at,
            )
            for candidate in candidates
        ]
        embedded = await self._embed(candidates)
        asked: list[InferenceRecorded] = []
        failures: list[ModelError | AdapterUnavailable] = []

        async def decide() -> Sequence[Event]:
            failures.clear()
            head = await self._log.head(request.scope.ledger)
            if before and await self._taken_on_elsewhere(attempt, before[-1].version, head):
                return []
            now = head.moment(await self._clock.now())
            due = await self._facts.due(request.scope.ledger, now)
            expired = [FactExpired(fact_id=fact.fact_id) for fact in due]
            decided, reconciliation = await self._decide(
                attempt, candidates, due, embedded=embedded
            )
            # What was asked in a lost race was asked all the same.
            asked.extend(reconciliation.inferences)
            if reconciliation.failure is not None:
                failures.append(reconciliation.failure)
                return [*(_in_vain(event) for event in first), *asked]
            return [*first, *asked, *expired, *decided]

        appended = await self._appender.decide_and_append(
            request.scope.ledger,
            decide,
            correlation_id=attempt.correlation_id,
            actor=request.actor,
            idempotency_key=None if request.infer else request.idempotency_key,
        )
        if failures:
            raise failures[0]
        if appended is None:
            return await self.finish(attempt.correlation_id, actor=request.actor)
        if appended.replayed:
            return await self._replay(appended.recorded, request)
        receipt = receipt_of([*before, *appended.recorded], VERBATIM)
        return receipt if embedded else evolve(receipt, lagging=("vectors",))

    async def _taken_on_elsewhere(self, attempt: _Attempt, version: int, head: Head) -> bool:
        """Whether somebody else has looked at these messages since ``version`` of the ledger."""
        if head.version == version:
            return False
        left = pending_of(await self._log.read_correlation(attempt.correlation_id))
        return [m.message_id for m in left] != [m.message_id for m in attempt.messages]

    async def _embed(self, candidates: Sequence[Candidate]) -> bool:
        """Have vectors ready for the index. Without them the facts are stored all the same, and
        found by keyword until the vectors are caught up on.
        """
        try:
            await self._embedding.documents([candidate.text for candidate in candidates])
            await self._embedding_backfill(batches=1)
        except (AdapterUnavailable, ModelError):
            return False
        return True

    async def _decide(
        self,
        attempt: _Attempt,
        candidates: Sequence[Candidate],
        due: Sequence[Fact],
        *,
        embedded: bool,
    ) -> tuple[list[Event], Reconciliation]:
        compared, infer = attempt.request.compared, attempt.request.infer
        alone = self._runs if infer else self._verbatim
        reconciler = self._reconciler if compared else alone
        expired = {fact.fact_id for fact in due}
        same = await self._same(attempt, candidates)
        neighbours: list[Neighbours] = []
        for candidate in candidates:
            near = await self._near(candidate) if compared and embedded else {}
            neighbours.append(
                {
                    key: (fact, similarity)
                    for key, (fact, similarity) in (same | near).items()
                    # What is over can neither be said again nor end once more.
                    if key not in expired and fact.valid.end is None
                }
            )
        reconciliation = await reconciler.reconcile(candidates, neighbours)
        if reconciliation.failure is not None:
            return [], reconciliation
        known = {key: fact for near in neighbours for key, (fact, _) in near.items()}
        proposals = reconciliation.proposals
        open_relations = await self._open_relations(
            attempt.request.scope.ledger, candidates, proposals
        )
        events = _carry_out(candidates, proposals, known, attempt.messages, open_relations)
        return events, reconciliation

    async def _open_relations(
        self, ledger: LedgerId, candidates: Sequence[Candidate], proposals: Sequence[Proposal]
    ) -> list[RelationAsserted]:
        """The relations that stand and came from the facts that may be revised, where that may
        contradict any.
        """
        revised = [
            proposal.target
            for candidate, proposal in zip(candidates, proposals, strict=True)
            if proposal.decision is Decision.REVISE and candidate.relations and proposal.target
        ]
        return await open_relations(self._links, ledger, revised) if revised else []

    async def _same(
        self, attempt: _Attempt, candidates: Sequence[Candidate]
    ) -> dict[FactId, tuple[Fact, float]]:
        """The active facts that say the same as a candidate, or stand in its slot."""
        found = await self._facts.active(
            attempt.request.scope.ledger,
            [candidate.text for candidate in candidates],
            [candidate.slot for candidate in candidates if candidate.slot],
        )
        return {fact.fact_id: (fact, 0.0) for fact in found}

    async def _near(self, candidate: Candidate) -> dict[FactId, tuple[Fact, float]]:
        """The active facts whose vectors are nearest to a candidate's."""
        vectors = await self._embedding.documents([candidate.text])
        hits = await self._index.search(
            IndexQuery(
                scope=candidate.scope.across_runs,
                vector=vectors[candidate.text],
                now=await self._clock.now(),
                limit=NEIGHBOURS,
            )
        )
        similarity = {hit.key: hit.similarity or 0.0 for hit in hits}
        return {
            fact.fact_id: (fact, similarity[fact.key])
            for fact in await self._facts.load(list(similarity))
            if fact.status is FactStatus.ACTIVE and fact.recorded.end is None
        }

    def _messages(self, request: RememberRequest, now: datetime) -> list[Message]:
        return [
            Message(
                message_id=MessageId(self._ids.new()),
                scope=request.scope,
                role=turn.role,
                text=turn.text,
                name=turn.name,
                occurred_at=turn.occurred_at or request.occurred_at or now,
                metadata=turn.metadata,
                images=turn.images,
            )
            for turn in request.turns
        ]


def _shown(images: Sequence[Image]) -> list[str]:
    return [image.reference for image in images]


def _in_vain(event: Event) -> Event:
    """The record of an extraction whose candidates nothing could be decided about."""
    if not isinstance(event, InferenceRecorded) or not event.messages:
        return event
    return evolve(event, purpose=f"{event.purpose}-discarded", messages=())


def _carry_out(
    candidates: Sequence[Candidate],
    proposals: Sequence[Proposal],
    known: Mapping[FactId, Fact],
    messages: Sequence[Message],
    open_relations: Sequence[RelationAsserted],
) -> list[Event]:
    """Judge the proposals one after the other, each on what the ones before it have made true."""
    facts, told = dict(known), {relation.relation_id: relation for relation in open_relations}
    by_id = {message.message_id: message for message in messages}
    events: list[Event] = []
    for candidate, proposal in zip(candidates, proposals, strict=True):
        verdict = judge(candidate, proposal, known=facts, messages=by_id)
        for event in events_of(verdict, candidate, facts, list(told.values())):
            events.append(event)
            if isinstance(event, RelationAsserted):
                told[event.relation_id] = event
            elif isinstance(event, RelationEnded):
                del told[event.relation_id]
            if isinstance(event, FactAdded):
                facts[event.fact_id] = _as_fact(event)
            elif isinstance(event, FactSuperseded | FactRetracted | FactRevised):
                facts[event.fact_id] = _after(event, facts[event.fact_id])
    return events


def _after(event: FactSuperseded | FactRetracted | FactRevised, fact: Fact) -> Fact:
    match event:
        case FactSuperseded():
            return evolve(fact, status=FactStatus.SUPERSEDED)
        case FactRetracted():
            return evolve(fact, status=FactStatus.RETRACTED)
        case FactRevised():
            entities = fact.entities if event.entities is None else event.entities
            return evolve(fact, text=event.text or fact.text, entities=entities)


def _as_fact(event: FactAdded) -> Fact:
    return Fact(
        fact_id=event.fact_id,
        version=1,
        scope=event.scope,
        text=event.text,
        kind=event.kind,
        speaker=event.speaker,
        entities=event.entities,
        slot=event.slot,
        occurred_at=event.occurred_at,
        created_at=event.occurred_at,
        valid=event.valid,
        recorded=Interval(start=event.occurred_at),
    )
