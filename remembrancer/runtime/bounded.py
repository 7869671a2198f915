"""Calls that are given up after a time: what a closing memory asks of engines that may hang."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout


def bounded(call: Callable[[], object], name: str, seconds: float) -> tuple[str, ...]:
    """Call and wait for at most ``seconds``.

    Returns:
        ``name`` if the call has not returned by then; it is left behind in a daemon thread.

    Raises:
        Exception: whatever the call raises in time.
    """
    ended = _started(call, name)
    try:
        ended.result(seconds)
    except FutureTimeout:
        if ended.done():
            raise
        return (name,)
    return ()


def _started(call: Callable[[], object], name: str) -> Future[None]:
    future: Future[None] = Future()

    def run() -> None:
        try:
            call()
        except BaseException as error:  # noqa: BLE001 - it is raised where one waits
            future.set_exception(error)
        else:
            future.set_result(None)

    threading.Thread(target=run, name=f"remembrancer-close {name}", daemon=True).start()
    return future
