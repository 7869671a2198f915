"""The commands for external engines, and a worker in its own process."""

from __future__ import annotations

import re
import signal
import socket
import sqlite3
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from remembrancer.application.projections.worker import Report
from remembrancer.entrypoints.cli.metrics import STALE, served
from tests.helpers.command_line import CommandLine, on_terminal, start
from tests.helpers.waiting import PATIENCE, until

pytestmark = pytest.mark.slow


@pytest.fixture
def engine(database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An external index, chosen by variables, that only workers fill."""
    path = tmp_path / "engine.db"
    monkeypatch.setenv("REMEMBRANCER_VECTOR_INDEX", "remembrancer.testing.file_index:adapter")
    monkeypatch.setenv("REMEMBRANCER_VECTOR_INDEX__PATH", str(path))
    monkeypatch.setenv("REMEMBRANCER_PROJECTIONS__WAIT", "0")
    monkeypatch.setenv("REMEMBRANCER_PROJECTIONS__LEASE", "1")
    return path


def held(engine: Path) -> int:
    """The number of documents in an engine."""
    if not engine.exists():
        return 0
    with closing(sqlite3.connect(engine)) as connection:
        try:
            return int(connection.execute("SELECT count(*) FROM index_document").fetchone()[0])
        except sqlite3.OperationalError:
            return 0


@pytest.fixture
def worker() -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    started: list[subprocess.Popen[bytes]] = []

    def run(*options: str) -> subprocess.Popen[bytes]:
        started.append(start("worker", *options))
        return started[-1]

    yield run
    for process in started:
        process.kill()
        process.communicate()


def add(remembrancer: CommandLine, text: str) -> dict[str, object]:
    receipt: dict[str, object] = remembrancer("add", text, "--user", "ana", "--json").document[
        "receipt"
    ]
    return receipt


def test_worker_once_delivers_and_reports_positions(
    remembrancer: CommandLine, engine: Path
) -> None:
    assert add(remembrancer, "I like tea.")["lagging"] == ["vector_index"]
    before = remembrancer("stats", "--json").document["lags"]
    assert (before[0]["position"], before[0]["events"]) == (0, 5)
    assert re.search(r"vector_index at +0 of 5, 5 events and", remembrancer("stats").out)
    outcome = remembrancer("worker", "--once", "--json")
    assert outcome.code == 0
    assert outcome.document["projections"][0]["delivered"] == 5
    assert held(engine) == 1
    assert remembrancer("search", "tea", "--user", "ana", "--json").document["degraded"] == []
    assert remembrancer("worker", "--once").out == "vector_index: at 5 of 5; 0 delivered\n"


def test_rebuild_fills_the_engine_again(remembrancer: CommandLine, engine: Path) -> None:
    add(remembrancer, "I like tea.")
    remembrancer("worker", "--once")
    with closing(sqlite3.connect(engine)) as connection, connection:
        connection.execute("DELETE FROM index_document")
    assert remembrancer("rebuild", "vector_index").code == 0
    assert held(engine) == 1


def test_rebuild_of_a_missing_engine_is_refused(remembrancer: CommandLine, engine: Path) -> None:
    add(remembrancer, "I like tea.")
    outcome = remembrancer("rebuild", "knowledge_graph")
    assert outcome.code == 1
    assert "there are: vector_index, read_models" in outcome.err


def test_empty_dead_letter_list_is_reported(remembrancer: CommandLine, engine: Path) -> None:
    add(remembrancer, "I like tea.")
    assert remembrancer("dead").out == "No dead letters.\n"
    assert remembrancer("dead", "--retry", "--json").document == {"revived": 0, "dead": []}


def test_worker_without_an_engine_is_refused(remembrancer: CommandLine, database: Path) -> None:
    add(remembrancer, "I like tea.")
    outcome = remembrancer("worker", "--once")
    assert outcome.code == 1
    assert "there is no external projection" in outcome.err


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_worker_exits_cleanly_on_a_signal(
    remembrancer: CommandLine,
    engine: Path,
    worker: Callable[..., subprocess.Popen[bytes]],
    number: signal.Signals,
) -> None:
    add(remembrancer, "I like tea.")
    process = worker()
    until(lambda: held(engine) == 1)
    process.send_signal(number)
    out, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, err
    assert out.startswith(b"vector_index: at 5 of 5; 5 delivered")
    assert remembrancer("stats", "--json").document["lags"][0]["owner"] is None


def test_another_worker_takes_over_from_a_killed_one(
    remembrancer: CommandLine, engine: Path, worker: Callable[..., subprocess.Popen[bytes]]
) -> None:
    add(remembrancer, "I like tea.")
    first = worker()
    until(lambda: held(engine) == 1)
    first.kill()
    worker()
    add(remembrancer, "I like mate.")
    until(lambda: remembrancer("stats", "--json").document["lags"][0]["events"] == 0)
    assert held(engine) == 2


def test_metrics_are_served_on_loopback(
    remembrancer: CommandLine, engine: Path, worker: Callable[..., subprocess.Popen[bytes]]
) -> None:
    add(remembrancer, "I like tea.")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    worker("--metrics-port", str(port))

    def metrics() -> str:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
                text: str = answer.read().decode()
        except OSError:
            return ""
        return text

    of = '{partition="0",projection="vector_index"}'
    until(lambda: f"remembrancer_projection_delivered_events_total{of} 5.0" in metrics())
    until(lambda: f"remembrancer_projection_lag_events{of} 0.0" in metrics())
    for line in (
        f"remembrancer_projection_position{of} 5.0",
        f"remembrancer_projection_lag_seconds{of} 0.0",
        f"remembrancer_projection_dead_letters{of} 0.0",
        f"remembrancer_projection_failures_total{of} 0.0",
        f"remembrancer_projection_batches_total{of} 1.0",
        "remembrancer_workers 1.0",
    ):
        assert line in metrics()


def health(port: int) -> tuple[int, str]:
    """The status and body of the health check; status 0 without an answer."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthy", timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()
    except OSError:
        return 0, ""


def test_running_worker_is_healthy(
    remembrancer: CommandLine, engine: Path, worker: Callable[..., subprocess.Popen[bytes]]
) -> None:
    add(remembrancer, "I like tea.")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    worker("--metrics-port", str(port))
    until(lambda: health(port)[0] == 200)


def test_worker_without_recent_reports_is_unhealthy() -> None:
    seconds = 0.0
    report = Report(partitions=(), workers=1)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with served(port, now=lambda: seconds) as take:
        assert health(port) == (503, "no report yet\n")
        take(report)
        seconds = STALE
        assert health(port) == (200, "reported 30 s ago\n")
        seconds = STALE + 1
        assert health(port) == (503, "no report for 31 s\n")
        take(report)
        assert health(port)[0] == 200


def test_used_metrics_port_is_reported(remembrancer: CommandLine, engine: Path) -> None:
    add(remembrancer, "I like tea.")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        outcome = remembrancer("worker", "--once", "--metrics-port", port)
    assert outcome.code == 1
    assert f"--metrics-port: {port} can't be used" in outcome.err


def test_missing_metrics_library_is_reported_with_the_install_command(
    remembrancer: CommandLine, engine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(remembrancer, "I like tea.")
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    outcome = remembrancer("worker", "--once", "--metrics-port", "0")
    assert outcome.code == 1
    assert "pip install 'remembrancer[metrics]'" in outcome.err


def test_worker_prints_a_table_on_a_terminal(remembrancer: CommandLine, engine: Path) -> None:
    add(remembrancer, "I like tea.")
    seen = on_terminal("worker", "--once").out
    assert "events behind" in seen
    assert "vector_index: at 5 of 5" in seen
