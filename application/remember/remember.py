"""The write path: observe, extract, find neighbours, reconcile, judge, append.

The store updates its own read models in the append; external ones are fed from the log.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from attrs import evolve, frozen

from remembrancer.application.extraction.images import described, for_the_ledger, with_images
from remembrancer.application.parsing.request import RememberRequest
from remembrancer.application.remember.optimistic_append import OptimisticAppender
from remembrancer.application.remember.portions import Portion, fits, portions
from remembrancer.application.remember.receipt import Receipt, pending_of, receipt_of
from remembrancer.application.remember.settle import Matter, Settle, Settled
from remembrancer.application.remember.verbatim import (
    VERBATIM,
    VerbatimReconciler,
    verbatim_candidates,
    verbatim_extraction,
)
from remembrancer.domain.conversation import Message
from remembrancer.domain.errors import Conflict, InvalidRequest, NotFound, RemembrancerError
from remembrancer.domain.events import MessageObserved
from remembrancer.domain.facts.fact import MessageId
from remembrancer.domain.image import Image
from remembrancer.domain.ports.audit_log import AuditLog
from remembrancer.domain.ports.clock import Clock, IdSource
from remembrancer.domain.ports.extractor import Extraction, Extractor
from remembrancer.domain.ports.local import is_local
from remembrancer.domain.ports.reconciler import Reconciler
from remembrancer.domain.recorded import CorrelationId, NewEvent, Recorded, readable

MOST_AT_ONCE = 2_000
"""Characters of the messages that are appended together with the facts in them. Rules read them in
some milliseconds, and rarely find more facts than one append takes."""


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
        settle: decides about candidates.
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
        settle: Settle,
        extractor: Extractor,
        reconciler: Reconciler,
        clock: Clock,
        ids: IdSource,
    ) -> None:
        self._log = log
        self._appender = appender
        self._settle = settle
        self._extractor = extractor
        self._reconciler = reconciler
        self._is_local = settle.is_local and is_local(extractor) and is_local(reconciler)
        self._verbatim = VerbatimReconciler()
        self._runs = VerbatimReconciler("tells how a run went")
        self._clock = clock
        self._ids = ids
        # A list, not a set: a request may be in progress twice. Its methods are atomic.
        self._in_work: list[CorrelationId] = []

    async def __call__(self, request: RememberRequest) -> Receipt:
        """Remember messages.

        Raises:
            InvalidRequest: the idempotency key was used for other messages, or ``expires_at`` is
                past.
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

    async def observe(self, request: RememberRequest, *, alone: bool = False) -> Receipt:
        """Append the messages to the ledger; ``finish`` extracts facts from them.

        With ``infer=False`` the facts are appended here, too, unless there are too many for one
        append. So are the facts of an extractor and a reconciler that are ``Local``, if no earlier
        message of the ledger is pending.

        Args:
            request: the messages.
            alone: append the messages alone, and leave their facts to ``finish``.

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
        now = await self._clock.now()
        if request.expires_at is not None and request.expires_at <= now:
            raise InvalidRequest(
                "expires_at",
                f"{request.expires_at.isoformat()} is not after now, {now.isoformat()}; "
                "leave it out for facts that do not expire",
            )
        attempt = _Attempt(
            request=request,
            correlation_id=self._appender.correlation_id(),
            messages=self._messages(request, now),
        )
        at_once = not request.infer and fits([turn.text for turn in request.turns])
        most = self._extractor.kept_image_bytes if request.infer else 0
        observed = [
            self._appender.new(
                MessageObserved(
                    message=for_the_ledger(message, most),
                    extract=not at_once,
                    verbatim=not request.infer and not at_once,
                    # Once in the log, however many messages there are.
                    metadata=request.metadata if message is attempt.messages[0] else {},
                    expires_at=request.expires_at,
                    guidance=request.guidance,
                    kind=request.kind,
                )
            )
            for message in attempt.messages
        ]
        if at_once:
            return await self._remember_verbatim(attempt, observed)
        if not alone and self._is_prompt(request):
            receipt = await self._infer_at_once(attempt, observed)
            if receipt is not None:
                return receipt
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
        attempt = evolve(attempt, messages=with_images(attempt.messages, {}, described(observed)))
        extraction = await self._extracted(attempt)
        if extraction.messages:
            attempt = evolve(attempt, messages=extraction.messages)
        failure = extraction.failure
        if failure is not None and not extraction.inferences:
            raise failure
        receipt = await self._decide_all(attempt, extraction, observed)
        if failure is not None:
            raise failure
        return receipt

    async def _extracted(self, attempt: _Attempt) -> Extraction:
        wanted = attempt.request
        if not wanted.infer:
            return verbatim_extraction(attempt.messages, self._ids)
        draw = self._extractor.extract if wanted.kind is None else self._extractor.recount
        return await draw(attempt.messages, self._ids, wanted.guidance)

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
        self._appender.check(actor)
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
                infer=not observed[0].verbatim,
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

    async def _decide_all(
        self, attempt: _Attempt, extraction: Extraction, before: Sequence[Recorded]
    ) -> Receipt:
        """Decide about the candidates, and append, in as many portions as it takes."""
        lagging: tuple[str, ...] = ()
        for portion in portions(extraction, attempt.messages, before):
            settled = await self._settled(attempt, portion, before=before)
            appended = settled.appended
            if appended is None or settled.superfluous:
                return await self.finish(attempt.correlation_id, actor=attempt.request.actor)
            before = [*before, *appended.recorded]
            lagging = lagging if settled.embedded else ("vectors",)
        return evolve(receipt_of(before, VERBATIM), lagging=lagging)

    async def _remember_verbatim(self, attempt: _Attempt, observed: Sequence[NewEvent]) -> Receipt:
        candidates = tuple(verbatim_candidates(attempt.messages, self._ids))
        extraction = Extraction(candidates=candidates, skipped=(), inferences=())
        receipt = await self._append_at_once(attempt, Portion(extraction=extraction), observed)
        assert receipt is not None, "messages are always recorded"
        return receipt

    def _is_prompt(self, request: RememberRequest) -> bool:
        """Whether the facts of a request are found so soon that its messages can wait for them."""
        return (
            request.infer
            and self._is_local
            and not any(turn.images for turn in request.turns)
            and sum(len(turn.text) for turn in request.turns) <= MOST_AT_ONCE
        )

    async def _infer_at_once(
        self, attempt: _Attempt, observed: Sequence[NewEvent]
    ) -> Receipt | None:
        """Append the messages together with the facts in them; ``None`` if the messages must be
        appended first, because that failed, or takes several appends, or others are pending.
        """
        try:
            extraction = await self._extracted(attempt)
        except Exception:  # noqa: BLE001 - ``finish`` raises it again, when the messages are kept
            return None
        cut = list(portions(extraction, attempt.messages, ()))
        if len(cut) > 1 or extraction.failure is not None:
            return None
        try:
            return await self._append_at_once(attempt, cut[0], observed)
        except Conflict:
            return None
        except RemembrancerError:
            # Of the store: the messages would meet it, too, or the append may still be made.
            raise
        except Exception:
            # Whatever failed, the messages must not be lost with it, nor be there twice.
            if await self._log.read_correlation(attempt.correlation_id):
                raise
            return None

    async def _append_at_once(
        self, attempt: _Attempt, portion: Portion, observed: Sequence[NewEvent]
    ) -> Receipt | None:
        """Append messages together with their facts; ``None`` if others are pending."""
        settled = await self._settled(attempt, portion, beside=observed)
        appended = settled.appended
        if appended is None:
            return None
        if appended.replayed:
            return await self._replay(appended.recorded, attempt.request)
        receipt = receipt_of(appended.recorded, VERBATIM)
        return receipt if settled.embedded else evolve(receipt, lagging=("vectors",))

    async def _settled(
        self,
        attempt: _Attempt,
        portion: Portion,
        *,
        before: Sequence[Recorded] = (),
        beside: Sequence[NewEvent] = (),
    ) -> Settled:
        """Decide about the candidates of a portion, and append; see ``Matter``."""
        request, extraction = attempt.request, portion.extraction
        candidates = tuple(
            evolve(
                candidate,
                metadata={**request.metadata, **candidate.metadata},
                expires_at=request.expires_at,
            )
            for candidate in extraction.candidates
        )
        alone = self._runs if request.infer else self._verbatim
        return await self._settle(
            Matter(
                ledger=request.scope.ledger,
                correlation_id=attempt.correlation_id,
                actor=request.actor,
                extraction=evolve(extraction, candidates=candidates),
                reconciler=self._reconciler if request.compared else alone,
                by_meaning=request.compared,
                messages=attempt.messages,
                before=before,
                beside=beside,
                in_turn=bool(beside) and request.infer,
                unfinished=portion.unfinished,
                idempotency_key=request.idempotency_key if beside else None,
            )
        )

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
