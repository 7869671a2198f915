"""Call sync and async adapter methods as plain calls."""

from __future__ import annotations

import inspect
from typing import Any

from remembrancer.application.background_loop import BackgroundLoop
from remembrancer.application.inline import run_inline
from remembrancer.domain.ports.never_suspends import never_suspends

_LOOP = BackgroundLoop("driven-adapters")
"""One loop for all tests: a connection works only in the loop that opened it."""


class Driven:
    """An adapter whose ``async def`` methods are plain calls."""

    def __init__(self, adapter: Any) -> None:
        self._adapter = adapter
        self._run = run_inline if never_suspends(adapter) else _LOOP.run

    def __getattr__(self, name: str) -> Any:
        attribute = getattr(self._adapter, name)
        if not inspect.iscoroutinefunction(attribute):
            return attribute

        def call(*args: Any, **kwargs: Any) -> Any:
            return self._run(attribute(*args, **kwargs))

        return call
