"""The port to the facts read model: all versions of all facts, by id, scope and time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from attrs import frozen

from remembrancer.domain.conversation import Message
from remembrancer.domain.facts.fact import (
    Fact,
    FactId,
    FactKey,
    FactStatus,
    ListedStatus,
    MessageId,
)
from remembrancer.domain.filters.ast import Filter
from remembrancer.domain.recorded import CorrelationId
from remembrancer.domain.scope import LedgerId, Scope


class Order(StrEnum):
    """The sort order of a listing; ``-`` means newest first. Ties are sorted by fact id."""

    CREATED = "created_at"
    CREATED_DESC = "-created_at"
    OCCURRED = "occurred_at"
    OCCURRED_DESC = "-occurred_at"


@frozen(kw_only=True)
class FactQuery:
    """A listing of the facts that ``scope`` covers. Status and times as in ``Fact.listed``.

    ``after`` is the page cursor: the sort value and the id of the last fact of the previous page.
    """

    scope: Scope
    now: datetime
    where: Filter | None = None
    as_of: datetime | None = None
    valid_at: datetime | None = None
    status: ListedStatus | None = None
    order: Order = Order.CREATED_DESC
    limit: int = 100
    after: tuple[datetime, FactId] | None = None


@frozen(kw_only=True)
class Tally:
    """Counts of a fact store: facts by the status of their latest version, all versions, messages,
    and messages that wait for extraction.
    """

    facts: Mapping[FactStatus, int]
    versions: int
    messages: int
    pending: int


class FactStore(Protocol):
    """The facts table, a projection of the log.

    Contract: equals the fold of the log (``remembrancer.domain.facts.evolve.fold``) at all times,
    and shows every append that has returned (read-your-writes).

    Raises:
        AdapterUnavailable: the store did not answer.
    """

    async def versions(self, fact_id: FactId) -> Sequence[Fact]:
        """All versions of a fact, oldest first; empty if there is no such fact."""
        ...

    async def load(self, keys: Sequence[FactKey]) -> Sequence[Fact]:
        """The versions with these keys, in the order of ``keys``; missing ones are left out."""
        ...

    async def find(self, query: FactQuery) -> Sequence[Fact]:
        """One page of a listing."""
        ...

    async def count(self, query: FactQuery) -> int:
        """The number of facts in all pages of a listing; ``order``, ``limit`` and ``after`` are of
        no account.
        """
        ...

    async def active(
        self, ledger: LedgerId, texts: Sequence[str], slots: Sequence[str]
    ) -> Sequence[Fact]:
        """The active facts of a ledger with one of ``texts`` or one of ``slots``. Texts are
        compared by ``remembrancer.application.reconciliation.near_duplicates.signature``.
        """
        ...

    async def endings(self, ledger: LedgerId, keys: Sequence[str]) -> Sequence[Fact]:
        """The active facts of a ledger that say that something is over, with one of ``keys``
        (``remembrancer.application.reconciliation.ending_keys.ending_key``).
        """
        ...

    async def in_slots(self, ledger: LedgerId, slots: Sequence[str]) -> Sequence[Fact]:
        """The latest versions of the facts in one of ``slots``, active and superseded ones."""
        ...

    async def blocked(self, ledger: LedgerId) -> Sequence[Fact]:
        """The withdrawn facts of a ledger that are not to be drawn again (``Fact.blocked``)."""
        ...

    async def active_in(self, scope: Scope) -> Sequence[Fact]:
        """The active facts that a scope covers, whatever their valid time."""
        ...

    async def due(self, ledger: LedgerId, now: datetime) -> Sequence[Fact]:
        """The active facts whose ``expires_at`` is not later than ``now``."""
        ...

    async def pending(self, ledger: LedgerId | None, limit: int = 1000) -> Sequence[Message]:
        """The messages that wait for extraction, oldest first."""
        ...

    async def unfinished(
        self, ledger: LedgerId | None, limit: int = 1000
    ) -> Sequence[CorrelationId]:
        """The requests with messages that wait for extraction, oldest first."""
        ...

    async def messages(self, ledger: LedgerId, ids: Sequence[MessageId]) -> Sequence[Message]:
        """The messages of a ledger with these ids, in the order of ``ids``; unknown and erased ones
        are left out.
        """
        ...

    async def has_pipeline(self, ledger: LedgerId, digest: str) -> bool:
        """Whether the ledger has the ``PipelineDescribed`` with this digest."""
        ...

    async def tally(self, ledger: LedgerId | None) -> Tally:
        """The counts of one ledger or of all."""
        ...
