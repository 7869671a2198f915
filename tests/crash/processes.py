"""Processes to be killed, started in some milliseconds: a server that has imported everything
forks them.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.context import ForkServerProcess
from signal import SIGKILL
from typing import Any

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(
    [
        "remembrancer.memory",
        "remembrancer.adapters.audit_log.postgres",
        "remembrancer.adapters.audit_log.sqlite",
        "remembrancer.adapters.embedder.hashing",
        "remembrancer.adapters.knowledge_graph.postgres",
        "remembrancer.adapters.postgres.database",
        "remembrancer.adapters.postgres.read_models",
        "remembrancer.adapters.sqlite.read_models",
        "remembrancer.adapters.vector_index.postgres",
        "remembrancer.adapters.vector_index.sqlite",
        "remembrancer.application.rules.extractor",
        "remembrancer.application.rules.reconciler",
        "sqlite_utils",
    ]
)


@contextmanager
def process(work: Callable[..., None], *arguments: Any) -> Iterator[ForkServerProcess]:
    """A process that does ``work``, and is killed at the end of the block if it still runs."""
    started = _CONTEXT.Process(target=work, args=arguments)
    started.start()
    try:
        yield started
    finally:
        started.kill()
        started.join()
        started.close()


def was_killed(work: Callable[..., None], *arguments: Any) -> bool:
    """Let a process do ``work``; whether it was killed before it had finished.

    Raises:
        ChildProcessError: it failed in another way.
    """
    with process(work, *arguments) as started:
        started.join()
        if started.exitcode not in (0, -SIGKILL):
            raise ChildProcessError(f"{work.__name__} ended with {started.exitcode}")
        return started.exitcode != 0
