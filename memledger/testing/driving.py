"""Calling an adapter in a test, whichever way its methods are written."""

from __future__ import annotations

import asyncio
import inspect
from typing import Any


class Driven:
    """Turns an adapter's methods into plain calls."""

    def __init__(self, adapter: Any) -> None:
        self._adapter = adapter

    def __getattr__(self, name: str) -> Any:
        attribute = getattr(self._adapter, name)
        if not inspect.iscoroutinefunction(attribute):
            return attribute

        def call(*args: Any, **kwargs: Any) -> Any:
            return asyncio.run(attribute(*args, **kwargs))

        return call
