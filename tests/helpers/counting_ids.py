"""Ids that are the same in every run."""

from __future__ import annotations

from itertools import count


class CountingIds:
    """An ``IdSource`` that counts from 1."""

    def __init__(self) -> None:
        self._numbers = count(1)

    def new(self) -> str:
        return f"{next(self._numbers):032x}"
