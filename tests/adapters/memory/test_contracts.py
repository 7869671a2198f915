"""Contract tests of the store in memory."""

from __future__ import annotations

from pathlib import Path

from remembrancer.adapters.key_vault.memory import InMemoryKeyVault
from remembrancer.adapters.stores.memory.audit_log import InMemoryAuditLog
from remembrancer.adapters.stores.memory.fact_store import InMemoryFactStore
from remembrancer.adapters.stores.memory.knowledge_graph import InMemoryKnowledgeGraph
from remembrancer.adapters.stores.memory.projection_state import InMemoryProjectionState
from remembrancer.adapters.stores.memory.usage_store import InMemoryUsageStore
from remembrancer.adapters.stores.memory.vector_index import InMemoryVectorIndex
from remembrancer.adapters.stores.shared.sealing import SealingCodec
from remembrancer.testing.audit_log import AuditLogContract
from remembrancer.testing.external_graph import ExternalGraphContract
from remembrancer.testing.external_index import ExternalIndexContract
from remembrancer.testing.fact_store import FactStoreContract
from remembrancer.testing.projection_state import FEED, ProjectionStateContract
from remembrancer.testing.usage_store import UsageStoreContract


class TestAuditLog(AuditLogContract):
    def make_log(self, tmp_path: Path) -> InMemoryAuditLog:
        return InMemoryAuditLog()


class TestSealedAuditLog(AuditLogContract):
    def make_log(self, tmp_path: Path) -> InMemoryAuditLog:
        return InMemoryAuditLog(SealingCodec(InMemoryKeyVault()))


class TestFactStore(FactStoreContract):
    def make_stores(self, tmp_path: Path) -> tuple[InMemoryAuditLog, InMemoryFactStore]:
        facts = InMemoryFactStore()
        return InMemoryAuditLog(listener=facts), facts


class TestKnowledgeGraph(ExternalGraphContract):
    closes = False

    def make_external(self, tmp_path: Path) -> InMemoryKnowledgeGraph:
        return InMemoryKnowledgeGraph()


class TestUsageStore(UsageStoreContract):
    def make_stores(self, tmp_path: Path) -> tuple[InMemoryAuditLog, InMemoryUsageStore]:
        usage = InMemoryUsageStore()
        return InMemoryAuditLog(listener=usage), usage


class TestProjectionState(ProjectionStateContract):
    def make_state(self, tmp_path: Path) -> InMemoryProjectionState:
        return InMemoryProjectionState()

    def test_lease_expires_after_its_seconds(self) -> None:
        time = [1_000.0]
        state = InMemoryProjectionState(now=lambda: time[0])
        state.enrol(FEED)
        assert state.acquire(FEED, 0, owner="ann", seconds=5)
        time[0] += 4.9
        assert state.acquire(FEED, 0, owner="bob", seconds=5) is None
        time[0] += 0.2
        assert state.acquire(FEED, 0, owner="bob", seconds=5)


class TestVectorIndex(ExternalIndexContract):
    closes = False

    def make_index(self, tmp_path: Path) -> InMemoryVectorIndex:
        return InMemoryVectorIndex()
