"""Settings of the Neo4j graph: selection, validation before any call, TLS."""

from __future__ import annotations

import asyncio
import ssl
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from remembrancer import InvalidRequest, load_settings
from remembrancer.adapters.knowledge_graph.neo4j.connection import Connection
from remembrancer.adapters.knowledge_graph.neo4j.settings import Neo4jSettings
from remembrancer.application.inline import run_inline
from remembrancer.domain.errors import SettingsError
from remembrancer.domain.graph.graph import View
from remembrancer.testing.knowledge_graph import LATER, SCOPE
from remembrancer.wiring.container import Container
from tests.engines.bolt import DATABASE, PASSWORD, USER, BoltServer
from tests.engines.certificates import make_certificates
from tests.engines.tables import Tables


@pytest.fixture
def server() -> Iterator[BoltServer]:
    made = BoltServer({DATABASE: Tables()})
    yield made
    made.stop()


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
def encrypted(certificates: Path) -> Iterator[BoltServer]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates / "server.pem", certificates / "server.key")
    made = BoltServer({DATABASE: Tables()}, context=context)
    yield made
    made.stop()


def chosen(**options: Any) -> Any:
    section = {"provider": "neo4j", **options}
    return load_settings({"knowledge_graph": section}, environment={}).knowledge_graph.settings


def run_and_close(graph: Any, call: Callable[[Any], Any]) -> Any:
    async def use() -> Any:
        try:
            return await call(graph)
        finally:
            await graph.close()

    return asyncio.run(use())


@pytest.mark.parametrize("mode", ["inline", "threads"])
def test_settings_choose_the_graph_for_sync_and_async_memory(server: BoltServer, mode: str) -> None:
    settings = load_settings(
        {
            "audit_log": "memory",
            "knowledge_graph": {
                "provider": "neo4j",
                "uri": server.uri,
                "user": USER,
                "password": PASSWORD,
            },
        },
        environment={},
    )
    container = Container(settings=settings, mode=mode)
    graph = container.lifted_knowledge_graph()

    async def use() -> Any:
        found = await graph.entities(View(scope=SCOPE, now=LATER))
        return found, await graph.ping(), await graph.close()

    try:
        found, said, _ = run_inline(use()) if mode == "inline" else asyncio.run(use())
    finally:
        container.close()
    assert (found, said) == ([], "neo4j 5.26-stand-in")


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"uri": "http://localhost:7474"}, r"knowledge_graph.*bolt\+ssc://host:port"),
        ({"uri": "bolt://"}, "knowledge_graph.*://host:port"),
        ({"connections": 0}, "knowledge_graph.*connections"),
        ({"timeout": 0}, "knowledge_graph.*timeout"),
        ({"certificates": "ca.pem"}, r"knowledge_graph.*neo4j\+s and bolt\+s"),
        ({"uri": "bolt+s://x", "certificates": "/no/ca.pem"}, "knowledge_graph.*is not a file"),
        ({"pasword": "x"}, "knowledge_graph.pasword.*did you mean password"),
    ],
)
def test_invalid_settings_are_refused_with_the_problem(
    options: dict[str, Any], problem: str
) -> None:
    with pytest.raises(InvalidRequest, match=problem):
        chosen(**options)


def test_repr_hides_the_password() -> None:
    assert "hunter2" not in repr(chosen(password="hunter2"))


def test_missing_driver_error_names_the_package_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "neo4j", None)
    with pytest.raises(InvalidRequest, match=r"remembrancer\[neo4j\]"):
        Connection(Neo4jSettings())


def test_tls_server_is_verified_with_the_configured_authority(
    encrypted: BoltServer, certificates: Path
) -> None:
    choice = load_settings(
        {"knowledge_graph": {"provider": "neo4j"}}, environment={}
    ).knowledge_graph
    uri = encrypted.uri.replace("bolt:", "bolt+s:").replace("127.0.0.1", "localhost")

    def ping(**options: Any) -> str:
        settings = chosen(user=USER, password=PASSWORD, retry_for=0, **options)
        said: str = run_and_close(choice.adapter.build(settings), lambda graph: graph.ping())
        return said

    assert ping(uri=uri, certificates=str(certificates / "ca.pem")) == "neo4j 5.26-stand-in"
    assert ping(uri=uri.replace("bolt+s:", "bolt+ssc:")) == "neo4j 5.26-stand-in"
    with pytest.raises(SettingsError, match=r"^knowledge_graph\.uri: .*is not trusted"):
        ping(uri=uri)
