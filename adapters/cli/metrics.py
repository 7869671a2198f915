"""What a worker sees and does, for Prometheus: text over HTTP on this machine alone.

``prometheus-client`` is imported when it is asked for.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from memledger.domain.errors import InvalidRequest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from prometheus_client.metrics_core import Metric

    from memledger.application.working import Report

ADDRESS = "127.0.0.1"
"""Whoever is to read them from elsewhere puts something in front that knows who may."""

LABELS = ("projection", "partition")


class _Latest:
    """A collector of the last report."""

    def __init__(self) -> None:
        self.report: Report | None = None

    def collect(self) -> Iterable[Metric]:
        """The report as metrics; none before the first one."""
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

        report = self.report
        if report is None:
            return
        workers = GaugeMetricFamily("memledger_workers", "Workers that are alive.")
        workers.add_metric([], report.workers)
        yield workers
        gauges = {
            "position": "The last position of the log that the engine holds.",
            "lag_events": "Events of the log that the engine does not hold yet.",
            "lag_seconds": "Age of the oldest event that the engine does not hold yet.",
            "dead_letters": "Events that the engine would not take.",
        }
        counters = {
            "batches": "Pages of events that this worker has delivered.",
            "delivered_events": "Events that this worker has delivered.",
            "failures": "Times that the engine did not answer this worker.",
        }
        families: dict[str, Metric] = {
            **{
                name: GaugeMetricFamily(f"memledger_projection_{name}", what, labels=LABELS)
                for name, what in gauges.items()
            },
            **{
                name: CounterMetricFamily(f"memledger_projection_{name}", what, labels=LABELS)
                for name, what in counters.items()
            },
        }
        for lag, counts in report.tracks:
            values = {
                "position": lag.position,
                "lag_events": lag.events,
                "lag_seconds": lag.seconds,
                "dead_letters": lag.dead,
                "batches": counts.batches,
                "delivered_events": counts.delivered,
                "failures": counts.failures,
            }
            for name, value in values.items():
                family = families[name]
                suffix = "_total" if name in counters else ""
                labels = {"projection": lag.projection, "partition": str(lag.partition)}
                family.add_sample(f"{family.name}{suffix}", labels, float(value))
        yield from families.values()


@contextmanager
def served(port: int) -> Iterator[Callable[[Report], None]]:
    """Serve metrics for the time of the block, which gets what takes reports.

    Args:
        port: on 127.0.0.1; 0 lets the system choose.

    Raises:
        InvalidRequest: the library is missing, or the port is taken.
    """
    try:
        from prometheus_client import CollectorRegistry, start_http_server
    except ImportError as error:
        raise InvalidRequest(
            "--metrics-port", "needs prometheus-client; pip install 'memledger[metrics]'"
        ) from error
    registry, latest = CollectorRegistry(), _Latest()
    registry.register(latest)
    try:
        server, thread = start_http_server(port, addr=ADDRESS, registry=registry)
    except OSError as error:
        raise InvalidRequest("--metrics-port", f"{port} can't be used: {error}") from error

    def take(report: Report) -> None:
        latest.report = report

    try:
        yield take
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
