"""The commands for external engines: ``worker``, ``rebuild`` and ``dead``."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import click

from remembrancer.entrypoints.cli.invocation import Invocation, command_options

if TYPE_CHECKING:
    from remembrancer.types import Report

READ_MODELS = "read_models"
SIGNALS = (signal.SIGTERM, signal.SIGINT)


@contextmanager
def _stop_on_signal() -> Iterator[Callable[[], bool]]:
    """A function that returns whether SIGTERM or SIGINT was received."""
    stopped = threading.Event()
    before = {
        number: signal.signal(number, lambda _number, _frame: stopped.set()) for number in SIGNALS
    }
    try:
        yield stopped.is_set
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@click.command()
@click.option("--once", is_flag=True, help="End when all current events of the log are delivered.")
@click.option(
    "--metrics-port",
    type=click.IntRange(0, 65535),
    metavar="PORT",
    help="Serve Prometheus metrics on 127.0.0.1:PORT, and a health check at /healthy.",
)
@command_options(scope=False)
def worker(call: Invocation, once: bool, metrics_port: int | None) -> int:
    """Deliver log events to the external index and graph.

    Runs until SIGTERM or Ctrl-C. Any number of workers may run: if one dies, another takes
    over its partitions within seconds. With --once it exits with 1 if an engine still lags.
    """
    with ExitStack() as stack:
        stop = stack.enter_context(_stop_on_signal())
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
    return 1 if once and any(lag.events for lag, _ in report.partitions) else 0


@click.command()
@click.argument("projection", metavar="PROJECTION")
@command_options(scope=False)
def rebuild(call: Invocation, projection: str) -> None:
    """Empty an external engine and deliver the whole log again.

    PROJECTION is vector_index or knowledge_graph. Until it has caught up, searches use the
    log's own database. If the command is interrupted, a worker continues the rebuild.

    With read_models, the facts, the index and the graph in the log's own database are built
    again, for the embedder in the settings. Texts without a vector of this embedder are
    embedded. Writers wait meanwhile, readers do not.
    """
    with call.existing() as memory:
        if projection == READ_MODELS:
            report, embedded = memory.rebuild(projection), memory.refill()
            call.answer(
                {**report.to_dict(), "embedded": embedded},
                lambda screen: screen.line(f"Rebuilt from the log; {embedded:,} texts embedded."),
            )
            return
        with call.screen().working() as take:
            report = memory.rebuild(projection, on_report=take)
    call.answer(report.to_dict(), lambda screen: screen.report(report))


@click.command()
@click.option("--retry", is_flag=True, help="Deliver them again.")
@command_options(scope=False)
def dead(call: Invocation, retry: bool) -> int:
    """List dead letters: events that an external engine refused.

    Each with its cause. Exits with 1 if there are any (with --retry: any left).
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
