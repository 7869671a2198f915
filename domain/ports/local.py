"""The mark of extractors and reconcilers that compute within the process."""

from __future__ import annotations

from typing import Protocol, TypeGuard


class Local(Protocol):
    """Optional, for extractors and reconcilers. Without it a part may ask a model.

    Contract: if ``local`` is true, the part computes within the process, in milliseconds, waits for
    nothing, and does the same work again with the same result. Messages that it has read are then
    appended together with their facts, in one transaction. The value does not change.
    """

    @property
    def local(self) -> bool:
        """Whether it computes within the process."""
        ...


def is_local(part: object) -> TypeGuard[Local]:
    """Whether a part computes within the process."""
    return getattr(part, "local", False) is True
