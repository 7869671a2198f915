"""Both usage stores keep the contract."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from pathlib import Path

from memledger.adapters.audit_log.memory import InMemoryAuditLog
from memledger.adapters.audit_log.sqlite import SqliteAuditLog, create_log
from memledger.adapters.sqlite.database import Database, SqliteSettings
from memledger.adapters.usage_store.memory import InMemoryUsageStore
from memledger.adapters.usage_store.sqlite import SqliteUsageStore
from memledger.domain.recorded import Recorded
from memledger.testing.usage_store import UsageStoreContract


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
