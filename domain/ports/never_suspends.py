"""The mark of adapters whose ``async def`` methods block instead of suspending."""

from __future__ import annotations

from typing import Protocol, TypeGuard


class NeverSuspends(Protocol):
    """Optional, for every adapter. Without it an ``async def`` method may suspend.

    Contract: if ``never_suspends`` is true, every ``async def`` method of the adapter runs to its
    end in one ``send(None)``, and the adapter has no plain method. ``Memory`` then calls it in the
    caller's thread, without an event loop. The value does not change.
    """

    @property
    def never_suspends(self) -> bool:
        """Whether it blocks; it may depend on the connections that the adapter was given."""
        ...


def never_suspends(adapter: object) -> TypeGuard[NeverSuspends]:
    """Whether the ``async def`` methods of an adapter block instead of suspending."""
    return getattr(adapter, "never_suspends", False) is True
