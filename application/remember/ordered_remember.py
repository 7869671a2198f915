"""Remembering in turn: what a caller says is finished in the order in which it was said.

What is observed is durable at once. Drawing facts from it may be waited for or left to the
background; either way nothing overtakes what the background has still to do for the same ledger.
"""

from __future__ import annotations

from concurrent.futures import Future
from functools import partial

from attrs import evolve

from remembrancer.application.projections.after_commit import AfterCommit
from remembrancer.application.remember.ledger_queues import LedgerQueues
from remembrancer.application.remember.receipt import Receipt
from remembrancer.application.remember.remember import Remember, RememberRequest
from remembrancer.domain.errors import AdapterUnavailable, Conflict, ModelError
from remembrancer.domain.ports.fact_store import FactStore

EARLIER = "messages"
"""What lags when earlier messages could not be finished."""

MAX_EARLIER = 100
"""Earlier requests that one add tries to finish; the next add goes on."""


class OrderedRemember:
    """Takes requests, one at a time.

    Args:
        remember: the write path.
        facts: tell which earlier requests wait.
        queues: where requests wait for their turn.
        retry_first: finish what waits in a ledger before what is new.
        after_commit: has external projections follow what was written.
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
        """Remember, behind what the background has still to do for this ledger.

        Raises:
            InvalidRequest, Conflict, AdapterUnavailable, ModelError: as ``Remember``.
        """
        begun = await self._remember.observe(request)
        if begun.pending and self._queues.busy(begun.ledger):
            return await self._queues.outcome(self._hand_over(begun, request))
        return await self.finish(begun, request)

    async def later(self, request: RememberRequest) -> tuple[Receipt, Future[Receipt]]:
        """Only observe, and leave the rest to the background.

        Returns:
            The receipt so far, and what will hold the final one.

        Raises:
            InvalidRequest, Conflict, AdapterUnavailable: as ``Remember``.
        """
        begun = await self._remember.observe(request)
        if begun.pending:
            return begun, self._hand_over(begun, request)
        done: Future[Receipt] = Future()
        done.set_result(await self._followed(begun))
        return done.result(), done

    def _hand_over(self, begun: Receipt, request: RememberRequest) -> Future[Receipt]:
        return self._queues.submit(begun.ledger, partial(self.finish, begun, request))

    async def finish(self, begun: Receipt, request: RememberRequest) -> Receipt:
        """Finish what was observed of a request, if anything of it is pending; the caller sees to
        it that it is its turn.

        Raises:
            Conflict, AdapterUnavailable, ModelError: as ``Remember``.
        """
        if not begun.pending:
            return await self._followed(begun)
        caught_up = not self._retry_first or await self._finish_earlier(begun, request.actor)
        receipt = await self._remember.finish(
            begun.correlation_id, actor=request.actor, data=request.images
        )
        if not caught_up:
            receipt = evolve(receipt, lagging=(*receipt.lagging, EARLIER))
        return await self._followed(receipt)

    async def _followed(self, receipt: Receipt) -> Receipt:
        lagging = await self._after_commit(receipt.ledger, receipt.positions[1])
        return evolve(receipt, lagging=(*receipt.lagging, *lagging)) if lagging else receipt

    async def _finish_earlier(self, begun: Receipt, actor: str) -> bool:
        """Whether nothing waits any more that the ledger got before ``begun``."""
        caught_up = True
        for correlation_id in await self._facts.unfinished(begun.ledger, MAX_EARLIER + 1):
            if correlation_id == begun.correlation_id:
                break
            if self._remember.in_work(correlation_id):
                continue
            try:
                await self._remember.finish(correlation_id, actor=actor)
            except AdapterUnavailable:
                # The others would wait in vain for the same engine.
                return False
            except (ModelError, Conflict):
                caught_up = False
        else:
            return False
        return caught_up
