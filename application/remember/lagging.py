"""Add the external projections that lag behind a write to its receipt."""

from __future__ import annotations

from typing import TypeVar

from attrs import evolve

from remembrancer.application.projections.after_commit import AfterCommit
from remembrancer.application.remember.receipt import Receipt

R = TypeVar("R", bound=Receipt)


async def with_lagging(receipt: R, after_commit: AfterCommit) -> R:
    """Deliver the events to external projections, and return the receipt with the names of those
    that did not catch up in time.
    """
    lagging = await after_commit(receipt.ledger, receipt.positions[1])
    return evolve(receipt, lagging=(*receipt.lagging, *lagging)) if lagging else receipt
