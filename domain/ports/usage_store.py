"""The port to the usage read model: what models were asked, summed up as the log grows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from remembrancer.domain.scope import LedgerId
from remembrancer.domain.usage import UsageTotal


class UsageStore(Protocol):
    """Sums over a projection of the log.

    Contract: at all times what ``Usage.plus`` makes of every ``InferenceRecorded``, one total for
    each purpose and model, and it sees every append that returned before. Reading it costs by the
    number of ledgers, purposes and models, never by the number of events.

    Raises:
        AdapterUnavailable: the store did not answer.
    """

    async def totals(self, ledger: LedgerId | None) -> Sequence[UsageTotal]:
        """The totals of one ledger or of all, by purpose, then model."""
        ...
