"""Contract tests of all fact stores."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from remembrancer.adapters.stores.memory.audit_log import InMemoryAuditLog
from remembrancer.adapters.stores.memory.fact_store import InMemoryFactStore
from remembrancer.adapters.stores.postgres.audit_log import PostgresAuditLog
from remembrancer.adapters.stores.postgres.audit_log import create_log as create_postgres_log
from remembrancer.adapters.stores.postgres.database import Database as PostgresDatabase
from remembrancer.adapters.stores.postgres.fact_store import PostgresFactStore
from remembrancer.adapters.stores.postgres.filters import create_casefold
from remembrancer.adapters.stores.postgres.sessions import Connection
from remembrancer.adapters.stores.postgres.settings import PostgresSettings
from remembrancer.adapters.stores.shared.codec import EventCodec
from remembrancer.adapters.stores.sqlite.audit_log import SqliteAuditLog, create_log
from remembrancer.adapters.stores.sqlite.database import Database, SqliteSettings
from remembrancer.adapters.stores.sqlite.fact_store import SqliteFactStore
from remembrancer.application.inline import run_inline
from remembrancer.domain.recorded import Recorded
from remembrancer.testing.driving import Driven
from remembrancer.testing.fact_store import FactStoreContract


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


class _PostgresFacts:
    def __init__(self, facts: PostgresFactStore) -> None:
        self._facts = facts

    async def begin(self, connection: Connection) -> None:
        pass

    async def apply(
        self, connection: Connection, ledger_id: int, chain: Sequence[Recorded]
    ) -> None:
        await self._facts.apply(connection, ledger_id, chain)


@pytest.mark.parametrize("blocking", [True, False], ids=["blocking", "suspending"])
class TestPostgresFactStore(FactStoreContract):
    @pytest.fixture(autouse=True)
    def _stores(self, tmp_path: Path, postgres: PostgresSettings, blocking: bool) -> Iterator[None]:
        self.database = PostgresDatabase(
            postgres, [create_postgres_log, create_casefold], blocking=blocking
        )
        log, facts = self.make_stores(tmp_path)
        self.log, self.facts = Driven(log), Driven(facts)
        yield
        self.database.close()

    def make_stores(self, tmp_path: Path) -> tuple[PostgresAuditLog, PostgresFactStore]:
        facts = PostgresFactStore(self.database.sessions, EventCodec())

        async def create() -> None:
            async with self.database.opening.transaction() as connection:
                await facts.create(connection)

        run_inline(create())
        return PostgresAuditLog(self.database.sessions, listener=_PostgresFacts(facts)), facts
