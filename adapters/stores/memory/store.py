"""The store in memory, put together: for tests, and for what need not outlive the process."""

from __future__ import annotations

from remembrancer.adapters.stores.memory.audit_log import InMemoryAuditLog
from remembrancer.adapters.stores.memory.fact_store import InMemoryFactStore
from remembrancer.adapters.stores.memory.inspection import InMemoryInspection
from remembrancer.adapters.stores.memory.knowledge_graph import InMemoryKnowledgeGraph
from remembrancer.adapters.stores.memory.projection_state import InMemoryProjectionState
from remembrancer.adapters.stores.memory.read_models import InMemoryReadModels
from remembrancer.adapters.stores.memory.usage_store import InMemoryUsageStore
from remembrancer.adapters.stores.memory.vector_index import InMemoryVectorIndex
from remembrancer.domain.ports.store import Store, StoreNeeds, Survey
from remembrancer.version import __version__


def build(_settings: object, needs: StoreNeeds) -> Store:
    """An empty store."""
    facts, index = InMemoryFactStore(), InMemoryVectorIndex()
    graph, usage = InMemoryKnowledgeGraph(), InMemoryUsageStore()
    read_models = InMemoryReadModels(facts, index, needs.embed, [graph, usage])
    log = InMemoryAuditLog(needs.codec, read_models)
    return Store(
        audit_log=log,
        fact_store=facts,
        vector_index=index,
        knowledge_graph=graph,
        usage_store=usage,
        read_models=read_models,
        projection_state=InMemoryProjectionState(),
        ping=_engine,
        close=lambda: None,
        inspection=InMemoryInspection(log=log, facts=facts, index=index, graph=graph, usage=usage),
    )


def survey(_settings: object) -> Survey:
    """There is nothing to read: it begins empty."""
    return Survey(engine=_engine(), details={})


def _engine() -> str:
    return f"memory {__version__}"
