"""The files in docs/deploy: syntax and consistency. No container is started."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from remembrancer.application.projections.worker import Report
from remembrancer.entrypoints.cli.metrics import served
from remembrancer.wiring.settings import load_settings

DEPLOY = Path(__file__).parents[2] / "docs" / "deploy"
SECRETS = {"POSTGRES_PASSWORD": "p0stgres", "WEAVIATE_API_KEY": "k3y", "NEO4J_PASSWORD": "n3o4j"}


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text(encoding="utf-8"))
    return content


def filled_in(text: str) -> str:
    """A value with its variables replaced by secrets or defaults, as compose does it."""
    text = re.sub(r"\$\{(\w+):\?[^}]*\}", lambda found: SECRETS[found[1]], text)
    return re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", text)


def test_every_service_has_a_fixed_version_a_health_check_and_a_restart_policy(
    compose: dict[str, Any],
) -> None:
    for name, service in compose["services"].items():
        image = filled_in(service["image"])
        assert re.search(r":\d[\w.-]*$", image), f"{name}: {image} names no version"
        assert "latest" not in image
        assert service["healthcheck"]["test"][0] in ("CMD", "CMD-SHELL"), name
        assert service["restart"] == "unless-stopped", name


def test_health_check_of_the_worker_asks_its_metrics_port(compose: dict[str, Any]) -> None:
    worker = compose["services"]["worker"]
    port = int(worker["command"][worker["command"].index("--metrics-port") + 1])
    check = worker["healthcheck"]["test"]
    assert check[:3] == ["CMD", "python", "-c"]
    assert f":{port}/" in check[3]
    with socket.create_server(("127.0.0.1", 0)) as free:
        here = free.getsockname()[1]
    asked = [sys.executable, "-c", check[3].replace(f":{port}/", f":{here}/")]

    with served(here) as take:
        assert subprocess.run(asked, check=False, stderr=subprocess.DEVNULL).returncode == 1
        take(Report(partitions=(), workers=1))
        assert subprocess.run(asked, check=False).returncode == 0


def test_every_port_is_bound_to_loopback(compose: dict[str, Any]) -> None:
    ports = [port for service in compose["services"].values() for port in service.get("ports", ())]

    assert ports
    assert all(str(port).startswith("127.0.0.1:") for port in ports)


def test_every_used_volume_is_declared(compose: dict[str, Any]) -> None:
    used = {
        volume.partition(":")[0]
        for service in compose["services"].values()
        for volume in service.get("volumes", ())
        if not volume.startswith("./")
    }

    assert used == set(compose["volumes"])


def test_no_secret_is_in_the_compose_file(compose: dict[str, Any]) -> None:
    for service in compose["services"].values():
        for name, value in service["environment"].items():
            if re.search(r"PASSWORD|KEYS?$|AUTH$|DSN", name):
                assert "${" in value, name


def test_telemetry_of_the_engines_is_off(compose: dict[str, Any]) -> None:
    services = compose["services"]

    assert services["weaviate"]["environment"]["DISABLE_TELEMETRY"] == "true"
    assert services["neo4j"]["environment"]["NEO4J_dbms_usage__report_enabled"] == "false"


def test_image_has_a_fixed_version() -> None:
    (base,) = re.findall(r"^FROM (\S+)$", (DEPLOY / "Dockerfile").read_text(), re.MULTILINE)

    assert re.search(r":\d+\.\d+\.\d+", base)


def test_settings_load_with_the_variables_of_the_worker(compose: dict[str, Any]) -> None:
    environment = {
        name: filled_in(value)
        for name, value in compose["services"]["worker"]["environment"].items()
    }

    settings = load_settings(DEPLOY / "remembrancer.toml", environment=environment)

    assert settings.audit_log.settings.dsn == (
        "postgresql://remembrancer:p0stgres@postgres:5432/remembrancer"
    )
    assert settings.vector_index.settings.api_key == "k3y"
    assert settings.knowledge_graph.settings.password == "n3o4j"
    services = compose["services"]
    assert settings.vector_index.settings.host in services
    assert settings.knowledge_graph.settings.uri.split("//")[1].split(":")[0] in services
