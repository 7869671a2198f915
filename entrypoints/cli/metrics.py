"""Metrics of a worker for Prometheus and a health endpoint for its supervisor, over HTTP on
localhost.

``prometheus-client`` is imported on use.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from remembrancer import InvalidRequest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

    from prometheus_client.metrics_core import Metric

    from remembrancer.types import Report

ADDRESS = "127.0.0.1"
"""For access from other machines, put a proxy with authentication in front."""

HEALTH = "/healthy"
"""Path of the health endpoint."""

STALE = 30.0
"""Seconds without a report after which a worker is unhealthy: it hangs, or can't reach the log. It
reports every second. An engine that does not answer does not delay reports: a restart of the worker
would not help.
"""

LABELS = ("projection", "partition")


class _Latest:
    """A Prometheus collector of the last report.

    Args:
        now: a monotonic clock, in seconds.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self.report: Report | None = None
        self._now = now
        self._since = now()

    def take(self, report: Report) -> None:
        """Store a report."""
        self.report, self._since = report, self._now()

    def health(self) -> tuple[str, str]:
        """An HTTP status, and the reason."""
        age = self._now() - self._since
        if age > STALE:
            return "503 Service Unavailable", f"no report for {age:.0f} s"
        if self.report is None:
            return "503 Service Unavailable", "no report yet"
        return "200 OK", f"reported {age:.0f} s ago"

    def collect(self) -> Iterable[Metric]:
        """The metrics of the last report; none before the first one."""
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

        report = self.report
        if report is None:
            return
        workers = GaugeMetricFamily("remembrancer_workers", "Live workers.")
        workers.add_metric([], report.workers)
        yield workers
        gauges = {
            "position": "Last log position applied by the engine.",
            "lag_events": "Log events not applied by the engine yet.",
            "lag_seconds": "Age of the oldest log event not applied by the engine yet.",
            "dead_letters": "Events that the engine refused.",
        }
        counters = {
            "batches": "Batches of events delivered by this worker.",
            "delivered_events": "Events delivered by this worker.",
            "failures": "Deliveries of this worker that the engine did not answer.",
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
        for lag, counts in report.partitions:
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
    """A WSGI app: health at ``HEALTH``, metrics at all other paths."""

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
    """Serve metrics and health during the block, which gets a function to pass reports to.

    Args:
        port: port on 127.0.0.1; 0 for any free port.
        now: a monotonic clock, in seconds.

    Raises:
        InvalidRequest: the library is missing, or the port is in use.
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
