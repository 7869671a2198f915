"""Receipts of what is still being done: what ``add(wait=False)`` returns.

Each is the receipt as it was when ``add`` returned, with a way to the final one.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from attrs import field, fields, frozen

from remembrancer.application.remember.receipt import Receipt
from remembrancer.domain.errors import StillPending

Outcome = Callable[[float | None], Awaitable[Receipt]]


@frozen(kw_only=True)
class AsyncPendingReceipt(Receipt):
    """What ``AsyncMemory.add(wait=False)`` returns: ``pending`` are the messages that wait."""

    _outcome: Outcome = field(alias="outcome", repr=False, eq=False)

    async def wait(self, timeout: float | None = None) -> Receipt:
        """The final receipt. May be waited for by any number of tasks, and as often as wanted.

        Args:
            timeout: seconds, ``None`` for as long as it takes.

        Raises:
            StillPending: it takes longer; the work goes on.
            Conflict, AdapterUnavailable, ModelError: the work failed, or the memory was closed
                before it was done; the messages are in the ledger and wait for ``retry``.
        """
        try:
            return await self._outcome(timeout)
        except TimeoutError as error:
            raise _still_pending(timeout) from error

    def to_dict(self) -> dict[str, Any]:
        """All fields of a receipt in JSON's terms."""
        return _as_receipt(self).to_dict()


@frozen(kw_only=True)
class PendingReceipt(Receipt):
    """What ``Memory.add(wait=False)`` returns: ``pending`` are the messages that wait."""

    _outcome: Callable[[float | None], Receipt] = field(alias="outcome", repr=False, eq=False)

    def wait(self, timeout: float | None = None) -> Receipt:
        """The final receipt. May be waited for by any number of threads, and as often as wanted.

        Args:
            timeout: seconds, ``None`` for as long as it takes.

        Raises:
            StillPending: it takes longer; the work goes on.
            Conflict, AdapterUnavailable, ModelError: the work failed, or the memory was closed
                before it was done; the messages are in the ledger and wait for ``retry``.
        """
        try:
            return self._outcome(timeout)
        except TimeoutError as error:
            raise _still_pending(timeout) from error

    def to_dict(self) -> dict[str, Any]:
        """All fields of a receipt in JSON's terms."""
        return _as_receipt(self).to_dict()


def fields_of(receipt: Receipt) -> dict[str, Any]:
    """The fields of a receipt by name, to make another kind of receipt of."""
    return {each.name: getattr(receipt, each.name) for each in fields(Receipt)}


def _as_receipt(receipt: Receipt) -> Receipt:
    return Receipt(**fields_of(receipt))


def _still_pending(timeout: float | None) -> StillPending:
    return StillPending(f"not finished within {timeout:g} s; it goes on in the background")
