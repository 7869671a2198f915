"""Ids that are the same in every run."""

from __future__ import annotations

from itertools import count


class CountingIds:
    """An ``IdSource`` that counts from ``first``."""

    def __init__(self, first: int = 1) -> None:
        self._numbers = count(first)

    def new(self) -> str:
        return f"{next(self._numbers):032x}"
