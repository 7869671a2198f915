"""Fixtures of PostgreSQL behind an unreliable wire."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from attrs import evolve
from psycopg import conninfo

from remembrancer.adapters.stores.postgres.settings import PostgresSettings
from remembrancer.testing.unreliable_wire import UnreliableWire


@pytest.fixture
def wire(postgres: PostgresSettings) -> Iterator[UnreliableWire]:
    where = conninfo.conninfo_to_dict(postgres.dsn)
    with UnreliableWire(str(where["host"]), int(where.get("port") or 5432)) as made:
        yield made


@pytest.fixture
def over_wire(postgres: PostgresSettings, wire: UnreliableWire) -> PostgresSettings:
    dsn = conninfo.make_conninfo(postgres.dsn, host="127.0.0.1", port=wire.port)
    return evolve(postgres, dsn=dsn, connect_timeout=2.0)


@pytest.fixture
def impatient(over_wire: PostgresSettings) -> PostgresSettings:
    """Settings with timeouts of half a second."""
    return evolve(over_wire, statement_timeout=0.5, connect_timeout=0.5)
