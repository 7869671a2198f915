"""Walking a graph whose answers have to be waited for."""

from __future__ import annotations

from typing import Any, TypeVar

from remembrancer.domain.graph.walk import Walking

T = TypeVar("T")


async def answered(ties: Any, walking: Walking[T]) -> T:
    """What ``walking`` comes to: ``domain.walk.answered`` over ``Ties`` of coroutines."""
    answer = None
    while True:
        try:
            question = walking.send(answer)
        except StopIteration as done:
            result: T = done.value
            return result
        answer = await question(ties)
