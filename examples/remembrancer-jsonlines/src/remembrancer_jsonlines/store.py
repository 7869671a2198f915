"""The store: the log in a file, and the read models of remembrancer's in-memory store."""

from collections.abc import Callable

from attrs import frozen

from remembrancer import Store, StoreNeeds
from remembrancer.adapters.stores.memory.fact_store import InMemoryFactStore
from remembrancer.adapters.stores.memory.knowledge_graph import InMemoryKnowledgeGraph
from remembrancer.adapters.stores.memory.projection_state import InMemoryProjectionState
from remembrancer.adapters.stores.memory.read_models import InMemoryReadModels
from remembrancer.adapters.stores.memory.usage_store import InMemoryUsageStore
from remembrancer.adapters.stores.memory.vector_index import InMemoryVectorIndex
from remembrancer.domain.recorded import Position
from remembrancer_jsonlines.log import JsonLinesLog

PAGE = 1000


@frozen(kw_only=True)
class JsonLinesSettings:
    """The path of the log; the file is created if it is missing."""

    path: str = "ledger.jsonl"


class ReadModels(InMemoryReadModels):
    """In-memory read models, rebuilt from the log on opening."""

    def catch_up(
        self, log: JsonLinesLog, progress: Callable[[str, int, int], None] | None = None
    ) -> None:
        """Apply all events of the log; see ``Store``."""
        last = log.last_position()
        after = Position(0)
        while page := log.read(after, PAGE):
            self.apply(page)
            after = page[-1].position
            if progress is not None:
                progress("reading the log", after, last)


def open_store(settings: JsonLinesSettings, needs: StoreNeeds) -> Store:
    """Open the file and build the store."""
    facts, index = InMemoryFactStore(), InMemoryVectorIndex()
    graph, usage = InMemoryKnowledgeGraph(), InMemoryUsageStore()
    read_models = ReadModels(facts, index, needs.embed, [graph, usage])
    log = JsonLinesLog(settings.path, needs.codec, read_models)
    return Store(
        audit_log=log,
        fact_store=facts,
        vector_index=index,
        knowledge_graph=graph,
        usage_store=usage,
        read_models=read_models,
        projection_state=InMemoryProjectionState(),
        ping=lambda: f"jsonlines 0.1.0 ({settings.path})",
        close=log.close,
    )
