"""Characters that a store can't hold in its texts."""

from __future__ import annotations

from collections.abc import Callable

from attrs import frozen


@frozen
class Escaping:
    """Two functions: ``stored`` escapes a text, and ``restored`` is its inverse."""

    stored: Callable[[str], str]
    restored: Callable[[str], str]


NO_ESCAPING = Escaping(str, str)
"""For a store that holds all characters."""
