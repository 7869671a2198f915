"""Contract tests of the projection state in SQLite, in PostgreSQL and in memory."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from remembrancer.adapters.stores.memory.projection_state import InMemoryProjectionState
from remembrancer.adapters.stores.postgres.database import Database as PostgresDatabase
from remembrancer.adapters.stores.postgres.projection_state import PostgresProjectionState
from remembrancer.adapters.stores.postgres.projection_state import (
    create_projection_state as create_postgres_state,
)
from remembrancer.adapters.stores.postgres.settings import PostgresSettings
from remembrancer.adapters.stores.sqlite.database import Database, SqliteSettings
from remembrancer.adapters.stores.sqlite.projection_state import (
    SqliteProjectionState,
    create_projection_state,
)
from remembrancer.testing import ProjectionStateContract
from remembrancer.testing.driving import Driven
from remembrancer.testing.projection_state import FEED, LONG


class TestInMemoryProjectionState(ProjectionStateContract):
    def make_state(self, tmp_path: Path) -> InMemoryProjectionState:
        return InMemoryProjectionState()


def opened(path: Path) -> Database:
    return Database(SqliteSettings(path=str(path)), [create_projection_state])


class TestSqliteProjectionState(ProjectionStateContract):
    @pytest.fixture(autouse=True)
    def _closing(self, _state: None) -> object:
        yield
        self.database.close()

    def make_state(self, tmp_path: Path) -> SqliteProjectionState:
        self.database = opened(tmp_path / "state.db")
        return SqliteProjectionState(self.database)


@pytest.mark.parametrize("blocking", [True, False], ids=["blocking", "suspending"])
class TestPostgresProjectionState(ProjectionStateContract):
    @pytest.fixture(autouse=True)
    def _state(self, tmp_path: Path, postgres: PostgresSettings, blocking: bool) -> Iterator[None]:
        self.database = PostgresDatabase(postgres, [create_postgres_state], blocking=blocking)
        self.state = Driven(self.make_state(tmp_path))
        yield
        self.database.close()

    def make_state(self, tmp_path: Path) -> PostgresProjectionState:
        return PostgresProjectionState(self.database.sessions)


def test_only_one_of_several_connections_to_a_file_acquires_the_lease(tmp_path: Path) -> None:
    databases = [opened(tmp_path / "state.db") for _ in range(4)]
    states = [SqliteProjectionState(database) for database in databases]
    states[0].enrol(FEED)
    with ThreadPoolExecutor(4) as threads:
        leases = list(
            threads.map(lambda state: state.acquire(FEED, 0, owner="w", seconds=LONG), states)
        )
    assert sum(lease is not None for lease in leases) == 1
    for database in databases:
        database.close()


def test_lease_expires_after_its_seconds() -> None:
    time = [1_000.0]
    state = InMemoryProjectionState(now=lambda: time[0])
    state.enrol(FEED)
    assert state.acquire(FEED, 0, owner="ann", seconds=5)
    time[0] += 4.9
    assert state.acquire(FEED, 0, owner="bob", seconds=5) is None
    time[0] += 0.2
    assert state.acquire(FEED, 0, owner="bob", seconds=5)
