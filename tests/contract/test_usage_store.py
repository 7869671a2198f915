"""Contract tests of all usage stores."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from remembrancer.adapters.stores.memory.audit_log import InMemoryAuditLog
from remembrancer.adapters.stores.memory.usage_store import InMemoryUsageStore
from remembrancer.adapters.stores.postgres.audit_log import PostgresAuditLog
from remembrancer.adapters.stores.postgres.audit_log import create_log as create_postgres_log
from remembrancer.adapters.stores.postgres.database import Database as PostgresDatabase
from remembrancer.adapters.stores.postgres.sessions import Connection
from remembrancer.adapters.stores.postgres.settings import PostgresSettings
from remembrancer.adapters.stores.postgres.usage_store import PostgresUsageStore
from remembrancer.adapters.stores.sqlite.audit_log import SqliteAuditLog, create_log
from remembrancer.adapters.stores.sqlite.database import Database, SqliteSettings
from remembrancer.adapters.stores.sqlite.usage_store import SqliteUsageStore
from remembrancer.application.inline import run_inline
from remembrancer.domain.recorded import Recorded
from remembrancer.testing.driving import Driven
from remembrancer.testing.usage_store import UsageStoreContract


class TestInMemoryUsageStore(UsageStoreContract):
    def make_stores(self, tmp_path: Path) -> tuple[InMemoryAuditLog, InMemoryUsageStore]:
        usage = InMemoryUsageStore()
        return InMemoryAuditLog(listener=usage), usage


class _Listener:
    def __init__(self, usage: SqliteUsageStore) -> None:
        self._usage = usage

    def apply(self, connection: sqlite3.Connection, chain: Sequence[Recorded]) -> None:
        before = self._usage.count_in(connection)
        added = self._usage.apply_in(connection, chain)
        assert self._usage.count_in(connection) == before + added

    def committed(self, chain: Sequence[Recorded]) -> None:
        pass


class TestSqliteUsageStore(UsageStoreContract):
    def make_stores(self, tmp_path: Path) -> tuple[SqliteAuditLog, SqliteUsageStore]:
        database = Database(SqliteSettings(path=str(tmp_path / "usage.db")), [create_log])
        usage = SqliteUsageStore(database)
        with database.transaction() as connection:
            usage.create(connection)
        return SqliteAuditLog(database, listener=_Listener(usage)), usage


class _PostgresUsage:
    def __init__(self, usage: PostgresUsageStore) -> None:
        self._usage = usage

    async def begin(self, connection: Connection) -> None:
        pass

    async def apply(
        self, connection: Connection, ledger_id: int, chain: Sequence[Recorded]
    ) -> None:
        await self._usage.apply_in(connection, ledger_id, chain)


@pytest.mark.parametrize("blocking", [True, False], ids=["blocking", "suspending"])
class TestPostgresUsageStore(UsageStoreContract):
    @pytest.fixture(autouse=True)
    def _stores(self, tmp_path: Path, postgres: PostgresSettings, blocking: bool) -> Iterator[None]:
        self.database = PostgresDatabase(postgres, [create_postgres_log], blocking=blocking)
        log, usage = self.make_stores(tmp_path)
        self.log, self.usage = Driven(log), Driven(usage)
        yield
        self.database.close()

    def make_stores(self, tmp_path: Path) -> tuple[PostgresAuditLog, PostgresUsageStore]:
        usage = PostgresUsageStore(self.database.sessions)

        async def create() -> None:
            async with self.database.opening.transaction() as connection:
                await usage.create(connection)

        run_inline(create())
        return PostgresAuditLog(self.database.sessions, listener=_PostgresUsage(usage)), usage
