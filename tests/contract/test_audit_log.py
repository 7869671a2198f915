"""Contract tests of all audit logs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from remembrancer.adapters.key_vault.memory import InMemoryKeyVault
from remembrancer.adapters.key_vault.sqlite import SqliteKeyVault, SqliteVaultSettings
from remembrancer.adapters.stores.memory.audit_log import InMemoryAuditLog
from remembrancer.adapters.stores.postgres.audit_log import PostgresAuditLog
from remembrancer.adapters.stores.postgres.audit_log import create_log as create_postgres_log
from remembrancer.adapters.stores.postgres.database import Database as PostgresDatabase
from remembrancer.adapters.stores.postgres.settings import PostgresSettings
from remembrancer.adapters.stores.shared.sealing import SealingCodec
from remembrancer.adapters.stores.sqlite.audit_log import SqliteAuditLog, create_log
from remembrancer.adapters.stores.sqlite.database import Database, SqliteSettings
from remembrancer.testing.audit_log import AuditLogContract


class TestInMemoryAuditLog(AuditLogContract):
    def make_log(self, tmp_path: Path) -> InMemoryAuditLog:
        return InMemoryAuditLog()


class TestInMemoryAuditLogSealed(AuditLogContract):
    def make_log(self, tmp_path: Path) -> InMemoryAuditLog:
        return InMemoryAuditLog(SealingCodec(InMemoryKeyVault()))


class TestSqliteAuditLog(AuditLogContract):
    def make_log(self, tmp_path: Path) -> SqliteAuditLog:
        return SqliteAuditLog(Database(SqliteSettings(path=str(tmp_path / "log.db")), [create_log]))


class TestSqliteAuditLogSealed(AuditLogContract):
    def make_log(self, tmp_path: Path) -> SqliteAuditLog:
        database = Database(SqliteSettings(path=str(tmp_path / "log.db")), [create_log])
        vault = SqliteKeyVault(SqliteVaultSettings(path=str(tmp_path / "keys.db")))
        return SqliteAuditLog(database, SealingCodec(vault))


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


class TestPostgresAuditLogSealed(TestPostgresAuditLog):
    def make_log(self, tmp_path: Path) -> PostgresAuditLog:
        return PostgresAuditLog(self.database.sessions, SealingCodec(InMemoryKeyVault()))
