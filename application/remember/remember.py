"""The write path: observe, extract, find neighbours, reconcile, judge, append.

The store updates its own read models in the append; external ones are fed from the log.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from attrs import evolve, frozen

from remembrancer.application.embedding import Embedding
from remembrancer.application.extraction.images import described, for_the_ledger, with_images
from remembrancer.application.parsing.request import RememberRequest
from remembrancer.application.projections.embedding_backfill import EmbeddingBackfill
from remembrancer.application.remember.neighbours import FindNeighbours
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
    InferenceRecorded,
    MessageObserved,
    RelationAsserted,
)
from remembrancer.domain.facts.decide import decide, discard, expire
from remembrancer.domain.facts.fact import (
    Fact,
    MessageId,
)
from remembrancer.domain.facts.verdicts import Candidate, Decision, Proposal
from remembrancer.domain.image import Image
from remembrancer.domain.ports.audit_log import AuditLog
from remembrancer.domain.ports.clock import Clock, IdSource
from remembrancer.domain.ports.extractor import Extractor
from remembrancer.domain.ports.fact_store import FactStore
from remembrancer.domain.ports.link_history import LinkHistory
from remembrancer.domain.ports.reconciler import Reconciler, Reconciliation
from remembrancer.domain.recorded import CorrelationId, Head, Recorded, readable
from remembrancer.domain.scope import LedgerId


@frozen(kw_only=True)
class _Attempt:
    request: RememberRequest
    correlation_id: CorrelationId
    messages: Sequence[Message]


class Remember:
    """The write path.

    Args:
        log: reads earlier events of requests.
        appender: appends with optimistic concurrency.
        facts: the facts as of the last append.
        find_neighbours: finds the active facts near a candidate.
        links: the relations asserted by facts.
        embedding: vectors for candidates.
        embedding_backfill: embeds facts without a vector once the embedder answers again.
        extractor: messages to candidates.
        reconciler: candidates to proposals.
        clock: the time of messages without a timestamp.
        ids: new ids.
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
        extractor: Extractor,
        reconciler: Reconciler,
        clock: Clock,
        ids: IdSource,
    ) -> None:
        self._log = log
        self._appender = appender
        self._facts = facts
        self._find_neighbours = find_neighbours
        self._links = links
        self._embedding = embedding
        self._embedding_backfill = embedding_backfill
        self._extractor = extractor
        self._reconciler = reconciler
        self._verbatim = VerbatimReconciler()
        self._runs = VerbatimReconciler("tells how a run went")
        self._clock = clock
        self._ids = ids
        # A list, not a set: a request may be in progress twice. Its methods are atomic.
        self._in_work: list[CorrelationId] = []

    async def __call__(self, request: RememberRequest) -> Receipt:
        """Remember messages.

        Raises:
            InvalidRequest: the idempotency key was used for other messages.
            Conflict: other writers won every race; with ``infer`` the messages are in the ledger
                and pending.
            AdapterUnavailable: an engine or a model did not answer; if it was a model, the
                messages are in the ledger and pending.
            ModelError: a model's answer was unusable; the answer and the messages are in the
                ledger, the messages pending.
        """
        begun = await self.observe(request)
        if not begun.pending:
            return begun
        return await self.finish(begun.correlation_id, actor=request.actor, data=request.images)

    async def observe(self, request: RememberRequest) -> Receipt:
        """Append the messages to the ledger; ``finish`` extracts facts from them.

        With ``infer=False`` nothing is extracted: the facts are appended here, too.

        Returns:
            The receipt so far; its ``pending`` messages wait for ``finish``.

        Raises:
            InvalidRequest, Conflict, AdapterUnavailable: see ``__call__``.
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
        """Whether this process is extracting from the messages of this request now."""
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
        """The receipt of an earlier request with this idempotency key, as of now."""
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
        """Extract from the pending messages of an earlier request.

        Args:
            correlation_id: the request.
            actor: the actor of this call.
            data: available image bytes (base64), by reference.

        Raises:
            NotFound: there is no such request.
            AdapterUnavailable: an engine or a model did not answer; the messages stay pending.
            ModelError: a model's answer was unusable; the messages stay pending.
            Erased: the messages were erased since.
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
        """Decide about the candidates on the current head of the ledger, and append."""
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
        inferences: list[InferenceRecorded] = []
        failures: list[ModelError | AdapterUnavailable] = []

        async def decide_on_head() -> Sequence[Event]:
            failures.clear()
            head = await self._log.head(request.scope.ledger)
            if before and await self._extracted_elsewhere(attempt, before[-1].version, head):
                return []
            now = head.moment(await self._clock.now())
            due = await self._facts.due(request.scope.ledger, now)
            decided, reconciliation = await self._decide(
                attempt, candidates, due, embedded=embedded
            )
            # Model calls in a lost race are recorded, too.
            inferences.extend(reconciliation.inferences)
            if reconciliation.failure is not None:
                failures.append(reconciliation.failure)
                return [*(discard(event) for event in first), *inferences]
            return [*first, *inferences, *expire(due), *decided]

        appended = await self._appender.decide_and_append(
            request.scope.ledger,
            decide_on_head,
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

    async def _extracted_elsewhere(self, attempt: _Attempt, version: int, head: Head) -> bool:
        """Whether another caller has extracted from these messages since ``version``."""
        if head.version == version:
            return False
        left = pending_of(await self._log.read_correlation(attempt.correlation_id))
        return [m.message_id for m in left] != [m.message_id for m in attempt.messages]

    async def _embed(self, candidates: Sequence[Candidate]) -> bool:
        """Embed the candidates for the index; return whether that worked. Without vectors the facts
        are stored, and found by keyword until the backfill.
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
        neighbours = await self._find_neighbours(
            candidates,
            ledger=attempt.request.scope.ledger,
            expired={fact.fact_id for fact in due},
            by_meaning=compared and embedded,
        )
        reconciliation = await reconciler.reconcile(candidates, neighbours)
        if reconciliation.failure is not None:
            return [], reconciliation
        known = {key: fact for near in neighbours for key, (fact, _) in near.items()}
        proposals = reconciliation.proposals
        still_open = await self._open_relations(attempt.request.scope.ledger, candidates, proposals)
        events = decide(
            candidates,
            proposals,
            known=known,
            messages=attempt.messages,
            open_relations=still_open,
        )
        return events, reconciliation

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
