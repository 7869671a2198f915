"""The port to the log: the one append-only history that everything else is derived from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from attrs import frozen

from remembrancer.domain.recorded import Append, CorrelationId, Head, Position, Recorded
from remembrancer.domain.scope import LedgerId


@frozen(kw_only=True)
class Appended:
    """What an append did. ``replayed`` says that it had been done before, under the same event
    ids or the same idempotency key, and that nothing new was written.
    """

    recorded: tuple[Recorded, ...]
    replayed: bool = False


class AuditLog(Protocol):
    """Append-only, ordered, hash-chained per ledger.

    Contract:
        * An append is atomic and durable when it returns. Positions are global, start at 1 and
          have no gaps; versions likewise within a ledger.
        * With an ``expected_version`` that is not the ledger's, nothing is written and
          ``Conflict`` is raised.
        * Events that are already there under the same ids and content are not written again; the
          same holds for an idempotency key that the ledger has seen. Both return what was
          recorded the first time, ``replayed``. The same event id with other content is refused.
        * ``recorded_at`` strictly grows within a ledger, whatever the clock does.
        * Reads return events in order, at most ``limit`` of them; a short page is the last one.
        * An event whose content was erased is read like any other; its ``event`` is a
          ``PayloadErased``. A page that failed on it would keep all others from being read.
        * A reader never skips an event: what it has read up to position P is all there is up to P.

    Raises:
        Conflict: see above.
        InvalidRequest: an event id that was used for other content, or malformed ids.
        AdapterUnavailable: the store is locked, full or unreachable; nothing was written, or the
            same append may be tried again.
        IntegrityError: a stored event can't be read.
        Erased: the key of the ledger has been destroyed, so that nothing can be appended; or there
            is none for an event that was sealed.
    """

    async def append(self, append: Append) -> Appended:
        """Write events to one ledger, all or none."""
        ...

    async def head(self, ledger: LedgerId) -> Head:
        """Where a ledger stands."""
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
        """Everything that one request caused, by position."""
        ...

    async def find_request(self, ledger: LedgerId, idempotency_key: str) -> Sequence[Recorded]:
        """What was first appended under a key, empty if the ledger has not seen it."""
        ...

    async def ledgers(self, after: LedgerId | None = None, limit: int = 1000) -> Sequence[LedgerId]:
        """The ledgers that have events, sorted by name, those that sort behind ``after``."""
        ...
