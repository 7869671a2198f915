"""Start processes to be killed, in milliseconds: a fork server preloads the modules."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.context import ForkServerProcess
from signal import SIGKILL
from typing import Any

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(["tests.helpers.preloaded"])


@contextmanager
def process(work: Callable[..., None], *arguments: Any) -> Iterator[ForkServerProcess]:
    """A process that runs ``work``; it is killed at the end of the block if it still runs."""
    started = _CONTEXT.Process(target=work, args=arguments)
    started.start()
    try:
        yield started
    finally:
        started.kill()
        started.join()
        started.close()


def was_killed(work: Callable[..., None], *arguments: Any) -> bool:
    """Run ``work`` in a process; returns whether it was killed before it finished.

    Raises:
        ChildProcessError: the process failed in another way.
    """
    with process(work, *arguments) as started:
        started.join()
        if started.exitcode not in (0, -SIGKILL):
            raise ChildProcessError(f"{work.__name__} ended with {started.exitcode}")
        return started.exitcode != 0
