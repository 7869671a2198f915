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
        "memledger.memory",
        "memledger.adapters.audit_log.postgres",
        "memledger.adapters.audit_log.sqlite",
        "memledger.adapters.embedder.hashing",
        "memledger.adapters.knowledge_graph.postgres",
        "memledger.adapters.postgres.database",
        "memledger.adapters.postgres.read_models",
        "memledger.adapters.sqlite.read_models",
        "memledger.adapters.vector_index.postgres",
        "memledger.adapters.vector_index.sqlite",
        "memledger.application.rules.extractor",
        "memledger.application.rules.reconciler",
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
