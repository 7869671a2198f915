"""Lazy import of litellm, and the one event loop on which it is called.

Importing litellm takes seconds and hundreds of megabytes. Its HTTP clients belong to the loop that
first used them: called from several loops, or from successive ``asyncio.run``, it leaks
connections and finally uses a closed one. So one thread with one loop makes all calls, for all
callers. The import runs there too and does not block the callers' loops.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Coroutine
from importlib import import_module
from importlib.util import find_spec
from typing import Any, TypeVar

from remembrancer.application.background_loop import BackgroundLoop
from remembrancer.domain.errors import InvalidRequest

T = TypeVar("T")

QUIET = {
    # Otherwise the import downloads a price list, and the first call to Anthropic a header list.
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "LITELLM_LOCAL_ANTHROPIC_BETA_HEADERS": "True",
    # Otherwise litellm loads a .env file into the environment of the host.
    "LITELLM_MODE": "PRODUCTION",
}
"""Environment variables set before the import, unless the host has set them."""

_loop = BackgroundLoop("litellm", forks=True)


def require_litellm(port: str) -> None:
    """Check that litellm is installed, without importing it.

    Raises:
        InvalidRequest: litellm is not installed.
    """
    if find_spec("litellm") is None:
        raise InvalidRequest(
            f"{port}.provider", "needs litellm; pip install 'remembrancer[litellm]'"
        )


def load() -> Any:
    """Import and return litellm. If the host imported it before, its settings are kept."""
    if "litellm" in sys.modules:
        return sys.modules["litellm"]
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    litellm: Any = import_module("litellm")
    # Otherwise every failure prints a help text to standard output.
    litellm.suppress_debug_info = True
    return litellm


async def on_the_loop(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine on litellm's loop; cancelling the await cancels the coroutine."""
    return await _loop.run_async(coroutine)
