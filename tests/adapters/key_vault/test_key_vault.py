"""Contract tests of all key vaults."""

from __future__ import annotations

from pathlib import Path

from remembrancer.adapters.key_vault.memory import InMemoryKeyVault
from remembrancer.adapters.key_vault.sqlite import SqliteKeyVault, SqliteVaultSettings
from remembrancer.testing.key_vault import KeyVaultContract

MASTER_KEY = "0f" * 32


class TestInMemoryKeyVault(KeyVaultContract):
    lasting = False

    def make_vault(self, tmp_path: Path) -> InMemoryKeyVault:
        return InMemoryKeyVault()


class TestSqliteKeyVault(KeyVaultContract):
    master_key = ""

    def make_vault(self, tmp_path: Path) -> SqliteKeyVault:
        path = str(tmp_path / "keys.db")
        return SqliteKeyVault(SqliteVaultSettings(path=path, master_key=self.master_key))

    reopen = make_vault


class TestSqliteKeyVaultUnderAMasterKey(TestSqliteKeyVault):
    master_key = MASTER_KEY
