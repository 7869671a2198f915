"""The store in one PostgreSQL schema, put together."""

from __future__ import annotations

from remembrancer.adapters.stores.postgres.append_signal import PostgresAppendSignal
from remembrancer.adapters.stores.postgres.audit_log import PostgresAuditLog
from remembrancer.adapters.stores.postgres.database import Database
from remembrancer.adapters.stores.postgres.fact_store import PostgresFactStore
from remembrancer.adapters.stores.postgres.inspection.inspection import PostgresInspection
from remembrancer.adapters.stores.postgres.knowledge_graph import PostgresKnowledgeGraph
from remembrancer.adapters.stores.postgres.projection_state import PostgresProjectionState
from remembrancer.adapters.stores.postgres.read_models import PostgresReadModels
from remembrancer.adapters.stores.postgres.schema_versions import SCHEMA_VERSIONS
from remembrancer.adapters.stores.postgres.settings import PostgresSettings
from remembrancer.adapters.stores.postgres.survey import survey
from remembrancer.adapters.stores.postgres.usage_store import PostgresUsageStore
from remembrancer.adapters.stores.postgres.vector_index import PostgresVectorIndex
from remembrancer.domain.ports.store import Store, StoreNeeds


def build(settings: PostgresSettings, needs: StoreNeeds) -> Store:
    """Connect, and bring the schema up to date.

    Raises:
        InvalidRequest: a setting is wrong, the server refuses it, or the schema is newer.
        AdapterUnavailable: the server did not answer.
    """
    database = Database(settings, SCHEMA_VERSIONS, blocking=needs.blocking, pool=needs.pool)
    sessions = database.sessions
    facts = PostgresFactStore(sessions, needs.codec)
    index = PostgresVectorIndex(sessions, model=needs.model, dimension=needs.dimension)
    graph, usage = PostgresKnowledgeGraph(sessions), PostgresUsageStore(sessions)
    read_models = PostgresReadModels(
        sessions, database.opening, facts, index, needs.embed, [graph, usage]
    )
    signal = PostgresAppendSignal(database.connect_apart, sessions.schema)

    inspection = PostgresInspection(sessions, needs.codec, index.storage, read_models.fingerprints)

    def close() -> None:
        if not database.inherited:
            signal.close()
            database.close()

    return Store(
        audit_log=PostgresAuditLog(sessions, needs.codec, read_models),
        fact_store=facts,
        vector_index=index,
        knowledge_graph=graph,
        usage_store=usage,
        read_models=read_models,
        projection_state=PostgresProjectionState(sessions),
        ping=lambda: survey(settings).engine,
        close=close,
        append_signal=signal,
        inspection=inspection,
    )
