"""Explain why something was not remembered.

Candidates that were refused or ignored have no rows, as nothing reads them every day. The whole
ledger is read for an answer: some 30,000 events a second.
"""

from __future__ import annotations

from collections.abc import Sequence
from heapq import nlargest

from attrs import evolve

from remembrancer.application.remember.receipt import skipped_of
from remembrancer.domain.audit.dismissal import (
    ALIKE,
    Dismissal,
    dismissals,
    likeness,
    once,
    weighty,
    with_message,
)
from remembrancer.domain.events import EventId, InferenceRecorded
from remembrancer.domain.ports.audit_log import AuditLog
from remembrancer.domain.ports.fact_store import FactStore
from remembrancer.domain.recorded import Recorded
from remembrancer.domain.scope import Scope

PAGE = 1000


class ExplainDismissal:
    """Finds what was said or proposed and did not become a fact.

    Args:
        log: the log.
        facts: the messages.
    """

    def __init__(self, *, log: AuditLog, facts: FactStore) -> None:
        self._log = log
        self._facts = facts

    async def __call__(self, text: str, *, scope: Scope, limit: int) -> list[Dismissal]:
        """The dismissals that are likest to a text, each with its reason.

        Args:
            text: what is missing, in any words.
            scope: must cover the messages.
            limit: how many to return.
        """
        query = weighty(text)
        best: list[Dismissal] = []
        inferences: dict[EventId, InferenceRecorded] = {}
        after = 0
        while True:
            page = await self._log.read_ledger(scope.ledger, after, PAGE)
            found = [each for item in page for each in _dismissed(item, inferences)]
            alike = [
                each for each in await self._alike(scope, found, query) if each.likeness >= ALIKE
            ]
            best = nlargest(limit, once([*best, *alike]), key=_rank)
            if len(page) < PAGE:
                return best
            after = page[-1].version
            # An append may go on in the next page.
            moment = page[-1].recorded_at
            last = {item.event_id for item in page if item.recorded_at == moment}
            inferences = {key: each for key, each in inferences.items() if key in last}

    async def _alike(
        self, scope: Scope, found: Sequence[Dismissal], query: Sequence[str]
    ) -> list[Dismissal]:
        """The dismissals whose messages the scope may see, with their likeness."""
        ids = list(dict.fromkeys(each.message_id for each in found))
        messages = {
            message.message_id: message
            for message in await self._facts.messages(scope.ledger, ids)
            if scope.covers(message.scope)
        }
        told = [
            with_message(each, messages[each.message_id])
            for each in found
            if each.message_id in messages
        ]
        return [evolve(each, likeness=likeness(query, each.text)) for each in told]


def _dismissed(item: Recorded, inferences: dict[EventId, InferenceRecorded]) -> Sequence[Dismissal]:
    if isinstance(item.event, InferenceRecorded):
        inferences[item.event_id] = item.event
    return list(dismissals(item, inferences, skipped_of))


def _rank(dismissal: Dismissal) -> tuple[float, object]:
    return dismissal.likeness, dismissal.recorded_at
