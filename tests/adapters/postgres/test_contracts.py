"""Contract tests of the store in PostgreSQL, with blocking and with suspending connections."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, cast

import pytest

from remembrancer.adapters.key_vault.memory import InMemoryKeyVault
from remembrancer.adapters.stores.postgres.audit_log import PostgresAuditLog, create_log
from remembrancer.adapters.stores.postgres.database import Database
from remembrancer.adapters.stores.postgres.fact_store import PostgresFactStore
from remembrancer.adapters.stores.postgres.filters import create_casefold
from remembrancer.adapters.stores.postgres.knowledge_graph import PostgresKnowledgeGraph
from remembrancer.adapters.stores.postgres.migrations import Migration
from remembrancer.adapters.stores.postgres.projection_state import (
    PostgresProjectionState,
    create_projection_state,
)
from remembrancer.adapters.stores.postgres.sessions import Connection
from remembrancer.adapters.stores.postgres.usage_store import PostgresUsageStore
from remembrancer.adapters.stores.shared.codec import EventCodec
from remembrancer.adapters.stores.shared.sealing import SealingCodec
from remembrancer.application.inline import run_inline
from remembrancer.domain.recorded import Append, Recorded
from remembrancer.testing.audit_log import AuditLogContract
from remembrancer.testing.fact_store import FactStoreContract
from remembrancer.testing.knowledge_graph import KnowledgeGraphContract
from remembrancer.testing.projection_state import ProjectionStateContract
from remembrancer.testing.usage_store import UsageStoreContract
from tests.engines.postgres_schemas import SharedSchemas


class OnPostgres:
    """An empty database for each test, with ``migrations``."""

    migrations: Sequence[Migration] = [create_log]
    database: Database

    def created(self, model: Any) -> None:
        """Create the tables of a read model."""

        async def create() -> None:
            async with self.database.opening.transaction() as connection:
                await model.create(connection)

        run_inline(create())


# The suites open their stores in fixtures of their classes, after this fixture of the module.
@pytest.fixture(autouse=True, params=[True, False], ids=["blocking", "suspending"])
def _database(request: pytest.FixtureRequest, postgres_schemas: SharedSchemas) -> Iterator[None]:
    test = cast(OnPostgres, request.instance)
    with postgres_schemas.empty(type(test)) as settings:
        test.database = Database(settings, test.migrations, blocking=request.param)
        yield
        test.database.close()


class Listener:
    """Applies each append to one read model, in the transaction of the append."""

    def __init__(
        self, apply: Callable[[Connection, int, Sequence[Recorded]], Awaitable[object]]
    ) -> None:
        self._apply = apply

    async def begin(self, connection: Connection) -> None:
        pass

    async def prepare(self, append: Append) -> None:
        pass

    async def claim(self) -> bool:
        return False

    async def apply(
        self, connection: Connection, ledger_id: int, chain: Sequence[Recorded], prepared: None
    ) -> None:
        await self._apply(connection, ledger_id, chain)


class TestAuditLog(OnPostgres, AuditLogContract):
    def make_log(self, tmp_path: Path) -> PostgresAuditLog:
        return PostgresAuditLog(self.database.sessions)


class TestSealedAuditLog(OnPostgres, AuditLogContract):
    def make_log(self, tmp_path: Path) -> PostgresAuditLog:
        return PostgresAuditLog(self.database.sessions, SealingCodec(InMemoryKeyVault()))


class TestFactStore(OnPostgres, FactStoreContract):
    migrations = [create_log, create_casefold]

    def make_stores(self, tmp_path: Path) -> tuple[PostgresAuditLog, PostgresFactStore]:
        facts = PostgresFactStore(self.database.sessions, EventCodec())
        self.created(facts)
        return PostgresAuditLog(self.database.sessions, listener=Listener(facts.apply)), facts


class TestKnowledgeGraph(OnPostgres, KnowledgeGraphContract):
    def make_graph(self, tmp_path: Path) -> tuple[PostgresAuditLog, PostgresKnowledgeGraph]:
        graph = PostgresKnowledgeGraph(self.database.sessions)
        self.created(graph)
        return PostgresAuditLog(self.database.sessions, listener=Listener(graph.apply_in)), graph


class TestUsageStore(OnPostgres, UsageStoreContract):
    def make_stores(self, tmp_path: Path) -> tuple[PostgresAuditLog, PostgresUsageStore]:
        usage = PostgresUsageStore(self.database.sessions)
        self.created(usage)
        return PostgresAuditLog(self.database.sessions, listener=Listener(usage.apply_in)), usage


class TestProjectionState(OnPostgres, ProjectionStateContract):
    migrations = [create_projection_state]

    def make_state(self, tmp_path: Path) -> PostgresProjectionState:
        return PostgresProjectionState(self.database.sessions)
