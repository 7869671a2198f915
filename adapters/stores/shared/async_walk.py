"""Run a graph walk over async lookups."""

from __future__ import annotations

from typing import Any, TypeVar

from remembrancer.domain.graph.walk import Walking

T = TypeVar("T")


async def answered(ties: Any, walking: Walking[T]) -> T:
    """The result of ``walking``: ``domain.graph.walk.answered`` for ``Ties`` with async methods."""
    answer = None
    while True:
        try:
            question = walking.send(answer)
        except StopIteration as done:
            result: T = done.value
            return result
        answer = await question(ties)
