"""Both logs keep the contract."""

from __future__ import annotations

from pathlib import Path

from memledger.adapters.audit_log.memory import InMemoryAuditLog
from memledger.adapters.audit_log.sqlite import SqliteAuditLog, create_log
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
