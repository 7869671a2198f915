"""All logs keep the contract."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from memledger.adapters.audit_log.memory import InMemoryAuditLog
from memledger.adapters.audit_log.postgres import PostgresAuditLog
from memledger.adapters.audit_log.postgres import create_log as create_postgres_log
from memledger.adapters.audit_log.sqlite import SqliteAuditLog, create_log
from memledger.adapters.postgres.database import Database as PostgresDatabase
from memledger.adapters.postgres.settings import PostgresSettings
from memledger.adapters.sqlite.database import Database, SqliteSettings
from memledger.testing.audit_log import AuditLogContract


class TestInMemoryAuditLog(AuditLogContract):
    def make_log(self, tmp_path: Path) -> InMemoryAuditLog:
        return InMemoryAuditLog()


class TestSqliteAuditLog(AuditLogContract):
    def make_log(self, tmp_path: Path) -> SqliteAuditLog:
        return SqliteAuditLog(Database(SqliteSettings(path=str(tmp_path / "log.db")), [create_log]))


class TestSqliteAuditLogInMemory(AuditLogContract):
    def make_log(self, tmp_path: Path) -> SqliteAuditLog:
        return SqliteAuditLog(Database(SqliteSettings(), [create_log]))


@pytest.mark.parametrize("blocking", [True, False], ids=["blocking", "suspending"])
class TestPostgresAuditLog(AuditLogContract):
    @pytest.fixture(autouse=True)
    def _database(self, postgres: PostgresSettings, blocking: bool) -> Iterator[None]:
        self.database = PostgresDatabase(postgres, [create_postgres_log], blocking=blocking)
        yield
        self.database.close()

    def make_log(self, tmp_path: Path) -> PostgresAuditLog:
        return PostgresAuditLog(self.database.sessions)
