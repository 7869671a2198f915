"""Depth, time limit, signals and markers of the tests, and PostgreSQL for all of them."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator

import psycopg
import pytest
from hypothesis import HealthCheck, settings

import remembrancer.testing
from remembrancer.adapters.stores.postgres.settings import PostgresSettings
from remembrancer.testing.depth import depth
from tests.engines.postgres_server import PostgresServer
from tests.helpers.interrupts import let_started_processes_be_interrupted

# Register all modules at once, before a test imports one of them for another.
pytest.register_assert_rewrite(*remembrancer.testing.MODULES.values())

settings.register_profile("default", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("fast", parent=settings.get_profile("default"), max_examples=10)
settings.register_profile("thorough", parent=settings.get_profile("default"), max_examples=2000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Give deep tests more time than ``timeout`` in pyproject.toml, before the plugin reads it."""
    if config.option.timeout is None and depth() > 1:
        config.option.timeout = float(config.getini("timeout")) * depth()
    let_started_processes_be_interrupted()


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests that need PostgreSQL, so that ``-m "not server"`` leaves them out.

    Parametrised tests ask for its fixture while they run; their id names it.
    """
    for item in items:
        if "postgres" in getattr(item, "fixturenames", ()) or "postgres" in item.nodeid.lower():
            item.add_marker("server")


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """A PostgreSQL server for this test run, without fsync."""
    server = PostgresServer("fsync=off", "max_connections=200", "shared_buffers=64MB")
    try:
        server.start()
        yield server
    finally:
        server.remove()


@pytest.fixture
def postgres(request: pytest.FixtureRequest) -> Iterator[PostgresSettings]:
    """Settings of a fresh schema, which is dropped after the test."""
    dsn = os.environ.get("POSTGRES_DSN") or request.getfixturevalue("postgres_server").dsn
    fresh = PostgresSettings(dsn=dsn, schema=f"test_{uuid.uuid4().hex}", partitions=2)
    yield fresh
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(f'DROP SCHEMA IF EXISTS "{fresh.schema}" CASCADE'.encode())
