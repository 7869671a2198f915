"""Running a coroutine that never suspends: no event loop, no thread."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


def run_inline(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end with a single ``send(None)``.

    Raises:
        RuntimeError: it suspended; one of its adapters was not lifted for ``Memory``.
    """
    try:
        coroutine.send(None)
    except StopIteration as finished:
        result: T = finished.value
        return result
    coroutine.close()
    raise RuntimeError("a use-case suspended under Memory; lift its adapters with lift_inline")
