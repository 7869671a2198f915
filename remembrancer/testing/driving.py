"""Calling an adapter in a test, whichever way its methods are written."""

from __future__ import annotations

import inspect
from typing import Any

from remembrancer.runtime.sync_bridge import BackgroundLoop, run_inline

_LOOP = BackgroundLoop("driven-adapters")
"""One for all tests: what an adapter opens in a loop must find the same loop again."""


class Driven:
    """Turns an adapter's methods into plain calls."""

    def __init__(self, adapter: Any) -> None:
        self._adapter = adapter
        self._run = run_inline if getattr(adapter, "never_suspends", False) else _LOOP.run

    def __getattr__(self, name: str) -> Any:
        attribute = getattr(self._adapter, name)
        if not inspect.iscoroutinefunction(attribute):
            return attribute

        def call(*args: Any, **kwargs: Any) -> Any:
            return self._run(attribute(*args, **kwargs))

        return call
