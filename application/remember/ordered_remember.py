"""Remember requests of one ledger in order.

Messages are durable as soon as they are observed. Extraction runs while the caller waits, or in
the background; both run after earlier background jobs of the same ledger.
"""

from __future__ import annotations

from concurrent.futures import Future
from functools import partial

from attrs import evolve

from remembrancer.application.parsing.request import RememberRequest
from remembrancer.application.projections.after_commit import AfterCommit
from remembrancer.application.remember.lagging import with_lagging
from remembrancer.application.remember.ledger_queues import LedgerQueues
from remembrancer.application.remember.receipt import Receipt
from remembrancer.application.remember.remember import Remember
from remembrancer.domain.errors import AdapterUnavailable, Conflict, ModelError
from remembrancer.domain.ports.fact_store import FactStore

EARLIER = "messages"
"""The name in ``Receipt.lagging`` for earlier messages that could not be finished."""

MAX_EARLIER = 100
"""Earlier requests that one add tries to finish; the next add continues."""


class OrderedRemember:
    """Remembers one request at a time.

    Args:
        remember: the write path.
        facts: lists unfinished requests.
        queues: one FIFO queue per ledger.
        retry_first: finish earlier requests of the ledger first.
        after_commit: delivers written events to external projections.
    """

    def __init__(
        self,
        *,
        remember: Remember,
        facts: FactStore,
        queues: LedgerQueues,
        retry_first: bool,
        after_commit: AfterCommit,
    ) -> None:
        self._remember = remember
        self._facts = facts
        self._queues = queues
        self._retry_first = retry_first
        self._after_commit = after_commit

    async def __call__(self, request: RememberRequest) -> Receipt:
        """Remember, after the background jobs of this ledger.

        Raises:
            InvalidRequest, Conflict, AdapterUnavailable, ModelError: see ``Remember``.
        """
        begun = await self._remember.observe(request)
        if begun.pending and self._queues.busy(begun.ledger):
            return await self._queues.outcome(self._hand_over(begun, request))
        return await self.finish(begun, request)

    async def later(self, request: RememberRequest) -> tuple[Receipt, Future[Receipt]]:
        """Observe now, and extract in the background.

        Returns:
            The receipt so far, and a future of the final one.

        Raises:
            InvalidRequest, Conflict, AdapterUnavailable: see ``Remember``.
        """
        begun = await self._remember.observe(request, alone=True)
        if begun.pending:
            return _with_unread(begun, request), self._hand_over(begun, request)
        done: Future[Receipt] = Future()
        done.set_result(await self._answer(begun, request))
        return done.result(), done

    def _hand_over(self, begun: Receipt, request: RememberRequest) -> Future[Receipt]:
        return self._queues.submit(begun.ledger, partial(self.finish, begun, request))

    async def finish(self, begun: Receipt, request: RememberRequest) -> Receipt:
        """Finish an observed request, if any of its messages is pending. Call it in the order of
        the ledger.

        Raises:
            Conflict, AdapterUnavailable, ModelError: see ``Remember``.
        """
        if not begun.pending:
            return await self._answer(begun, request)
        caught_up = not self._retry_first or await self._finish_earlier(begun, request.actor)
        receipt = await self._remember.finish(
            begun.correlation_id, actor=request.actor, data=request.images
        )
        if not caught_up:
            receipt = evolve(receipt, lagging=(*receipt.lagging, EARLIER))
        return await self._answer(receipt, request)

    async def _answer(self, receipt: Receipt, request: RememberRequest) -> Receipt:
        return await with_lagging(_with_unread(receipt, request), self._after_commit)

    async def _finish_earlier(self, begun: Receipt, actor: str) -> bool:
        """Finish the requests of the ledger before ``begun``; return whether none is left."""
        caught_up = True
        for correlation_id in await self._facts.unfinished(begun.ledger, MAX_EARLIER + 1):
            if correlation_id == begun.correlation_id:
                break
            if self._remember.in_work(correlation_id):
                continue
            try:
                await self._remember.finish(correlation_id, actor=actor)
            except AdapterUnavailable:
                # The other requests would fail on the same engine.
                return False
            except (ModelError, Conflict):
                caught_up = False
        else:
            return False
        return caught_up


def _with_unread(receipt: Receipt, request: RememberRequest) -> Receipt:
    """The receipt with what could not be read; the ledger holds only what was."""
    return evolve(receipt, skipped=(*request.skipped, *receipt.skipped))
