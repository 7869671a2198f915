"""Both fact stores keep the contract."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from pathlib import Path

from memledger.adapters.audit_log.codec import EventCodec
from memledger.adapters.audit_log.memory import InMemoryAuditLog
from memledger.adapters.audit_log.sqlite import SqliteAuditLog, create_log
from memledger.adapters.fact_store.memory import InMemoryFactStore
from memledger.adapters.fact_store.sqlite import SqliteFactStore
from memledger.adapters.sqlite.database import Database, SqliteSettings
from memledger.domain.recorded import Recorded
from memledger.testing.fact_store import FactStoreContract


class TestInMemoryFactStore(FactStoreContract):
    def make_stores(self, tmp_path: Path) -> tuple[InMemoryAuditLog, InMemoryFactStore]:
        facts = InMemoryFactStore()
        return InMemoryAuditLog(listener=facts), facts


class _Facts:
    def __init__(self, facts: SqliteFactStore) -> None:
        self._facts = facts

    def apply(self, connection: sqlite3.Connection, chain: Sequence[Recorded]) -> None:
        self._facts.apply(connection, chain)

    def committed(self, chain: Sequence[Recorded]) -> None:
        pass


class TestSqliteFactStore(FactStoreContract):
    def make_stores(self, tmp_path: Path) -> tuple[SqliteAuditLog, SqliteFactStore]:
        database = Database(SqliteSettings(path=str(tmp_path / "facts.db")), [create_log])
        facts = SqliteFactStore(database, EventCodec())
        with database.transaction() as connection:
            facts.create(connection)
        return SqliteAuditLog(database, listener=_Facts(facts)), facts
