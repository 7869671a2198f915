"""Signals of the processes that tests start."""

from __future__ import annotations

import signal


def let_started_processes_be_interrupted() -> None:
    """Give all processes that this one starts the default action for SIGINT.

    A shell ignores SIGINT in its background jobs, and a started process inherits that. A handler is
    not inherited, so a handler that does nothing keeps this process as it was. (A ``preexec_fn``
    for each process would not be safe: the tests have threads.)
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, lambda _number, _frame: None)
