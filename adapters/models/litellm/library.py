"""litellm, imported when it is first called, and the one event loop that it is called on.

Importing litellm takes seconds and hundreds of megabytes, and its HTTP clients belong to the loop
that first used them: called from many loops, or from one after another by ``asyncio.run``, it
leaks connections and in the end uses a closed one. So there is one thread with one loop for all
of it, whatever loops or threads the callers have. The callers' loops never wait for an import.
"""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from collections.abc import Coroutine
from importlib import import_module
from importlib.util import find_spec
from typing import Any, TypeVar

from remembrancer.domain.errors import InvalidRequest

T = TypeVar("T")

QUIET = {
    # Otherwise importing it fetches a price list, and the first call to Anthropic a header list.
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "LITELLM_LOCAL_ANTHROPIC_BETA_HEADERS": "True",
    # Otherwise it reads a .env file into the environment of a host that never asked for it.
    "LITELLM_MODE": "PRODUCTION",
}
"""Set before the import, unless the host has set them."""

_lock = threading.Lock()
_loop: asyncio.AbstractEventLoop | None = None
_thread: threading.Thread | None = None


def require_litellm(port: str) -> None:
    """Look whether it is installed, without importing it.

    Raises:
        InvalidRequest: it is not.
    """
    if find_spec("litellm") is None:
        raise InvalidRequest(
            f"{port}.provider", "needs litellm; pip install 'remembrancer[litellm]'"
        )


def load() -> Any:
    """The module. A host that imported it before us keeps its own settings of it."""
    if "litellm" in sys.modules:
        return sys.modules["litellm"]
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    litellm: Any = import_module("litellm")
    # Otherwise every failure prints an advertisement to standard output.
    litellm.suppress_debug_info = True
    return litellm


async def on_the_loop(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine on litellm's loop; cancelling the wait cancels it there."""
    return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(coroutine, _running_loop()))


def _running_loop() -> asyncio.AbstractEventLoop:
    global _loop, _thread
    with _lock:
        # A fork copies the loop but not its thread.
        if _loop is None or _thread is None or not _thread.is_alive():
            _loop = asyncio.new_event_loop()
            _thread = threading.Thread(
                target=_loop.run_forever, name="remembrancer-litellm", daemon=True
            )
            _thread.start()
        return _loop
