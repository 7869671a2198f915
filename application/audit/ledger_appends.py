"""Find an append of a ledger by its transaction time.

All events of an append have one ``recorded_at``, and it strictly increases from append to append.
So a binary search over the versions of the ledger finds it: twenty reads by key in a ledger of a
million events, on every store, without a column or an index for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from remembrancer.domain.ports.audit_log import AuditLog
from remembrancer.domain.recorded import Recorded
from remembrancer.domain.scope import LedgerId

_NEXT = timedelta(microseconds=1)

SHORT = 16
"""Events of the first read of an append; each further one reads four times as many."""

PAGE = 1000


class LedgerAppends:
    """The appends of one ledger. It remembers what it read: make one for each question.

    Args:
        log: the log.
        ledger: which ledger.
    """

    def __init__(self, log: AuditLog, ledger: LedgerId) -> None:
        self._log = log
        self._ledger = ledger
        self._read: dict[int, Recorded] = {}

    async def at(self, moment: datetime) -> Sequence[Recorded]:
        """The events of the append that was recorded at ``moment``; empty if there is none."""
        first = await self._first_from(moment)
        found: list[Recorded] = []
        limit = SHORT
        while True:
            page = await self._log.read_ledger(self._ledger, first - 1 + len(found), limit)
            same = [item for item in page if item.recorded_at == moment]
            found += same
            if len(same) < limit:
                return found
            limit = min(4 * limit, PAGE)

    async def version_at(self, moment: datetime) -> int:
        """The version of the ledger at ``moment``: that of the last event by then, 0 before the
        first one.
        """
        return await self._first_from(moment + _NEXT) - 1

    async def version_before(self, moment: datetime) -> int:
        """The version of the ledger just before ``moment``, 0 before the first event."""
        return await self._first_from(moment) - 1

    async def _first_from(self, moment: datetime) -> int:
        """The first version that was recorded at ``moment`` or later; one behind the head if there
        is none.
        """
        head = await self._log.head(self._ledger)
        low, high = 1, head.version + 1
        while low < high:
            middle = (low + high) // 2
            if await self._recorded_at(middle) < moment:
                low = middle + 1
            else:
                high = middle
        return low

    async def _recorded_at(self, version: int) -> datetime:
        if version not in self._read:
            (self._read[version],) = await self._log.read_ledger(self._ledger, version - 1, 1)
        return self._read[version].recorded_at
