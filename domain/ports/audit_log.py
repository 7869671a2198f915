"""The port to the log: the append-only history that all read models are derived from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from attrs import frozen

from remembrancer.domain.recorded import Append, CorrelationId, Head, Position, Recorded
from remembrancer.domain.scope import LedgerId


@frozen(kw_only=True)
class Appended:
    """The result of an append. ``replayed``: it was a duplicate, by event ids or idempotency key;
    nothing new was written.
    """

    recorded: tuple[Recorded, ...]
    replayed: bool = False


class AuditLog(Protocol):
    """Append-only, ordered, hash-chained per ledger.

    Contract:
        * An append is atomic and durable when it returns. Positions are global, start at 1 and
          have no gaps; versions start at 1 and have no gaps within a ledger.
        * If ``expected_version`` is not the ledger's version, nothing is written and ``Conflict``
          is raised (optimistic concurrency).
        * Appends are idempotent: events that exist with the same ids and content are not written
          again, nor is an append with an idempotency key that the ledger has seen. Both return the
          events of the first append, ``replayed``. The same event id with other content is refused.
        * ``recorded_at`` strictly increases within a ledger, even if the clock goes back.
        * Reads return events in order, at most ``limit``; a page shorter than that is the last one.
        * An event whose payload was erased is read like any other; its ``event`` is a
          ``PayloadErased``. An error here would make the rest of the page unreadable.
        * A reader never skips an event: after a read up to position P, no event appears before P.

    Raises:
        Conflict: see above.
        InvalidRequest: an event id was used for other content, or is malformed.
        AdapterUnavailable: the store is locked, full or unreachable; the same append can be
            retried.
        IntegrityError: a stored event can't be read.
        Erased: the key of the ledger was destroyed, so nothing can be appended; or the key of a
            sealed event is missing.
    """

    async def append(self, append: Append) -> Appended:
        """Write events to one ledger, all or none."""
        ...

    async def head(self, ledger: LedgerId) -> Head:
        """The last version of a ledger, with its hash and time."""
        ...

    async def last_position(self) -> Position:
        """The position of the newest event, 0 if there is none."""
        ...

    async def read(self, after: Position, limit: int = 1000) -> Sequence[Recorded]:
        """Events of all ledgers, by position."""
        ...

    async def read_ledger(
        self, ledger: LedgerId, after_version: int = 0, limit: int = 1000
    ) -> Sequence[Recorded]:
        """Events of one ledger, by version."""
        ...

    async def read_correlation(self, correlation_id: CorrelationId) -> Sequence[Recorded]:
        """All events of one request, by position."""
        ...

    async def find_request(self, ledger: LedgerId, idempotency_key: str) -> Sequence[Recorded]:
        """The events appended under an idempotency key; empty if the ledger has not seen it."""
        ...

    async def ledgers(self, after: LedgerId | None = None, limit: int = 1000) -> Sequence[LedgerId]:
        """The names of the ledgers with events, sorted, from the first name behind ``after``."""
        ...
