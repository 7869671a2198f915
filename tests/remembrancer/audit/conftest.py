"""A memory on each store, with a clock that a test moves."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from remembrancer import Memory, load_settings
from remembrancer.adapters.stores.postgres.settings import PostgresSettings
from remembrancer.testing.bitemporal import Clock


@pytest.fixture(params=["sqlite", "memory", "postgres"])
def log(request: pytest.FixtureRequest) -> dict[str, Any]:
    """The settings of a fresh log."""
    if request.param != "postgres":
        return {"provider": request.param}
    server: PostgresSettings = request.getfixturevalue("postgres")
    return {"provider": "postgres", "dsn": server.dsn, "schema": server.schema}


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def memory(log: dict[str, Any], clock: Clock) -> Iterator[Memory]:
    chosen = load_settings({"audit_log": log}, environment={})
    with Memory(settings=chosen, overrides={"clock": clock}) as opened:
        yield opened
