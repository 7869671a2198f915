"""No part of a secret in the settings comes out: not in errors and their tracebacks, log records,
reprs, statistics or the report of ``remembrancer doctor``.

Each adapter gets a secret in each setting that can hold one, in each form in which people write it.
Servers that refuse a request quote the secret, as real ones do.
"""

from __future__ import annotations

import asyncio
import logging
import re
import traceback
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import attrs
import pytest
from psycopg import conninfo

from remembrancer import InvalidRequest, Memory, load_settings
from remembrancer.adapters.redaction import Secrets
from remembrancer.adapters.stores.postgres.settings import PostgresSettings
from remembrancer.adapters.vector_index.qdrant.connection import Connection, QdrantSettings
from remembrancer.doctor import examine
from remembrancer.domain.jsonable import to_jsonable
from remembrancer.wiring.registry import BUILT_IN, PORTS, adapter_named
from tests.engines.bolt import DATABASE, BoltServer
from tests.engines.echo import echo_server
from tests.engines.tables import Tables

SECRET = "qXz7 Jw%kV@b3/pR9=Y?uT6"
"""With all characters that end a part of a URL or of a connection string."""

RUN = 4

SHOWN = frozenset(
    "path database schema table collection store narrow model fallbacks user certificates "
    "cache_dir instructions include exclude categories".split()
)
"""Text settings that are no secrets, and are printed."""

ADDRESSES = frozenset({"dsn", "url", "uri", "base_url", "host", "grpc_host"})

NOWHERE = "http://127.0.0.1:1/v1"

NEEDED: Mapping[str, Mapping[str, Any]] = {
    "key_vault.sqlite": {"path": "keys.db"},
    "embedder.litellm": {"model": "openai/embed", "dimension": 8, "base_url": NOWHERE},
    "language_model.litellm": {"model": "openai/chat", "base_url": NOWHERE},
    "reranker.litellm": {"model": "cohere/rerank", "base_url": NOWHERE},
    "vector_index.langchain": {"store": "none:none"},
    "vector_index.weaviate": {"port": 1},
    "knowledge_graph.neo4j": {"uri": "bolt://127.0.0.1:1"},
}
"""Settings without a default, and addresses where no server is."""

QUICK: Mapping[str, Any] = {
    "startup_wait": 0,
    "retries": 0,
    "retry_for": 0,
    "timeout": 5,
    "write_timeout": 5,
    "connect_timeout": 0.2,
}


def builtin() -> Iterator[tuple[str, str, type[Any]]]:
    for port, adapters in BUILT_IN.items():
        for name in adapters:
            yield port, name, adapter_named(port, name).settings


def can_hold_secrets(each: attrs.Attribute[Any]) -> bool:
    return each.repr is False or each.name in ADDRESSES


ENCODED = quote(SECRET, safe="")
URLS = (
    SECRET,
    f"{{}}://ann:{SECRET}@127.0.0.1:1/db",
    f"{{}}://ann:{ENCODED}@127.0.0.1:1",
    f"{{}}://ann:{ENCODED}",
)
DSNS = (
    SECRET,
    f"postgresql://ann:{SECRET}@127.0.0.1:1/db",
    f"postgresql://ann:{ENCODED}@127.0.0.1:1/db",
    f"postgresql://ann:{ENCODED}",
    "postgresql://ann:qXz7JwkV/b3pR9@127.0.0.1:1/db",
    "postgresql://ann:1234/b3pR9YuT6@127.0.0.1:1/db",
    f"host=127.0.0.1 port=1 password={SECRET}",
    f"host=127.0.0.1 port=1 password = '{SECRET}'",
    "host=127.0.0.1 port=1 password=" + SECRET.replace(" ", r"\ "),
    f"host=127.0.0.1 port=1 password='{SECRET}",
)
FORMS: Mapping[str, Sequence[object]] = {
    "dsn": DSNS,
    "url": [url.format("http") for url in URLS],
    "base_url": [url.format("http") for url in URLS],
    "uri": [url.format(scheme) for url in URLS for scheme in ("bolt", "neo4j")],
    "host": (f"ann:{SECRET}@127.0.0.1", f"ann:{ENCODED}", f"http://ann:{ENCODED}@127.0.0.1"),
    "grpc_host": (f"ann:{SECRET}@127.0.0.1", f"ann:{ENCODED}"),
    "headers": ((f"X-Key: {SECRET}",), (f"Authorization: Bearer {SECRET}",), (SECRET,)),
    "parameters": ({"user": SECRET}, {"extra_headers": {"X-Key": SECRET}}),
}
"""How people write a secret into a setting; other secrets are written as they are."""


CASES = [
    pytest.param(port, name, each.name, value, id=f"{port}-{name}-{each.name}-{number}")
    for port, name, settings in builtin()
    for each in attrs.fields(settings)
    if can_hold_secrets(each)
    for number, value in enumerate(FORMS.get(each.name, (SECRET,)))
]


def config_of(part: str, name: str, **settings: Any) -> dict[str, Any]:
    known = {each.name for each in attrs.fields(adapter_named(part, name).settings)}
    quick = {key: value for key, value in QUICK.items() if key in known}
    section = {"provider": name, **NEEDED.get(f"{part}.{name}", {}), **quick, **settings}
    return {part: section, "grace": 0}


def _stands_in(text: str, part: str) -> bool:
    if re.fullmatch("[0-9a-f]+", part):
        # Random ids and times contain any four of these digits now and then.
        return re.search(rf"(?<![0-9a-f]){part}(?![0-9a-f])", text) is not None
    return part in text


def leaked(text: str) -> list[str]:
    """The parts of the secret in a text."""
    forms = {SECRET, quote(SECRET, safe=""), "1234/b3pR9YuT6", "qXz7JwkV/b3pR9"}
    forms |= {repr(form)[1:-1] for form in forms}
    return sorted(
        {
            form[start : start + RUN]
            for form in forms
            for start in range(len(form) - RUN + 1)
            if _stands_in(text, form[start : start + RUN])
        }
    )


def told(error: BaseException) -> str:
    return f"{error!r}\n{''.join(traceback.format_exception(error))}"


def everything_said(config: Mapping[str, Any]) -> Iterator[str]:
    """All texts about a memory with these settings."""
    try:
        settings = load_settings(config, environment={})
    except InvalidRequest as error:
        yield told(error)
    else:
        yield f"{settings!r} {settings}"
        yield from _used(settings)
    report = examine(config, environment={}, call=True)
    yield f"{report!r} {to_jsonable(report)}"


def _used(settings: Any) -> Iterator[str]:
    try:
        with Memory(settings=settings) as memory:
            yield repr(memory)
            for call in (
                lambda: memory.add("I live in Paris", user_id="ann"),
                lambda: memory.search("Where do I live?", user_id="ann"),
                memory.stats,
            ):
                try:
                    yield repr(call())
                except Exception as error:  # noqa: BLE001 - every exception is looked at
                    yield told(error)
    except Exception as error:  # noqa: BLE001 - every exception is looked at
        yield told(error)


def assert_nothing_leaks(config: Mapping[str, Any], caplog: pytest.LogCaptureFixture) -> str:
    with caplog.at_level(logging.INFO):
        texts = "\n".join([*everything_said(config), caplog.text])
    assert leaked(texts) == [], texts
    return texts


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_each_text_setting_is_a_secret_an_address_or_listed_as_shown() -> None:
    unknown = [
        f"{port}.{name}.{each.name}"
        for port, name, settings in builtin()
        for each in attrs.fields(settings)
        if each.type in (str, "str", tuple[str, ...], "tuple[str, ...]")
        if not can_hold_secrets(each)
        if each.name not in SHOWN
    ]

    assert unknown == []


@pytest.mark.parametrize(("port", "name", "field", "value"), CASES)
def test_secret_in_a_setting_is_never_shown(
    port: str, name: str, field: str, value: object, caplog: pytest.LogCaptureFixture
) -> None:
    assert_nothing_leaks(config_of(port, name, **{field: value}), caplog)


@pytest.mark.parametrize("port", PORTS)
@pytest.mark.parametrize(
    "value", [f"postgresql://ann:{SECRET}@127.0.0.1/db", f"host=x password={SECRET}"]
)
def test_address_in_place_of_a_provider_is_not_shown(
    port: str, value: str, caplog: pytest.LogCaptureFixture
) -> None:
    assert_nothing_leaks({port: value}, caplog)


def test_address_in_place_of_a_file_is_not_shown(tmp_path: Path) -> None:
    address = f"postgresql://ann:{SECRET}@127.0.0.1/db"
    for call in (lambda: Memory(address), lambda: load_settings(address)):
        with pytest.raises(InvalidRequest, match="is an address") as refused:
            call()
        assert leaked(told(refused.value)) == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "line", [f"dsn: {SECRET}: x", f'dsn: "{SECRET}', "dsn: *qXz7JwkV", "dsn: !qXz7JwkV x"]
)
def test_damaged_yaml_is_refused_without_its_text(tmp_path: Path, line: str) -> None:
    file = tmp_path / "settings.yaml"
    file.write_text(f"audit_log:\n  provider: postgres\n  {line}\n")

    with pytest.raises(InvalidRequest, match=r"is not YAML: line [34]") as refused:
        load_settings(file)

    assert leaked(told(refused.value)) == []


@pytest.mark.parametrize(
    ("port", "name", "settings"),
    [
        ("vector_index", "weaviate", {"port": "{}", "api_key": SECRET}),
        ("vector_index", "weaviate", {"port": "{}", "headers": (f"X-Key: {SECRET}",)}),
        ("embedder", "litellm", {"base_url": "http://127.0.0.1:{}/v1", "api_key": SECRET}),
        ("language_model", "litellm", {"base_url": "http://127.0.0.1:{}/v1", "api_key": SECRET}),
        ("reranker", "litellm", {"base_url": "http://127.0.0.1:{}/v1", "api_key": SECRET}),
    ],
)
def test_secret_that_a_server_quotes_is_cut(
    port: str, name: str, settings: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    with echo_server(SECRET) as at:
        filled = {
            key: value.format(at) if isinstance(value, str) and "{}" in value else value
            for key, value in settings.items()
        }
        texts = assert_nothing_leaks(config_of(port, name, **filled), caplog)

    assert "***" in texts


def test_key_from_the_environment_that_a_server_quotes_is_cut(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("COHERE_API_KEY", SECRET)
    with echo_server(SECRET) as at:
        config = config_of("reranker", "litellm", base_url=f"http://127.0.0.1:{at}")
        texts = assert_nothing_leaks(config, caplog)

    assert "***" in texts


@pytest.mark.filterwarnings("ignore:Api key is used with an insecure connection")
def test_key_that_qdrant_quotes_is_cut() -> None:
    async def asked(settings: QdrantSettings) -> None:
        connection = Connection(settings, "model", 8)
        try:
            await connection.client()
        finally:
            await connection.close()

    with echo_server(SECRET) as at, pytest.raises(InvalidRequest, match=r"\*\*\*") as refused:
        asyncio.run(asked(QdrantSettings(url=f"http://127.0.0.1:{at}", api_key=SECRET)))

    assert leaked(told(refused.value)) == []


def test_password_that_neo4j_quotes_is_cut(caplog: pytest.LogCaptureFixture) -> None:
    server = BoltServer({DATABASE: Tables()})
    try:
        config = config_of("knowledge_graph", "neo4j", uri=server.uri, password=SECRET)
        texts = assert_nothing_leaks(config, caplog)
    finally:
        server.stop()

    assert "***" in texts


@pytest.mark.parametrize("port", ["audit_log", "vector_index"])
def test_password_of_a_running_postgres_is_not_shown(
    port: str, postgres: PostgresSettings, caplog: pytest.LogCaptureFixture
) -> None:
    dsn = conninfo.make_conninfo(postgres.dsn, password=SECRET)
    name = {"audit_log": "postgres", "vector_index": "pgvector"}[port]

    assert_nothing_leaks(config_of(port, name, dsn=dsn, schema=postgres.schema), caplog)


def test_each_part_of_four_characters_is_cut_from_foreign_text() -> None:
    secrets = Secrets([f"postgresql://ann:{quote(SECRET, safe='')}@host/db"])

    for start in range(len(SECRET) - RUN + 1):
        part = SECRET[start : start + RUN]
        assert secrets.cut_from(f"wrong key <{part}>") == "wrong key <***>"
    assert secrets.cut_from("ann has no access to host") == "ann has no access to host"
