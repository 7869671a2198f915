"""A fact store in memory: the folded state of each ledger, searched with plain loops."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import datetime

from remembrancer.application.reconciliation.ending_keys import ending_key
from remembrancer.application.reconciliation.near_duplicates import signature
from remembrancer.domain.conversation import Message
from remembrancer.domain.events import MessageObserved
from remembrancer.domain.facts.evolve import FactChange, LedgerState, changes_of, fold
from remembrancer.domain.facts.fact import Fact, FactId, FactKey, FactStatus, MessageId
from remembrancer.domain.filters.evaluate import matches
from remembrancer.domain.ports.fact_store import FactQuery, Tally
from remembrancer.domain.recall.documents import attributes_of
from remembrancer.domain.recorded import CorrelationId, Recorded
from remembrancer.domain.scope import LedgerId, Scope


class InMemoryFactStore:
    """``FactStore`` on the folded state of each ledger."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._states: dict[LedgerId, LedgerState] = {}
        self._ledgers: dict[FactId, LedgerId] = {}
        self._messages: dict[MessageId, Message] = {}
        self._requests: dict[MessageId, CorrelationId] = {}

    def apply(self, chain: Sequence[Recorded]) -> list[FactChange]:
        """Apply events, in order; returns the changes of facts."""
        changes: list[FactChange] = []
        with self._lock:
            for item in chain:
                state = self.state(item.ledger)
                if isinstance(item.event, MessageObserved):
                    message = item.event.message
                    self._messages[message.message_id] = message
                    self._requests[message.message_id] = item.correlation_id
                changed = changes_of(item.event, item.recorded_at, state.latest, state.at_version)
                for change in changed:
                    self._ledgers[change.after.fact_id] = item.ledger
                changes += changed
                self._states[item.ledger] = fold([item], state)
        return changes

    def state(self, ledger: LedgerId) -> LedgerState:
        """The folded state of a ledger."""
        return self._states.get(ledger, LedgerState())

    def versions(self, fact_id: FactId) -> Sequence[Fact]:
        """See ``FactStore.versions``."""
        with self._lock:
            ledger = self._ledgers.get(fact_id)
            return () if ledger is None else self._states[ledger].facts.get(fact_id, ())

    def load(self, keys: Sequence[FactKey]) -> Sequence[Fact]:
        """See ``FactStore.load``."""
        return [
            fact
            for fact_id, version in keys
            for fact in self.versions(fact_id)
            if fact.version == version
        ]

    def find(self, query: FactQuery) -> Sequence[Fact]:
        """See ``FactStore.find``."""
        field = query.order.value.lstrip("-")
        descending = query.order.value.startswith("-")

        def place(fact: Fact) -> tuple[datetime, FactId]:
            return getattr(fact, field), fact.fact_id

        found = sorted(self._matching(query), key=place, reverse=descending)
        if query.after is not None:
            after = query.after
            found = [f for f in found if (place(f) < after if descending else place(f) > after)]
        return found[: query.limit]

    def count(self, query: FactQuery) -> int:
        """See ``FactStore.count``."""
        return len(self._matching(query))

    def _matching(self, query: FactQuery) -> list[Fact]:
        with self._lock:
            versions = [
                fact
                for history in self.state(query.scope.ledger).facts.values()
                for fact in history
            ]
        return [
            fact
            for fact in versions
            if query.scope.covers(fact.scope)
            and fact.listed(query.status, now=query.now, as_of=query.as_of, valid_at=query.valid_at)
            and (query.where is None or matches(query.where, attributes_of(fact)))
        ]

    def active(
        self, ledger: LedgerId, texts: Sequence[str], slots: Sequence[str]
    ) -> Sequence[Fact]:
        """See ``FactStore.active``."""
        wanted, in_slots = {signature(text) for text in texts}, set(slots)
        return [
            fact
            for fact in self._active(ledger)
            if signature(fact.text) in wanted or fact.slot in in_slots
        ]

    def endings(self, ledger: LedgerId, keys: Sequence[str]) -> Sequence[Fact]:
        """See ``FactStore.endings``."""
        wanted = set(keys)
        return [fact for fact in self._active(ledger) if ending_key(fact.text) in wanted]

    def in_slots(self, ledger: LedgerId, slots: Sequence[str]) -> Sequence[Fact]:
        """See ``FactStore.in_slots``."""
        believed, wanted = (FactStatus.ACTIVE, FactStatus.SUPERSEDED), set(slots)
        return [
            fact
            for fact in self._current(ledger)
            if fact.slot in wanted and fact.status in believed
        ]

    def blocked(self, ledger: LedgerId) -> Sequence[Fact]:
        """See ``FactStore.blocked``."""
        return [fact for fact in self._current(ledger) if fact.blocked]

    def active_in(self, scope: Scope) -> Sequence[Fact]:
        """See ``FactStore.active_in``."""
        return [fact for fact in self._active(scope.ledger) if scope.covers(fact.scope)]

    def due(self, ledger: LedgerId, now: datetime) -> Sequence[Fact]:
        """See ``FactStore.due``."""
        return [
            fact
            for fact in self._active(ledger)
            if fact.expires_at is not None and fact.expires_at <= now
        ]

    def _active(self, ledger: LedgerId) -> Iterator[Fact]:
        return (fact for fact in self._current(ledger) if fact.status is FactStatus.ACTIVE)

    def _current(self, ledger: LedgerId) -> list[Fact]:
        with self._lock:
            return self.state(ledger).current()

    def pending(self, ledger: LedgerId | None, limit: int = 1000) -> Sequence[Message]:
        """See ``FactStore.pending``."""
        with self._lock:
            waiting = {
                message_id
                for name, state in self._states.items()
                if ledger in (None, name)
                for message_id in state.pending
            }
            found = [message for key, message in self._messages.items() if key in waiting]
        return found[:limit]

    def unfinished(self, ledger: LedgerId | None, limit: int = 1000) -> Sequence[CorrelationId]:
        """See ``FactStore.unfinished``."""
        with self._lock:
            requests = [self._requests[message.message_id] for message in self.pending(ledger)]
        return list(dict.fromkeys(requests))[:limit]

    def messages(self, ledger: LedgerId, ids: Sequence[MessageId]) -> Sequence[Message]:
        """See ``FactStore.messages``."""
        with self._lock:
            found = [self._messages[each] for each in ids if each in self._messages]
        return [message for message in found if message.scope.ledger == ledger]

    def has_pipeline(self, ledger: LedgerId, digest: str) -> bool:
        """See ``FactStore.has_pipeline``."""
        with self._lock:
            return digest in self.state(ledger).pipelines

    def tally(self, ledger: LedgerId | None) -> Tally:
        """See ``FactStore.tally``."""
        with self._lock:
            states = [state for name, state in self._states.items() if ledger in (None, name)]
            messages = sum(
                ledger in (None, message.scope.ledger) for message in self._messages.values()
            )
        return Tally(
            facts=Counter(fact.status for state in states for fact in state.current()),
            versions=sum(len(history) for state in states for history in state.facts.values()),
            messages=messages,
            pending=sum(len(state.pending) for state in states),
        )
