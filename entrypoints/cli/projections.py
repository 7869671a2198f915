"""The commands around engines outside the log's database: ``worker``, ``rebuild`` and ``dead``."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import click

from remembrancer.entrypoints.cli.invocation import Invocation, command_options

if TYPE_CHECKING:
    from remembrancer.application.projections.worker import Report

SIGNALS = (signal.SIGTERM, signal.SIGINT)


@contextmanager
def _until_told() -> Iterator[Callable[[], bool]]:
    """What is false until the process is asked to end; whatever is at work then ends by itself."""
    told = threading.Event()
    before = {
        number: signal.signal(number, lambda _number, _frame: told.set()) for number in SIGNALS
    }
    try:
        yield told.is_set
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@click.command()
@click.option("--once", is_flag=True, help="End when all that the log holds by now is delivered.")
@click.option(
    "--metrics-port",
    type=click.IntRange(0, 65535),
    metavar="PORT",
    help="Serve metrics for Prometheus on 127.0.0.1:PORT, and /healthy for whoever restarts it.",
)
@command_options(scope=False)
def worker(call: Invocation, once: bool, metrics_port: int | None) -> int:
    """Bring an external index and graph what the log says.

    Runs until it is told to end (SIGTERM, Ctrl-C). Any number may run: what one that
    died was at is taken over by another within seconds. With --once it exits with 1 if
    something still lags.
    """
    with ExitStack() as stack:
        stop = stack.enter_context(_until_told())
        memory = stack.enter_context(call.existing())
        takers = [stack.enter_context(call.screen().working())]
        if metrics_port is not None:
            from remembrancer.entrypoints.cli.metrics import served

            takers.append(stack.enter_context(served(metrics_port)))

        def take(report: Report) -> None:
            for taker in takers:
                taker(report)

        report = memory.run_worker(stop=stop, on_report=take, once=once)
    call.answer(report.to_dict(), lambda screen: screen.report(report))
    return 1 if once and any(lag.events for lag, _ in report.tracks) else 0


@click.command()
@click.argument("projection", metavar="PROJECTION")
@command_options(scope=False)
def rebuild(call: Invocation, projection: str) -> None:
    """Empty an external engine and feed it again.

    PROJECTION is vector_index or knowledge_graph. Searches are answered by the log's own
    database meanwhile. If it is cut short, a worker goes on with it.

    What is in the log's own database is rebuilt by itself, when it is opened.
    """
    with call.existing() as memory, call.screen().working() as take:
        report = memory.rebuild(projection, on_report=take)
    call.answer(report.to_dict(), lambda screen: screen.report(report))


@click.command()
@click.option("--retry", is_flag=True, help="Try to deliver them again.")
@command_options(scope=False)
def dead(call: Invocation, retry: bool) -> int:
    """List events that an external engine would not take.

    Each with the cause. Exits with 1 if there are any (with --retry: any more).
    """
    document: dict[str, Any] = {}
    with call.existing() as memory:
        if retry:
            tried = memory.retry_dead_letters()
            document["revived"] = tried.revived
            letters = list(tried.dead)
        else:
            letters = memory.dead_letters()
    document["dead"] = [letter.to_dict() for letter in letters]
    call.answer(document, lambda screen: screen.dead_letters(letters, document.get("revived")))
    return 1 if letters else 0
