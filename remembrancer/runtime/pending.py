"""Results of ``add(wait=False)``: a receipt so far, with ``wait`` for the final one."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from attrs import field, fields, frozen

from remembrancer.application.remember.receipt import Receipt
from remembrancer.domain.errors import StillPending

Outcome = Callable[[float | None], Awaitable[Receipt]]


@frozen(kw_only=True)
class AsyncPendingReceipt(Receipt):
    """The result of ``AsyncMemory.add(wait=False)``; ``pending`` messages wait for extraction."""

    _outcome: Outcome = field(alias="outcome", repr=False, eq=False)

    async def wait(self, timeout: float | None = None) -> Receipt:
        """The final receipt. Any number of tasks may wait, any number of times.

        Args:
            timeout: seconds; ``None`` waits without limit.

        Raises:
            StillPending: the timeout passed; the job goes on.
            Conflict, AdapterUnavailable, ModelError: the job failed, or the memory was closed
                before it ended; the messages are in the ledger and wait for ``retry``.
        """
        try:
            return await self._outcome(timeout)
        except TimeoutError as error:
            raise _still_pending(timeout) from error

    def to_dict(self) -> dict[str, Any]:
        """All fields of a receipt as JSON values."""
        return _as_receipt(self).to_dict()


@frozen(kw_only=True)
class PendingReceipt(Receipt):
    """The result of ``Memory.add(wait=False)``; ``pending`` messages wait for extraction."""

    _outcome: Callable[[float | None], Receipt] = field(alias="outcome", repr=False, eq=False)

    def wait(self, timeout: float | None = None) -> Receipt:
        """The final receipt. Any number of threads may wait, any number of times.

        Args:
            timeout: seconds; ``None`` waits without limit.

        Raises:
            StillPending: the timeout passed; the job goes on.
            Conflict, AdapterUnavailable, ModelError: the job failed, or the memory was closed
                before it ended; the messages are in the ledger and wait for ``retry``.
        """
        try:
            return self._outcome(timeout)
        except TimeoutError as error:
            raise _still_pending(timeout) from error

    def to_dict(self) -> dict[str, Any]:
        """All fields of a receipt as JSON values."""
        return _as_receipt(self).to_dict()


def fields_of(receipt: Receipt) -> dict[str, Any]:
    """The fields of a receipt by name, to build a subclass from."""
    return {each.name: getattr(receipt, each.name) for each in fields(Receipt)}


def _as_receipt(receipt: Receipt) -> Receipt:
    return Receipt(**fields_of(receipt))


def _still_pending(timeout: float | None) -> StillPending:
    return StillPending(f"not finished within {timeout:g} s; it goes on in the background")
