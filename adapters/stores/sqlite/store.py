"""The store in one SQLite file, put together."""

from __future__ import annotations

from remembrancer.adapters.stores.sqlite.audit_log import SqliteAuditLog
from remembrancer.adapters.stores.sqlite.database import Database, SqliteSettings
from remembrancer.adapters.stores.sqlite.fact_store import SqliteFactStore
from remembrancer.adapters.stores.sqlite.inspection.inspection import SqliteInspection
from remembrancer.adapters.stores.sqlite.knowledge_graph import SqliteKnowledgeGraph
from remembrancer.adapters.stores.sqlite.projection_state import SqliteProjectionState
from remembrancer.adapters.stores.sqlite.read_models import SqliteReadModels
from remembrancer.adapters.stores.sqlite.schema_versions import SCHEMA_VERSIONS
from remembrancer.adapters.stores.sqlite.survey import ENGINE
from remembrancer.adapters.stores.sqlite.usage_store import SqliteUsageStore
from remembrancer.adapters.stores.sqlite.vector_index import SqliteVectorIndex
from remembrancer.adapters.stores.sqlite.vector_index.embeddings import Embeddings
from remembrancer.domain.ports.store import Store, StoreNeeds


def build(settings: SqliteSettings, needs: StoreNeeds) -> Store:
    """Open the file, or make it.

    Raises:
        InvalidRequest: the file belongs to another program, is no database, or was written by a
            newer release.
        AdapterUnavailable: the file can't be opened, or stayed locked for ``busy_timeout``.
    """
    database = Database(settings, SCHEMA_VERSIONS)
    facts = SqliteFactStore(database, needs.codec)
    index = SqliteVectorIndex(database, model=needs.model, dimension=needs.dimension)
    graph, usage = SqliteKnowledgeGraph(database), SqliteUsageStore(database)
    read_models = SqliteReadModels(database, facts, index, needs.embed, [graph, usage])
    inspection = SqliteInspection(
        database,
        needs.codec,
        Embeddings(needs.model, needs.dimension),
        read_models.fingerprints,
        read_models.create,
    )
    return Store(
        audit_log=SqliteAuditLog(database, needs.codec, read_models),
        fact_store=facts,
        vector_index=index,
        knowledge_graph=graph,
        usage_store=usage,
        read_models=read_models,
        projection_state=SqliteProjectionState(database),
        ping=lambda: ENGINE,
        close=database.close,
        inspection=inspection,
    )
