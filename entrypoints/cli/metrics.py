"""What a worker sees and does, for Prometheus, and whether it does, for whoever restarts it: text
over HTTP on this machine alone.

``prometheus-client`` is imported when it is asked for.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from remembrancer.domain.errors import InvalidRequest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

    from prometheus_client.metrics_core import Metric

    from remembrancer.application.projections.worker import Report

ADDRESS = "127.0.0.1"
"""Whoever is to read them from elsewhere puts something in front that knows who may."""

HEALTH = "/healthy"
"""Where one asks whether the worker works."""

STALE = 30.0
"""Seconds without a report after which a worker counts as stuck, or as cut off from the log; it
makes one every second. An engine that is away does not hold it up, and no restart brings it back.
"""

LABELS = ("projection", "partition")


class _Latest:
    """A collector of the last report.

    Args:
        now: a clock, in seconds, that is never put back.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self.report: Report | None = None
        self._now = now
        self._since = now()

    def take(self, report: Report) -> None:
        """Keep a report."""
        self.report, self._since = report, self._now()

    def health(self) -> tuple[str, str]:
        """An HTTP status, and why."""
        age = self._now() - self._since
        if age > STALE:
            return "503 Service Unavailable", f"no report for {age:.0f} s"
        if self.report is None:
            return "503 Service Unavailable", "no report yet"
        return "200 OK", f"reported {age:.0f} s ago"

    def collect(self) -> Iterable[Metric]:
        """The report as metrics; none before the first one."""
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

        report = self.report
        if report is None:
            return
        workers = GaugeMetricFamily("remembrancer_workers", "Workers that are alive.")
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
                name: GaugeMetricFamily(f"remembrancer_projection_{name}", what, labels=LABELS)
                for name, what in gauges.items()
            },
            **{
                name: CounterMetricFamily(f"remembrancer_projection_{name}", what, labels=LABELS)
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


def _answering(latest: _Latest, metrics: WSGIApplication) -> WSGIApplication:
    """Health where it is asked for, and metrics elsewhere."""

    def answer(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if environ.get("PATH_INFO") != HEALTH:
            return metrics(environ, start_response)
        status, why = latest.health()
        start_response(status, [("Content-Type", "text/plain; charset=utf-8")])
        return [f"{why}\n".encode()]

    return answer


@contextmanager
def served(
    port: int, now: Callable[[], float] = time.monotonic
) -> Iterator[Callable[[Report], None]]:
    """Serve metrics and health for the time of the block, which gets what takes reports.

    Args:
        port: on 127.0.0.1; 0 lets the system choose.
        now: a clock, in seconds, that is never put back.

    Raises:
        InvalidRequest: the library is missing, or the port is taken.
    """
    try:
        from prometheus_client import CollectorRegistry, make_wsgi_app, start_http_server
    except ImportError as error:
        raise InvalidRequest(
            "--metrics-port", "needs prometheus-client; pip install 'remembrancer[metrics]'"
        ) from error
    registry, latest = CollectorRegistry(), _Latest(now)
    registry.register(latest)
    try:
        server, thread = start_http_server(port, addr=ADDRESS, registry=registry)
    except OSError as error:
        raise InvalidRequest("--metrics-port", f"{port} can't be used: {error}") from error
    server.set_app(_answering(latest, make_wsgi_app(registry)))
    try:
        yield latest.take
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
