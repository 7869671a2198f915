"""The composition root: the only place that knows all parts, and how they are put together.

Parts are made when they are first asked for. In tests any of them can be swapped with
``override`` before the memory is opened.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any

from dependency_injector import containers, providers

from remembrancer.adapters.clock.system import AsyncSystemClock, SystemClock, UuidSource
from remembrancer.application.audit.statistics import CollectStatistics
from remembrancer.application.audit.verify import Verify
from remembrancer.application.edit.curate import Curate
from remembrancer.application.embedding import Embedding, check_vectors
from remembrancer.application.projections.after_commit import AfterCommit
from remembrancer.application.projections.circuit_breaker import CircuitBreaker
from remembrancer.application.projections.dead_letters import DeadLetters
from remembrancer.application.projections.delivery import GraphDelivery, IndexDelivery
from remembrancer.application.projections.embedding_backfill import EmbeddingBackfill
from remembrancer.application.projections.index_maintenance import IndexMaintenance
from remembrancer.application.projections.lag import MeasureLag
from remembrancer.application.projections.polling import Polling
from remembrancer.application.projections.projector import ProjectionSettings, Projector
from remembrancer.application.projections.worker import Worker
from remembrancer.application.recall.browse import Browse
from remembrancer.application.recall.entity_resolution import ResolveEntity
from remembrancer.application.recall.explore import Explore
from remembrancer.application.recall.hybrid_index import HybridIndex
from remembrancer.application.recall.read_fallback import CurrentGraph, ExternalReader, ReadFallback
from remembrancer.application.recall.recall import Recall
from remembrancer.application.recall.rerank import Reranking
from remembrancer.application.remember.optimistic_append import OptimisticAppender
from remembrancer.application.remember.ordered_remember import OrderedRemember
from remembrancer.application.remember.remember import Remember
from remembrancer.application.remember.remember_many import RememberMany
from remembrancer.application.remember.retry import Retry
from remembrancer.domain.errors import AdapterUnavailable, InvalidRequest, ModelError
from remembrancer.domain.ports.clock import IdSource
from remembrancer.domain.ports.embedder import Embedder, Vector
from remembrancer.domain.ports.projection_state import Feed
from remembrancer.domain.ports.vector_index import SIGNALS
from remembrancer.runtime.queue_workers import TaskQueues, ThreadQueues
from remembrancer.runtime.sync_bridge import (
    BackgroundLoop,
    BesideTasks,
    BesideThreads,
    Lift,
    lift_inline,
    lift_to_threads,
)
from remembrancer.wiring.registry import BUILT_IN
from remembrancer.wiring.settings import Choice, RerankingSettings, Settings

if TYPE_CHECKING:
    from remembrancer.adapters.models.bounded_reranker import BoundedReranker
    from remembrancer.adapters.stores.postgres.append_signal import PostgresAppendSignal
    from remembrancer.adapters.stores.postgres.database import Database as PostgresDatabase
    from remembrancer.adapters.stores.shared.codec import EventCodec
    from remembrancer.adapters.stores.sqlite.database import Database
    from remembrancer.domain.ports.key_vault import KeyVault
    from remembrancer.wiring.store import Store

WORKERS = 16
"""Threads for plain adapters under ``AsyncMemory``; SQLite gains nothing from more."""


def _lazily(path: str) -> Callable[..., Any]:
    """A constructor whose module is imported when it is called."""
    module, name = path.split(":")
    return lambda *args, **kwargs: getattr(import_module(f"remembrancer.{module}"), name)(
        *args, **kwargs
    )


def _open_database(choice: Choice) -> Iterator[Database]:
    from remembrancer.adapters.stores.sqlite.database import Database
    from remembrancer.adapters.stores.sqlite.migrations import MIGRATIONS

    database = Database(choice.settings, MIGRATIONS)
    yield database
    database.close()


def _kind(choice: Choice) -> str:
    """Which of the stores below it is; ``external`` for one that another package brings."""
    return choice.chosen if choice.chosen in BUILT_IN["audit_log"] else "external"


def _open_home(choice: Choice, mode: str, container: Container) -> Iterator[Store]:
    from remembrancer.wiring.store import Store, StoreNeeds

    embedder = container.embedder()
    home = choice.adapter.build(
        choice.settings,
        StoreNeeds(
            model=embedder.model,
            dimension=embedder.dimension,
            # Only asked for when something is appended: it looks into the index of this very home.
            embed=lambda texts: container.vectors_at_hand()(texts),
            codec=container.codec(),
            blocking=mode == "inline",
        ),
    )
    if not isinstance(home, Store):
        raise InvalidRequest(
            "audit_log.provider",
            f"{choice.chosen} built a {type(home).__name__}; an audit log brings all that commits "
            "with it: build a remembrancer.wiring.store.HomeStore",
        )
    yield home
    home.close()


def _open_postgres(choice: Choice, mode: str, pool: Any) -> Iterator[PostgresDatabase]:
    from remembrancer.adapters.stores.postgres.database import Database
    from remembrancer.adapters.stores.postgres.schema_versions import SCHEMA_VERSIONS

    database = Database(choice.settings, SCHEMA_VERSIONS, blocking=mode == "inline", pool=pool)
    yield database
    database.close()


def _open_arrivals(postgres: PostgresDatabase) -> Iterator[PostgresAppendSignal]:
    from remembrancer.adapters.stores.postgres.append_signal import PostgresAppendSignal

    append_signal = PostgresAppendSignal(postgres.connect_apart, postgres.sessions.schema)
    yield append_signal
    append_signal.close()


def _open_loop() -> Iterator[BackgroundLoop]:
    loop = BackgroundLoop()
    yield loop
    loop.close()


def _open_workers(most: int, name: str) -> Iterator[ThreadPoolExecutor]:
    workers = ThreadPoolExecutor(most, thread_name_prefix=name)
    yield workers
    workers.shutdown()


def _open_vault(choice: Choice) -> Iterator[KeyVault | None]:
    """The vault that is chosen, ``None`` if there is none."""
    if choice.chosen == "none":
        yield None
        return
    vault = choice.adapter.build(choice.settings)
    yield vault
    vault.close()


def _codec(vault: KeyVault | None) -> EventCodec:
    if vault is None:
        from remembrancer.adapters.stores.shared.codec import EventCodec

        return EventCodec()
    from remembrancer.adapters.stores.shared.sealing import SealingCodec

    for method in ("key", "find", "destroy", "held", "ping", "close"):
        found = getattr(vault, method, None)
        if found is None or inspect.iscoroutinefunction(found):
            raise InvalidRequest(
                "key_vault.provider",
                f"{type(vault).__qualname__} lacks a plain {method}(); "
                "see remembrancer.domain.ports.key_vault",
            )
    return SealingCodec(vault)


def _build(choice: Choice) -> Any:
    return choice.adapter.build(choice.settings)


def _embedded_or_built(choice: Choice, embedded: Callable[[], Any], *arguments: Any) -> Any:
    """The one in the log's own database, or an engine of its own."""
    if choice.chosen == "embedded":
        return embedded()
    return choice.adapter.build(choice.settings, *arguments)


def _build_asking(choice: Choice, lift: Lift, model: Callable[[], Any]) -> Any:
    if choice.adapter.asks_model:
        return choice.adapter.build(choice.settings, lift(model()))
    return choice.adapter.build(choice.settings)


def _reranker(choice: Choice, lift: Lift, model: Callable[[], Any]) -> Any:
    """The one that is chosen, ``None`` if there is none."""
    return None if choice.chosen == "none" else _build_asking(choice, lift, model)


def _open_bounded(reranker: Any, settings: RerankingSettings) -> Iterator[BoundedReranker | None]:
    if reranker is None:
        yield None
        return
    from remembrancer.adapters.models.bounded_reranker import BoundedReranker

    bounded = BoundedReranker(reranker, deadline=settings.deadline)
    yield bounded
    bounded.close()


def _reranking(lift: Lift, reranker: Any, settings: RerankingSettings) -> Reranking | None:
    if reranker is None:
        return None
    return Reranking(lift(reranker), candidates=settings.candidates)


def _lifted(lift: Lift, adapter: Any) -> Any:
    return lift(adapter)


def _fed_by(
    name: str, choice: Choice, engine: Any, settings: ProjectionSettings, *rows_depend_on: object
) -> Feed:
    """What an engine outside the log's database is fed with."""
    overridden = choice.chosen == "embedded"
    for method in _FEEDING[name]:
        if not hasattr(engine, method):
            where = f"overrides.{name}" if overridden else f"{name}.provider"
            raise InvalidRequest(
                where, f"lacks {method}(); see remembrancer.domain.ports.external_engine"
            )
    provider = type(engine).__qualname__ if overridden else choice.chosen
    own = getattr(engine, "fingerprint", None)
    return Feed(
        projection=name,
        fingerprint="/".join(
            str(part) for part in (provider, *rows_depend_on, own) if part is not None
        ),
        partitions=settings.partitions,
    )


_FEEDING = {"vector_index": ("put", "clear"), "knowledge_graph": ("apply", "clear")}


def _index_feed(choice: Choice, settings: ProjectionSettings, embedder: Any, engine: Any) -> Feed:
    return _fed_by("vector_index", choice, engine, settings, embedder.model, embedder.dimension)


def _graph_feed(choice: Choice, settings: ProjectionSettings, engine: Any) -> Feed:
    return _fed_by("knowledge_graph", choice, engine, settings)


def _projector(engine: Any, embedded: Any, feed: Callable[[Any], Feed], **parts: Any) -> Any:
    """What feeds an engine; ``None`` for the one that commits with the log."""
    if engine is embedded:
        return None
    delivery = parts.pop("delivery")()
    return Projector(
        feed=feed(engine), delivery=delivery, circuit_breaker=CircuitBreaker(), **parts
    )


def _reading(
    embedded: Any, engine: Any, projector: Projector | None, log: Any, clock: Any
) -> ReadFallback[Any]:
    if projector is None:
        return ReadFallback(embedded)
    return ReadFallback(
        embedded, ExternalReader(engine=engine, projector=projector, log=log, clock=clock)
    )


def _searched(engine: Any, lifted: Any, embedded: Any) -> Any:
    """What recall searches: the engine, and the log's own index beside one that knows no words."""
    if "keyword" in getattr(engine, "signals", SIGNALS):
        return lifted
    return HybridIndex(lifted, embedded)


def _there(*projections: Projector | None) -> list[Projector]:
    return [projector for projector in projections if projector is not None]


def _compacting(embedded: Any, lifted_embedded: Any, index: Any, lifted: Any) -> IndexMaintenance:
    """What looks after those indexes that want it."""
    indexes = [lifted_embedded] if index is embedded else [lifted_embedded, lifted]
    return IndexMaintenance([each for each in indexes if hasattr(each, "compact")])


def _new_id(ids: IdSource) -> str:
    return ids.new()


def _vectors_at_hand(
    embedder: Embedder, embedding: Embedding
) -> Callable[[Sequence[str]], Mapping[str, Vector]]:
    """Vectors for the read models: those just computed, and those that cost no waiting."""
    immediate = embedder.local and not inspect.iscoroutinefunction(embedder.embed)

    def vectors(texts: Sequence[str]) -> Mapping[str, Vector]:
        found = embedding.recent(texts)
        missing = [text for text in dict.fromkeys(texts) if text not in found]
        if missing and immediate:
            # A text without a vector is found by its words, and embedded later.
            with suppress(AdapterUnavailable, ModelError):
                computed: Any = embedder.embed(missing, "document")
                check_vectors(embedder, missing, computed)
                found |= dict(zip(missing, computed, strict=True))
        return found

    return vectors


class Container(containers.DeclarativeContainer):
    """All parts by name.

    ``audit_log``, ``key_vault``, ``fact_store``, ``vector_index``, ``knowledge_graph``,
    ``embedder``, ``language_model``, ``clock``, ``ids``, ``extractor``, ``reconciler`` and
    ``reranker`` are the parts that a test would swap. ``postgres_pool`` is the pool of a host that
    wants its own to be used.
    """

    itself: providers.Provider[Any] = providers.Self()
    settings = providers.Dependency(instance_of=Settings)
    mode = providers.Dependency(instance_of=str)

    loop = providers.Resource(_open_loop)
    workers = providers.Resource(_open_workers, WORKERS, "remembrancer")
    lift = providers.Selector(
        mode,
        inline=providers.Singleton(lift_inline, loop),
        threads=providers.Singleton(lift_to_threads, workers),
    )
    # Plain models and embedders may be slow: they must not keep the stores waiting.
    slow_workers = providers.Resource(
        _open_workers, settings.provided.concurrency, "remembrancer-slow"
    )
    lift_slow = providers.Selector(
        mode,
        inline=providers.Singleton(lift_inline, loop),
        threads=providers.Singleton(lift_to_threads, slow_workers),
    )
    queues = providers.Selector(
        mode,
        inline=providers.Singleton(ThreadQueues, settings.provided.concurrency),
        threads=providers.Singleton(TaskQueues, settings.provided.concurrency),
    )
    clock = providers.Selector(
        mode,
        inline=providers.Singleton(SystemClock),
        threads=providers.Singleton(AsyncSystemClock),
    )
    ids = providers.Singleton(UuidSource)
    embedder = providers.Singleton(_build, settings.provided.embedder)
    language_model = providers.Singleton(_build, settings.provided.language_model)
    # The model itself is only made for those that ask it.
    extractor = providers.Singleton(
        _build_asking, settings.provided.extractor, lift_slow, language_model.provider
    )
    reconciler = providers.Singleton(
        _build_asking, settings.provided.reconciler, lift_slow, language_model.provider
    )
    store = providers.Callable(_kind, settings.provided.audit_log)

    database = providers.Resource(_open_database, settings.provided.audit_log)
    postgres_pool: providers.Object[Any] = providers.Object(None)
    postgres = providers.Resource(_open_postgres, settings.provided.audit_log, mode, postgres_pool)
    key_vault = providers.Resource(_open_vault, settings.provided.key_vault)
    codec = providers.Singleton(_codec, key_vault)
    home = providers.Resource(_open_home, settings.provided.audit_log, mode, itself)
    fact_store = providers.Selector(
        store,
        sqlite=providers.Singleton(
            _lazily("adapters.stores.sqlite.fact_store:SqliteFactStore"), database, codec
        ),
        postgres=providers.Singleton(
            _lazily("adapters.stores.postgres.fact_store:PostgresFactStore"),
            postgres.provided.sessions,
            codec,
        ),
        memory=providers.Singleton(_lazily("adapters.stores.memory.fact_store:InMemoryFactStore")),
        external=home.provided.fact_store,
    )
    embedded_index = providers.Selector(
        store,
        sqlite=providers.Singleton(
            _lazily("adapters.stores.sqlite.vector_index:SqliteVectorIndex"),
            database,
            model=embedder.provided.model,
            dimension=embedder.provided.dimension,
        ),
        postgres=providers.Singleton(
            _lazily("adapters.stores.postgres.vector_index:PostgresVectorIndex"),
            postgres.provided.sessions,
            model=embedder.provided.model,
            dimension=embedder.provided.dimension,
        ),
        memory=providers.Singleton(
            _lazily("adapters.stores.memory.vector_index:InMemoryVectorIndex")
        ),
        external=home.provided.vector_index,
    )
    vector_index = providers.Singleton(
        _embedded_or_built,
        settings.provided.vector_index,
        embedded_index.provider,
        embedder.provided.model,
        embedder.provided.dimension,
    )
    embedded_graph = providers.Selector(
        store,
        sqlite=providers.Singleton(
            _lazily("adapters.stores.sqlite.knowledge_graph:SqliteKnowledgeGraph"), database
        ),
        postgres=providers.Singleton(
            _lazily("adapters.stores.postgres.knowledge_graph:PostgresKnowledgeGraph"),
            postgres.provided.sessions,
        ),
        memory=providers.Singleton(
            _lazily("adapters.stores.memory.knowledge_graph:InMemoryKnowledgeGraph")
        ),
        external=home.provided.knowledge_graph,
    )
    usage_store = providers.Selector(
        store,
        sqlite=providers.Singleton(
            _lazily("adapters.stores.sqlite.usage_store:SqliteUsageStore"), database
        ),
        postgres=providers.Singleton(
            _lazily("adapters.stores.postgres.usage_store:PostgresUsageStore"),
            postgres.provided.sessions,
        ),
        memory=providers.Singleton(
            _lazily("adapters.stores.memory.usage_store:InMemoryUsageStore")
        ),
        external=home.provided.usage_store,
    )
    knowledge_graph = providers.Singleton(
        _embedded_or_built, settings.provided.knowledge_graph, embedded_graph.provider
    )
    lifted_embedder = providers.Singleton(_lifted, lift_slow, embedder)
    lifted_embedded_index = providers.Singleton(_lifted, lift, embedded_index)
    lifted_index = providers.Singleton(_lifted, lift, vector_index)
    searched_index = providers.Singleton(
        _searched, vector_index, lifted_index, lifted_embedded_index
    )
    lifted_embedded_graph = providers.Singleton(_lifted, lift, embedded_graph)
    lifted_graph = providers.Singleton(_lifted, lift, knowledge_graph)
    embedding = providers.Singleton(Embedding, lifted_embedder, lifted_embedded_index)
    vectors_at_hand = providers.Singleton(_vectors_at_hand, embedder, embedding)
    read_models = providers.Selector(
        store,
        sqlite=providers.Singleton(
            _lazily("adapters.stores.sqlite.read_models:SqliteReadModels"),
            database,
            fact_store,
            embedded_index,
            vectors_at_hand,
            providers.List(embedded_graph, usage_store),
        ),
        postgres=providers.Singleton(
            _lazily("adapters.stores.postgres.read_models:PostgresReadModels"),
            postgres.provided.sessions,
            postgres.provided.opening,
            fact_store,
            embedded_index,
            vectors_at_hand,
            providers.List(embedded_graph, usage_store),
        ),
        memory=providers.Singleton(
            _lazily("adapters.stores.memory.read_models:InMemoryReadModels"),
            fact_store,
            embedded_index,
            vectors_at_hand,
            providers.List(embedded_graph, usage_store),
        ),
        external=home.provided.read_models,
    )
    audit_log = providers.Selector(
        store,
        sqlite=providers.Singleton(
            _lazily("adapters.stores.sqlite.audit_log:SqliteAuditLog"), database, codec, read_models
        ),
        postgres=providers.Singleton(
            _lazily("adapters.stores.postgres.audit_log:PostgresAuditLog"),
            postgres.provided.sessions,
            codec,
            read_models,
        ),
        memory=providers.Singleton(
            _lazily("adapters.stores.memory.audit_log:InMemoryAuditLog"), codec, read_models
        ),
        external=home.provided.audit_log,
    )

    lifted_log = providers.Singleton(_lifted, lift, audit_log)
    lifted_facts = providers.Singleton(_lifted, lift, fact_store)
    lifted_clock = providers.Singleton(_lifted, lift, clock)
    appender = providers.Singleton(
        OptimisticAppender,
        log=lifted_log,
        clock=lifted_clock,
        ids=ids,
        patience=settings.provided.patience,
    )
    lifted_read_models = providers.Singleton(_lifted, lift, read_models)
    embedding_backfill = providers.Singleton(
        EmbeddingBackfill, read_models=lifted_read_models, embedding=embedding
    )
    projection_state = providers.Selector(
        store,
        sqlite=providers.Singleton(
            _lazily("adapters.stores.sqlite.projection_state:SqliteProjectionState"), database
        ),
        postgres=providers.Singleton(
            _lazily("adapters.stores.postgres.projection_state:PostgresProjectionState"),
            postgres.provided.sessions,
        ),
        memory=providers.Singleton(
            _lazily("adapters.stores.memory.projection_state:InMemoryProjectionState")
        ),
        external=home.provided.projection_state,
    )
    lifted_state = providers.Singleton(_lifted, lift, projection_state)
    polling = providers.Singleton(Polling, log=lifted_log, clock=lifted_clock)
    postgres_arrivals = providers.Resource(_open_arrivals, postgres)
    append_signal = providers.Selector(
        store,
        sqlite=polling,
        postgres=providers.Singleton(_lifted, lift, postgres_arrivals),
        memory=polling,
        external=polling,
    )
    feeding = settings.provided.projections
    index_projector = providers.Singleton(
        _projector,
        vector_index,
        embedded_index,
        providers.Callable(
            partial,
            _index_feed,
            settings.provided.vector_index,
            feeding,
            embedder,
        ),
        delivery=providers.Factory(
            IndexDelivery, index=lifted_index, read_models=lifted_read_models, embedding=embedding
        ).provider,
        log=lifted_log,
        state=lifted_state,
        clock=lifted_clock,
        settings=feeding,
    )
    graph_projector = providers.Singleton(
        _projector,
        knowledge_graph,
        embedded_graph,
        providers.Callable(partial, _graph_feed, settings.provided.knowledge_graph, feeding),
        delivery=providers.Factory(GraphDelivery, lifted_graph).provider,
        log=lifted_log,
        state=lifted_state,
        clock=lifted_clock,
        settings=feeding,
    )
    projections = providers.Singleton(_there, index_projector, graph_projector)
    beside = providers.Selector(
        mode,
        inline=providers.Singleton(BesideThreads),
        threads=providers.Singleton(BesideTasks),
    )
    after_commit = providers.Singleton(
        AfterCommit,
        projections=projections,
        clock=lifted_clock,
        beside=beside,
        owner=providers.Callable(_new_id, ids),
        wait=feeding.wait,
    )
    measure_lag = providers.Singleton(
        MeasureLag, projections=projections, log=lifted_log, clock=lifted_clock
    )
    dead_letters = providers.Singleton(
        DeadLetters,
        projections=projections,
        state=lifted_state,
        clock=lifted_clock,
        ids=ids,
        patience=settings.provided.patience,
    )
    index_maintenance = providers.Singleton(
        _compacting, embedded_index, lifted_embedded_index, vector_index, lifted_index
    )
    worker = providers.Factory(
        Worker,
        projections=projections,
        log=lifted_log,
        state=lifted_state,
        append_signal=append_signal,
        clock=lifted_clock,
        ids=ids,
        measure_lag=measure_lag,
        index_maintenance=index_maintenance,
        lease=feeding.lease,
    )
    index_reading = providers.Singleton(
        _reading, lifted_embedded_index, searched_index, index_projector, lifted_log, lifted_clock
    )
    graph_reading = providers.Singleton(
        _reading, lifted_embedded_graph, lifted_graph, graph_projector, lifted_log, lifted_clock
    )
    remember = providers.Singleton(
        Remember,
        log=lifted_log,
        appender=appender,
        facts=lifted_facts,
        # Decisions are made on what the log's own database holds: it never lags.
        index=lifted_embedded_index,
        links=lifted_embedded_graph,
        embedding=embedding,
        embedding_backfill=embedding_backfill,
        extractor=extractor,
        reconciler=reconciler,
        clock=lifted_clock,
        ids=ids,
    )
    ordered_remember = providers.Singleton(
        OrderedRemember,
        remember=remember,
        facts=lifted_facts,
        queues=queues,
        retry_first=settings.provided.retry_on_add,
        after_commit=after_commit,
    )
    remember_many = providers.Singleton(
        RememberMany, remember=remember, ordered_remember=ordered_remember, queues=queues
    )
    retry = providers.Singleton(
        Retry, log=lifted_log, facts=lifted_facts, remember=remember, queues=queues
    )
    # A time limit needs a loop, so that a reranker always waits for its model as on a loop.
    reranker = providers.Singleton(
        _reranker,
        settings.provided.reranker,
        providers.Singleton(lift_to_threads, slow_workers),
        language_model.provider,
    )
    bounded_reranker = providers.Resource(_open_bounded, reranker, settings.provided.reranking)
    reranking = providers.Singleton(_reranking, lift, bounded_reranker, settings.provided.reranking)
    recall = providers.Singleton(
        Recall,
        log=lifted_log,
        facts=lifted_facts,
        index=index_reading,
        graph=graph_reading,
        embedding=embedding,
        reranking=reranking,
    )
    current_graph = providers.Singleton(CurrentGraph, graph_reading)
    resolve = providers.Singleton(ResolveEntity, graph=current_graph, embedding=embedding)
    explore = providers.Singleton(Explore, graph=current_graph, facts=lifted_facts, resolve=resolve)
    browse = providers.Singleton(Browse, log=lifted_log, facts=lifted_facts, clock=lifted_clock)
    curate = providers.Singleton(
        Curate,
        appender=appender,
        facts=lifted_facts,
        links=lifted_embedded_graph,
        embedding=embedding,
    )
    verify = providers.Singleton(
        Verify,
        log=lifted_log,
        facts=lifted_facts,
        links=lifted_embedded_graph,
        index=lifted_embedded_index,
    )
    collect_statistics = providers.Singleton(
        CollectStatistics,
        log=lifted_log,
        facts=lifted_facts,
        read_models=lifted_read_models,
        usage=providers.Singleton(_lifted, lift, usage_store),
        embedder=embedder.provided.model,
        measure_lag=measure_lag,
    )
