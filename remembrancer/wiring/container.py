"""The composition root: wires all parts together.

Parts are built on first use. Tests can replace any of them with ``override`` before the memory is
opened.
"""

from __future__ import annotations

from functools import partial
from operator import attrgetter
from typing import Any

from dependency_injector import containers, providers

from remembrancer.adapters.clock.system import AsyncSystemClock, SystemClock, UuidSource
from remembrancer.application.audit.statistics import CollectStatistics
from remembrancer.application.audit.verify import Verify
from remembrancer.application.edit.correct import Correct
from remembrancer.application.edit.edit_fact import EditFact
from remembrancer.application.edit.end_fact import EndFact
from remembrancer.application.edit.update import Update
from remembrancer.application.edit.withdraw import Withdraw, WithdrawAll
from remembrancer.application.embedding import Embedding
from remembrancer.application.projections.after_commit import AfterCommit
from remembrancer.application.projections.dead_letters import DeadLetters
from remembrancer.application.projections.delivery import GraphDelivery, IndexDelivery
from remembrancer.application.projections.embedding_backfill import EmbeddingBackfill
from remembrancer.application.projections.lag import MeasureLag
from remembrancer.application.projections.readiness import Readiness
from remembrancer.application.projections.rebuild import Rebuild
from remembrancer.application.projections.run_worker import RunWorker
from remembrancer.application.projections.worker import Worker
from remembrancer.application.recall.browse import Browse
from remembrancer.application.recall.entity_resolution import ResolveEntity
from remembrancer.application.recall.explore import Explore
from remembrancer.application.recall.read_fallback import CurrentGraph
from remembrancer.application.recall.recall import Recall
from remembrancer.application.remember.neighbours import FindNeighbours
from remembrancer.application.remember.optimistic_append import OptimisticAppender
from remembrancer.application.remember.ordered_remember import OrderedRemember
from remembrancer.application.remember.pipeline import Pipeline
from remembrancer.application.remember.remember import Remember
from remembrancer.application.remember.remember_many import RememberMany
from remembrancer.application.remember.retry import Retry
from remembrancer.application.remember.settle import Settle
from remembrancer.application.statements.make_statement import MakeStatement
from remembrancer.application.statements.slot_timeline import ReadTimeline
from remembrancer.runtime.queue_workers import TaskQueues, ThreadQueues
from remembrancer.runtime.sync_bridge import (
    BesideTasks,
    BesideThreads,
    lift_inline,
    lift_to_threads,
)
from remembrancer.wiring import build, feeds
from remembrancer.wiring.settings import Settings

WORKERS = 16
"""Threads for sync adapters under ``AsyncMemory``; SQLite is not faster with more."""

STORE_PARTS = (
    "audit_log",
    "fact_store",
    "embedded_index",
    "embedded_graph",
    "usage_store",
    "read_models",
    "projection_state",
)
"""Parts that commit together. They can only be replaced together: override ``store``."""


class Container(containers.DeclarativeContainer):
    """All parts by name.

    Tests usually replace ``store`` (a ``Store``), ``key_vault``, ``vector_index``,
    ``knowledge_graph``, ``embedder``, ``language_model``, ``clock``, ``ids``, ``extractor``,
    ``reconciler`` and ``reranker``. ``postgres_pool`` is the host's own connection pool.
    """

    itself: providers.Provider[Any] = providers.Self()
    settings = providers.Dependency(instance_of=Settings)
    mode = providers.Dependency(instance_of=str)

    left_behind: providers.Singleton[list[str]] = providers.Singleton(list)
    loop = providers.Resource(build.open_loop, left_behind)
    workers = providers.Resource(build.open_workers, WORKERS, "remembrancer", left_behind)
    lift = providers.Selector(
        mode,
        inline=providers.Singleton(lift_inline, loop),
        threads=providers.Singleton(lift_to_threads, workers),
    )
    # Sync models and embedders may be slow: they must not block the threads of the stores.
    slow_workers = providers.Resource(
        build.open_workers, settings.provided.concurrency, "remembrancer-slow", left_behind
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
    embedder = providers.Singleton(build.build, settings.provided.embedder)
    language_model = providers.Singleton(build.build, settings.provided.language_model)
    # The language model is only built if a part uses it.
    extractor = providers.Singleton(
        build.build_asking, settings.provided.extractor, lift_slow, language_model.provider
    )
    reconciler = providers.Singleton(
        build.build_asking, settings.provided.reconciler, lift_slow, language_model.provider
    )
    extracting = providers.Selector(
        mode,
        inline=extractor,
        threads=providers.Singleton(build.offloaded, extractor, slow_workers),
    )
    key_vault = providers.Resource(build.open_vault, settings.provided.key_vault, left_behind)
    codec = providers.Singleton(build.codec, key_vault)
    postgres_pool: providers.Object[Any] = providers.Object(None)
    store = providers.Resource(
        build.open_store,
        settings.provided.audit_log,
        mode,
        embedder,
        codec,
        postgres_pool,
        # Called at the first append: its cache is the index of this store.
        providers.Callable(attrgetter("available_vectors"), itself),
        left_behind,
    )
    audit_log = providers.Callable(attrgetter("audit_log"), store)
    fact_store = providers.Callable(attrgetter("fact_store"), store)
    embedded_index = providers.Callable(attrgetter("vector_index"), store)
    embedded_graph = providers.Callable(attrgetter("knowledge_graph"), store)
    usage_store = providers.Callable(attrgetter("usage_store"), store)
    read_models = providers.Callable(attrgetter("read_models"), store)
    projection_state = providers.Callable(attrgetter("projection_state"), store)
    vector_index = providers.Singleton(
        build.build_engine,
        settings.provided.vector_index,
        embedded_index.provider,
        embedder.provided.model,
        embedder.provided.dimension,
    )
    knowledge_graph = providers.Singleton(
        build.build_engine, settings.provided.knowledge_graph, embedded_graph.provider
    )
    readiness = providers.Singleton(Readiness)
    on_rebuild: providers.Object[Any] = providers.Object(None)
    lifted_embedder = providers.Singleton(build.lifted, lift_slow, embedder)
    lifted_embedded_index = providers.Singleton(build.lifted, lift, embedded_index)
    lifted_vector_index = providers.Singleton(build.lifted, lift, vector_index)
    searched_index = providers.Singleton(
        feeds.searched_index, vector_index, lifted_vector_index, lifted_embedded_index
    )
    lifted_embedded_graph = providers.Singleton(build.lifted, lift, embedded_graph)
    lifted_knowledge_graph = providers.Singleton(build.lifted, lift, knowledge_graph)
    embedding = providers.Singleton(Embedding, lifted_embedder, lifted_embedded_index)
    available_vectors = providers.Singleton(build.available_vectors, embedder, embedding)
    lifted_log = providers.Singleton(build.lifted, lift, audit_log)
    lifted_facts = providers.Singleton(build.lifted, lift, fact_store)
    lifted_clock = providers.Singleton(build.lifted, lift, clock)
    appender = providers.Singleton(
        OptimisticAppender,
        log=lifted_log,
        clock=lifted_clock,
        ids=ids,
        patience=settings.provided.patience,
        actor_names=settings.provided.actor_names,
        clock_lead=settings.provided.clock_lead,
        readiness=readiness,
    )
    lifted_read_models = providers.Singleton(build.lifted, lift, read_models)
    embedding_backfill = providers.Singleton(
        EmbeddingBackfill,
        read_models=lifted_read_models,
        embedding=embedding,
        readiness=readiness,
    )
    lifted_state = providers.Singleton(build.lifted, lift, projection_state)
    append_signal = providers.Singleton(build.append_signal, store, lift, lifted_log, lifted_clock)
    feeding = settings.provided.projections
    index_projector = providers.Singleton(
        feeds.projector,
        vector_index,
        embedded_index,
        lifted_vector_index,
        providers.Callable(
            partial,
            feeds.index_feed,
            settings.provided.vector_index,
            feeding,
            embedder,
        ),
        delivery=providers.Factory(
            IndexDelivery,
            index=lifted_vector_index,
            read_models=lifted_read_models,
            embedding=embedding,
        ).provider,
        log=lifted_log,
        state=lifted_state,
        clock=lifted_clock,
        settings=feeding,
    )
    graph_projector = providers.Singleton(
        feeds.projector,
        knowledge_graph,
        embedded_graph,
        lifted_knowledge_graph,
        providers.Callable(partial, feeds.graph_feed, settings.provided.knowledge_graph, feeding),
        delivery=providers.Factory(GraphDelivery, lifted_knowledge_graph).provider,
        log=lifted_log,
        state=lifted_state,
        clock=lifted_clock,
        settings=feeding,
    )
    projections = providers.Singleton(feeds.external_projections, index_projector, graph_projector)
    new_beside = providers.Selector(
        mode,
        inline=providers.Object(BesideThreads),
        threads=providers.Object(BesideTasks),
    )
    beside = providers.Singleton(build.call, new_beside)
    after_commit = providers.Singleton(
        AfterCommit,
        projections=projections,
        clock=lifted_clock,
        beside=beside,
        owner=providers.Callable(build.new_id, ids),
        wait=feeding.wait,
    )
    measure_lag = providers.Factory(
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
        feeds.index_maintenance,
        embedded_index,
        lifted_embedded_index,
        vector_index,
        lifted_vector_index,
        readiness,
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
    run_worker = providers.Singleton(RunWorker, make_worker=worker.provider, beside=new_beside)
    rebuild = providers.Singleton(
        Rebuild,
        read_models=lifted_read_models,
        log=audit_log,
        readiness=readiness,
        on_rebuild=on_rebuild,
        projections=projections,
        make_worker=worker.provider,
        make_measure_lag=measure_lag.provider,
        run_worker=run_worker,
    )
    index_reading = providers.Singleton(
        feeds.read_fallback,
        lifted_embedded_index,
        searched_index,
        index_projector,
        lifted_log,
        lifted_clock,
    )
    graph_reading = providers.Singleton(
        feeds.read_fallback,
        lifted_embedded_graph,
        lifted_knowledge_graph,
        graph_projector,
        lifted_log,
        lifted_clock,
    )
    find_neighbours = providers.Singleton(
        FindNeighbours,
        facts=lifted_facts,
        # The store's own index never lags.
        index=lifted_embedded_index,
        embedding=embedding,
    )
    pipeline = providers.Singleton(
        Pipeline, extractor=extractor, reconciler=reconciler, embedder=embedder, facts=lifted_facts
    )
    settle = providers.Singleton(
        Settle,
        log=lifted_log,
        appender=appender,
        facts=lifted_facts,
        find_neighbours=find_neighbours,
        links=lifted_embedded_graph,
        embedding=embedding,
        embedding_backfill=embedding_backfill,
        pipeline=pipeline,
        clock=lifted_clock,
    )
    remember = providers.Singleton(
        Remember,
        log=lifted_log,
        appender=appender,
        settle=settle,
        extractor=extracting,
        reconciler=reconciler,
        clock=lifted_clock,
        ids=ids,
    )
    make_statement = providers.Singleton(
        MakeStatement,
        settle=settle,
        appender=appender,
        after_commit=after_commit,
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
        Retry,
        log=lifted_log,
        facts=lifted_facts,
        remember=remember,
        queues=queues,
        after_commit=after_commit,
    )
    # A reranker has a deadline and always runs on an event loop, so its model is lifted to threads.
    reranker = providers.Singleton(
        build.build_asking,
        settings.provided.reranker,
        providers.Singleton(lift_to_threads, slow_workers),
        language_model.provider,
    )
    bounded_reranker = providers.Resource(build.open_bounded, reranker, settings.provided.reranking)
    reranking = providers.Singleton(
        build.reranking, lift, bounded_reranker, settings.provided.reranking
    )
    recall = providers.Singleton(
        Recall,
        log=lifted_log,
        facts=lifted_facts,
        index=index_reading,
        graph=graph_reading,
        embedding=embedding,
        readiness=readiness,
        reranking=reranking,
    )
    current_graph = providers.Singleton(CurrentGraph, graph_reading)
    resolve = providers.Singleton(ResolveEntity, graph=current_graph, embedding=embedding)
    explore = providers.Singleton(Explore, graph=current_graph, facts=lifted_facts, resolve=resolve)
    browse = providers.Singleton(Browse, log=lifted_log, facts=lifted_facts, clock=lifted_clock)
    edit_fact = providers.Singleton(
        EditFact, appender=appender, facts=lifted_facts, after_commit=after_commit
    )
    update = providers.Singleton(
        Update, edit_fact=edit_fact, links=lifted_embedded_graph, embedding=embedding
    )
    read_timeline = providers.Singleton(ReadTimeline, facts=lifted_facts, clock=lifted_clock)
    withdraw = providers.Singleton(Withdraw, edit_fact=edit_fact, read_timeline=read_timeline)
    end_fact = providers.Singleton(EndFact, edit_fact=edit_fact, read_timeline=read_timeline)
    correct = providers.Singleton(
        Correct,
        edit_fact=edit_fact,
        read_timeline=read_timeline,
        links=lifted_embedded_graph,
        embedding=embedding,
    )
    withdraw_all = providers.Singleton(
        WithdrawAll, appender=appender, facts=lifted_facts, after_commit=after_commit
    )
    verify = providers.Singleton(
        Verify,
        log=lifted_log,
        facts=lifted_facts,
        links=lifted_embedded_graph,
        index=lifted_embedded_index,
        clock=lifted_clock,
        clock_lead=settings.provided.clock_lead,
    )
    collect_statistics = providers.Singleton(
        CollectStatistics,
        log=lifted_log,
        facts=lifted_facts,
        read_models=lifted_read_models,
        usage=providers.Singleton(build.lifted, lift, usage_store),
        embedder=embedder.provided.model,
        measure_lag=measure_lag,
    )
