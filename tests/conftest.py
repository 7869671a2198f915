"""Depth, time limit, signals and markers of the tests, and PostgreSQL for all of them."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

import remembrancer.testing
from remembrancer.adapters.stores.postgres.settings import PostgresSettings
from remembrancer.testing.depth import depth
from tests.engines.postgres_schemas import SharedSchemas, drop, fresh
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
        if "postgres_dsn" in getattr(item, "fixturenames", ()) or "postgres" in item.nodeid.lower():
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


@pytest.fixture(scope="session")
def postgres_dsn(request: pytest.FixtureRequest) -> str:
    """Your own server, or the one of this test run."""
    dsn: str = os.environ.get("POSTGRES_DSN") or request.getfixturevalue("postgres_server").dsn
    return dsn


@pytest.fixture
def postgres(postgres_dsn: str) -> Iterator[PostgresSettings]:
    """Settings of a fresh schema, which is dropped after the test."""
    settings = fresh(postgres_dsn)
    yield settings
    drop(settings)


@pytest.fixture(scope="session")
def postgres_schemas(postgres_dsn: str) -> Iterator[SharedSchemas]:
    """Schemas for tests that only use their tables."""
    schemas = SharedSchemas(postgres_dsn)
    yield schemas
    schemas.drop()
