"""The port to a count of tokens, for texts that must fit into a prompt."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol


class TokenCounter(Protocol):
    """Counts the tokens of texts as a model reads them.

    Contract: a count depends on the text alone, and is 0 for the empty one. It needs no network.
    """

    @property
    def name(self) -> str:
        """The encoding, or the way of estimating."""
        ...

    async def count(self, texts: Sequence[str]) -> Sequence[int]:
        """The number of tokens of each text."""
        ...
