"""Wait for conditions that other threads and processes make true."""

from __future__ import annotations

import threading
from collections.abc import Callable
from time import monotonic

PATIENCE = 30.0
"""Seconds until a waiting test fails; generous, for loaded machines."""


def until(condition: Callable[[], bool]) -> None:
    """Wait until a condition is true.

    Raises:
        AssertionError: it was not true within ``PATIENCE``.
    """
    waiting, deadline = threading.Event(), monotonic() + PATIENCE
    while not condition():
        assert monotonic() < deadline, "the condition did not become true in time"
        waiting.wait(0.01)
