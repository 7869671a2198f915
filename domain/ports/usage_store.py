"""The port to the usage read model: totals of model calls."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from remembrancer.domain.scope import LedgerId
from remembrancer.domain.usage import UsageTotal


class UsageStore(Protocol):
    """Totals of model calls, a projection of the log.

    Contract: equals the sum (``Usage.plus``) of every ``InferenceRecorded`` at all times, one total
    for each purpose and model, and shows every append that has returned. The cost of a read depends
    on the number of ledgers, purposes and models, never on the number of events.

    Raises:
        AdapterUnavailable: the store did not answer.
    """

    async def totals(self, ledger: LedgerId | None) -> Sequence[UsageTotal]:
        """The totals of one ledger or of all, by purpose, then model."""
        ...
