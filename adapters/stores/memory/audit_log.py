"""An audit log in memory, for tests. It fulfils the whole contract except durability."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Sequence
from typing import Protocol

from remembrancer.adapters.stores.shared import chaining
from remembrancer.adapters.stores.shared.codec import EventCodec
from remembrancer.domain.events import EventId
from remembrancer.domain.ports.audit_log import Appended
from remembrancer.domain.ports.codec import Codec
from remembrancer.domain.recorded import (
    Append,
    CorrelationId,
    Head,
    Position,
    Recorded,
)
from remembrancer.domain.scope import LedgerId


class Listener(Protocol):
    """Read models that are updated before an append returns."""

    def apply(self, chain: Sequence[Recorded]) -> object:
        """Apply events, in order; the result is ignored."""
        ...


class InMemoryAuditLog:
    """``AuditLog`` in lists, protected by ``lock``."""

    def __init__(
        self,
        codec: Codec | None = None,
        listener: Listener | None = None,
    ) -> None:
        self._codec = codec or EventCodec()
        self._listener = listener
        self.lock = threading.RLock()
        self._events: list[Recorded] = []
        self._ledgers: dict[LedgerId, list[Recorded]] = defaultdict(list)
        self._by_id: dict[EventId, Recorded] = {}
        self._by_correlation: dict[CorrelationId, list[Recorded]] = defaultdict(list)
        self._requests: dict[tuple[LedgerId, str], list[Recorded]] = {}

    def append(self, append: Append) -> Appended:
        """See ``AuditLog.append``."""
        chaining.check(append)
        with self.lock:
            earlier = self._earlier(append)
            if earlier:
                return Appended(recorded=tuple(self._codec.current(earlier)), replayed=True)
            head = self.head(append.ledger)
            chaining.check_version(append, head)
            chain = chaining.chained(append, head, self.last_position(), self._codec)
            if self._listener is not None:
                self._listener.apply(chain)
            self._events.extend(chain)
            self._ledgers[append.ledger].extend(chain)
            self._by_id.update((item.event_id, item) for item in chain)
            self._by_correlation[append.correlation_id].extend(chain)
            if append.idempotency_key is not None:
                self._requests[append.ledger, append.idempotency_key] = chain
        return Appended(recorded=tuple(chain))

    def _earlier(self, append: Append) -> list[Recorded]:
        if append.idempotency_key is not None:
            first = self._requests.get((append.ledger, append.idempotency_key))
            if first:
                return first
        found = [self._by_id[new.event_id] for new in append.events if new.event_id in self._by_id]
        if found:
            chaining.check_same(append, list(self._codec.current(found)), self._codec)
        return found

    def head(self, ledger: LedgerId) -> Head:
        """See ``AuditLog.head``."""
        with self.lock:
            events = self._ledgers.get(ledger)
            if not events:
                return Head()
            last = events[-1]
            return Head.after(last)

    def last_position(self) -> Position:
        """See ``AuditLog.last_position``."""
        with self.lock:
            return Position(len(self._events))

    def read(self, after: Position, limit: int = 1000) -> Sequence[Recorded]:
        """See ``AuditLog.read``."""
        with self.lock:
            return self._codec.current(self._events[after : after + limit])

    def read_ledger(
        self, ledger: LedgerId, after_version: int = 0, limit: int = 1000
    ) -> Sequence[Recorded]:
        """See ``AuditLog.read_ledger``."""
        with self.lock:
            events = self._ledgers.get(ledger, [])
            return self._codec.current(events[after_version : after_version + limit])

    def read_correlation(self, correlation_id: CorrelationId) -> Sequence[Recorded]:
        """See ``AuditLog.read_correlation``."""
        with self.lock:
            return self._codec.current(list(self._by_correlation.get(correlation_id, ())))

    def find_request(self, ledger: LedgerId, idempotency_key: str) -> Sequence[Recorded]:
        """See ``AuditLog.find_request``."""
        with self.lock:
            return self._codec.current(list(self._requests.get((ledger, idempotency_key), ())))

    def ledgers(self, after: LedgerId | None = None, limit: int = 1000) -> Sequence[LedgerId]:
        """See ``AuditLog.ledgers``."""
        with self.lock:
            # By UTF-8 bytes, same order as SQLite and as PostgreSQL with collation "C".
            names = sorted(self._ledgers, key=str.encode)
        return [name for name in names if after is None or name.encode() > after.encode()][:limit]
