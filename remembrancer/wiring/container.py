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
from remembrancer.adapters.models.token_counting import LocalTokens
from remembrancer.application.audit.diff import CompareMoments
from remembrancer.application.audit.port_inspection import PortInspection
from remembrancer.application.audit.statistics import CollectStatistics
from remembrancer.application.audit.timeline import ShowTimeline
from remembrancer.application.audit.undo import UndoRequest
from remembrancer.application.audit.verify import Verify
from remembrancer.application.audit.why import ExplainFact
from remembrancer.application.audit.why_not import ExplainDismissal
from remembrancer.application.context.compose import ComposeContext
from remembrancer.application.edit.correct import Correct
from remembrancer.application.edit.edit_fact import EditFact
from remembrancer.application.edit.end_fact import EndFact
from remembrancer.application.edit.update import Update
from remembrancer.application.edit.withdraw import Withdraw, WithdrawAll
from remembrancer.application.embedding import Embedding
from remembrancer.application.profile.profile import DescribePerson
from remembrancer.application.projections.after_commit import AfterCommit
from remembrancer.application.projections.dead_letters import DeadLetters
from remembrancer.application.projections.delivery import GraphDelivery, IndexDelivery
from remembrancer.application.projections.embedding_backfill import EmbeddingBackfill
from remembrancer.application.projections.lag import MeasureLag
from remembrancer.application.projections.readiness import Readiness
from remembrancer.application.projections.rebuild import Rebuild
from remembrancer.application.projections.run_worker import RunWorker
from remembrancer.application.projections.worker import Worker
from remembrancer.application.recall.as_of import ResolveAsOf
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


class Container(containers.DynamicContainer):
    """All parts by name.

    Tests usually replace ``store`` (a ``Store``), ``key_vault``, ``vector_index``,
    ``knowledge_graph``, ``embedder``, ``language_model``, ``clock``, ``ids``, ``extractor``,
    ``reconciler`` and ``reranker``. ``postgres_pool`` is the host's own connection pool.

    Its providers are created, not copied from a declarative container: copying takes longer than
    everything else that opening a small memory does.

    Args:
        settings: the settings of all parts.
        mode: ``inline`` for ``Memory``, ``threads`` for ``AsyncMemory``.
    """

    def __init__(self, settings: Settings, mode: str) -> None:
        super().__init__()
        self.readiness = providers.Singleton(Readiness)
        self.on_rebuild: providers.Object[Any] = providers.Object(None)
        self.ids = providers.Singleton(UuidSource)
        self._wire_threads(settings)
        if mode == "inline":
            self._wire_inline(settings)
        else:
            self._wire_in_threads(settings)
        self.lifted_clock = providers.Singleton(build.lifted, self.lift, self.clock)
        self._wire_models(settings, mode)
        self._wire_store(settings, mode)
        self._wire_lifted_store()
        self._wire_vector_index(settings)
        self._wire_knowledge_graph(settings)
        self._wire_delivery(settings)
        self._wire_remember(settings)
        self._wire_requests(settings)
        self._wire_recall(settings)
        self._wire_edit()
        self._wire_audit(settings)

    def close(self) -> None:
        """Close what was opened, in order: first what uses the rest."""
        for resource in (
            self.bounded_reranker,
            self.store,
            self.key_vault,
            self.slow_workers,
            self.workers,
            self.loop,
        ):
            resource.shutdown()

    def _wire_threads(self, settings: Settings) -> None:
        self.left_behind: providers.Singleton[list[str]] = providers.Singleton(list)
        self.loop = providers.Resource(build.open_loop, self.left_behind)
        self.workers = providers.Resource(
            build.open_workers, WORKERS, "remembrancer", self.left_behind
        )
        # Sync models and embedders may be slow: they must not block the threads of the stores.
        self.slow_workers = providers.Resource(
            build.open_workers, settings.concurrency, "remembrancer-slow", self.left_behind
        )

    def _wire_inline(self, settings: Settings) -> None:
        self.lift: providers.Provider[Any] = providers.Singleton(lift_inline, self.loop)
        self.lift_slow = self.lift
        self.queues: providers.Provider[Any] = providers.Singleton(
            ThreadQueues, settings.concurrency
        )
        self.clock: providers.Provider[Any] = providers.Singleton(SystemClock)
        self.new_beside: providers.Provider[Any] = providers.Object(BesideThreads)

    def _wire_in_threads(self, settings: Settings) -> None:
        self.lift = providers.Singleton(lift_to_threads, self.workers)
        self.lift_slow = providers.Singleton(lift_to_threads, self.slow_workers)
        self.queues = providers.Singleton(TaskQueues, settings.concurrency)
        self.clock = providers.Singleton(AsyncSystemClock)
        self.new_beside = providers.Object(BesideTasks)

    def _wire_models(self, settings: Settings, mode: str) -> None:
        self.embedder = providers.Singleton(build.build, settings.embedder)
        self.lifted_embedder = providers.Singleton(build.lifted, self.lift_slow, self.embedder)
        self.language_model = providers.Singleton(build.build, settings.language_model)
        # The language model is only built if a part uses it.
        self.extractor = providers.Singleton(
            build.build_asking, settings.extractor, self.lift_slow, self.language_model.provider
        )
        self.reconciler = providers.Singleton(
            build.build_asking, settings.reconciler, self.lift_slow, self.language_model.provider
        )
        self.extracting: providers.Provider[Any] = (
            self.extractor
            if mode == "inline"
            else providers.Singleton(build.offloaded, self.extractor, self.slow_workers)
        )
        # A reranker has a deadline and always runs on an event loop: its model runs in threads.
        self.reranker = providers.Singleton(
            build.build_asking,
            settings.reranker,
            providers.Singleton(lift_to_threads, self.slow_workers),
            self.language_model.provider,
        )
        self.bounded_reranker = providers.Resource(
            build.open_bounded, self.reranker, settings.reranking
        )
        self.reranking = providers.Singleton(
            build.reranking, self.lift, self.bounded_reranker, settings.reranking
        )

    def _wire_store(self, settings: Settings, mode: str) -> None:
        self.key_vault = providers.Resource(build.open_vault, settings.key_vault, self.left_behind)
        self.codec = providers.Singleton(build.codec, self.key_vault)
        self.postgres_pool: providers.Object[Any] = providers.Object(None)
        self.store_choice = providers.Object(settings.audit_log)
        self.store = providers.Resource(
            build.open_store,
            self.store_choice,
            mode,
            self.embedder,
            self.codec,
            self.postgres_pool,
            # Called at the first append: its cache is the index of this store.
            lambda: self.providers["available_vectors"](),
            self.left_behind,
        )
        self.audit_log = providers.Callable(attrgetter("audit_log"), self.store)
        self.fact_store = providers.Callable(attrgetter("fact_store"), self.store)
        self.embedded_index = providers.Callable(attrgetter("vector_index"), self.store)
        self.embedded_graph = providers.Callable(attrgetter("knowledge_graph"), self.store)
        self.usage_store = providers.Callable(attrgetter("usage_store"), self.store)
        self.read_models = providers.Callable(attrgetter("read_models"), self.store)
        self.projection_state = providers.Callable(attrgetter("projection_state"), self.store)

    def _wire_lifted_store(self) -> None:
        self.lifted_log = providers.Singleton(build.lifted, self.lift, self.audit_log)
        self.lifted_facts = providers.Singleton(build.lifted, self.lift, self.fact_store)
        self.lifted_embedded_index = providers.Singleton(
            build.lifted, self.lift, self.embedded_index
        )
        self.lifted_embedded_graph = providers.Singleton(
            build.lifted, self.lift, self.embedded_graph
        )
        self.lifted_read_models = providers.Singleton(build.lifted, self.lift, self.read_models)
        self.lifted_state = providers.Singleton(build.lifted, self.lift, self.projection_state)
        self.embedding = providers.Singleton(
            Embedding, self.lifted_embedder, self.lifted_embedded_index
        )
        self.available_vectors = providers.Singleton(
            build.available_vectors, self.embedder, self.embedding
        )
        self.embedding_backfill = providers.Singleton(
            EmbeddingBackfill,
            read_models=self.lifted_read_models,
            embedding=self.embedding,
            readiness=self.readiness,
        )

    def _wire_vector_index(self, settings: Settings) -> None:
        self.vector_index = providers.Singleton(
            build.build_engine,
            settings.vector_index,
            self.embedded_index.provider,
            self.embedder.provided.model,
            self.embedder.provided.dimension,
        )
        self.lifted_vector_index = providers.Singleton(build.lifted, self.lift, self.vector_index)
        self.searched_index = providers.Singleton(
            feeds.searched_index,
            self.vector_index,
            self.lifted_vector_index,
            self.lifted_embedded_index,
        )
        self.index_projector = providers.Singleton(
            feeds.projector,
            self.vector_index,
            self.embedded_index,
            self.lifted_vector_index,
            providers.Callable(
                partial,
                feeds.index_feed,
                settings.vector_index,
                settings.projections,
                self.embedder,
            ),
            delivery=providers.Factory(
                IndexDelivery,
                index=self.lifted_vector_index,
                read_models=self.lifted_read_models,
                embedding=self.embedding,
                log=self.lifted_log,
            ).provider,
            log=self.lifted_log,
            state=self.lifted_state,
            clock=self.lifted_clock,
            settings=settings.projections,
        )
        self.index_reading = providers.Singleton(
            feeds.read_fallback,
            self.lifted_embedded_index,
            self.searched_index,
            self.index_projector,
            self.lifted_log,
            self.lifted_clock,
        )
        self.index_maintenance = providers.Singleton(
            feeds.index_maintenance,
            self.embedded_index,
            self.lifted_embedded_index,
            self.vector_index,
            self.lifted_vector_index,
            self.readiness,
        )

    def _wire_knowledge_graph(self, settings: Settings) -> None:
        self.knowledge_graph = providers.Singleton(
            build.build_engine, settings.knowledge_graph, self.embedded_graph.provider
        )
        self.lifted_knowledge_graph = providers.Singleton(
            build.lifted, self.lift, self.knowledge_graph
        )
        self.graph_projector = providers.Singleton(
            feeds.projector,
            self.knowledge_graph,
            self.embedded_graph,
            self.lifted_knowledge_graph,
            providers.Callable(
                partial, feeds.graph_feed, settings.knowledge_graph, settings.projections
            ),
            delivery=providers.Factory(GraphDelivery, self.lifted_knowledge_graph).provider,
            log=self.lifted_log,
            state=self.lifted_state,
            clock=self.lifted_clock,
            settings=settings.projections,
        )
        self.graph_reading = providers.Singleton(
            feeds.read_fallback,
            self.lifted_embedded_graph,
            self.lifted_knowledge_graph,
            self.graph_projector,
            self.lifted_log,
            self.lifted_clock,
        )
        self.current_graph = providers.Singleton(CurrentGraph, self.graph_reading)

    def _wire_delivery(self, settings: Settings) -> None:
        self.projections = providers.Singleton(
            feeds.external_projections, self.index_projector, self.graph_projector
        )
        self.append_signal = providers.Singleton(
            build.append_signal, self.store, self.lift, self.lifted_log, self.lifted_clock
        )
        self.beside = providers.Singleton(build.call, self.new_beside)
        self.after_commit = providers.Singleton(
            AfterCommit,
            projections=self.projections,
            clock=self.lifted_clock,
            beside=self.beside,
            owner=providers.Callable(build.new_id, self.ids),
            wait=settings.projections.wait,
        )
        self.measure_lag = providers.Factory(
            MeasureLag, projections=self.projections, log=self.lifted_log, clock=self.lifted_clock
        )
        self.dead_letters = providers.Singleton(
            DeadLetters,
            projections=self.projections,
            state=self.lifted_state,
            clock=self.lifted_clock,
            ids=self.ids,
            patience=settings.patience,
        )
        self.worker = providers.Factory(
            Worker,
            projections=self.projections,
            log=self.lifted_log,
            state=self.lifted_state,
            append_signal=self.append_signal,
            clock=self.lifted_clock,
            ids=self.ids,
            measure_lag=self.measure_lag,
            index_maintenance=self.index_maintenance,
            lease=settings.projections.lease,
        )
        self.run_worker = providers.Singleton(
            RunWorker, make_worker=self.worker.provider, beside=self.new_beside
        )
        self.rebuild = providers.Singleton(
            Rebuild,
            read_models=self.lifted_read_models,
            log=self.audit_log,
            readiness=self.readiness,
            on_rebuild=self.on_rebuild,
            projections=self.projections,
            make_worker=self.worker.provider,
            make_measure_lag=self.measure_lag.provider,
            run_worker=self.run_worker,
        )

    def _wire_remember(self, settings: Settings) -> None:
        self.appender = providers.Singleton(
            OptimisticAppender,
            log=self.lifted_log,
            clock=self.lifted_clock,
            ids=self.ids,
            patience=settings.patience,
            actor_names=settings.actor_names,
            clock_lead=settings.clock_lead,
            readiness=self.readiness,
        )
        self.find_neighbours = providers.Singleton(
            FindNeighbours,
            facts=self.lifted_facts,
            # The store's own index never lags.
            index=self.lifted_embedded_index,
            embedding=self.embedding,
        )
        self.pipeline = providers.Singleton(
            Pipeline,
            extractor=self.extractor,
            reconciler=self.reconciler,
            embedder=self.embedder,
            facts=self.lifted_facts,
        )
        self.settle = providers.Singleton(
            Settle,
            log=self.lifted_log,
            appender=self.appender,
            facts=self.lifted_facts,
            find_neighbours=self.find_neighbours,
            links=self.lifted_embedded_graph,
            embedding=self.embedding,
            embedding_backfill=self.embedding_backfill,
            pipeline=self.pipeline,
            clock=self.lifted_clock,
        )
        self.remember = providers.Singleton(
            Remember,
            log=self.lifted_log,
            appender=self.appender,
            settle=self.settle,
            extractor=self.extracting,
            reconciler=self.reconciler,
            clock=self.lifted_clock,
            ids=self.ids,
        )

    def _wire_requests(self, settings: Settings) -> None:
        self.ordered_remember = providers.Singleton(
            OrderedRemember,
            remember=self.remember,
            facts=self.lifted_facts,
            queues=self.queues,
            retry_first=settings.retry_on_add,
            after_commit=self.after_commit,
        )
        self.remember_many = providers.Singleton(
            RememberMany,
            remember=self.remember,
            ordered_remember=self.ordered_remember,
            queues=self.queues,
        )
        self.retry = providers.Singleton(
            Retry,
            log=self.lifted_log,
            facts=self.lifted_facts,
            remember=self.remember,
            queues=self.queues,
            after_commit=self.after_commit,
        )
        self.make_statement = providers.Singleton(
            MakeStatement,
            settle=self.settle,
            appender=self.appender,
            after_commit=self.after_commit,
            clock=self.lifted_clock,
            ids=self.ids,
        )

    def _wire_recall(self, settings: Settings) -> None:
        self.recall = providers.Singleton(
            Recall,
            log=self.lifted_log,
            facts=self.lifted_facts,
            index=self.index_reading,
            graph=self.graph_reading,
            embedding=self.embedding,
            readiness=self.readiness,
            weights=settings.recall,
            reranking=self.reranking,
        )
        self.resolve = providers.Singleton(
            ResolveEntity, graph=self.current_graph, embedding=self.embedding
        )
        self.explore = providers.Singleton(
            Explore, graph=self.current_graph, facts=self.lifted_facts, resolve=self.resolve
        )
        self.resolve_as_of = providers.Singleton(
            ResolveAsOf, log=self.lifted_log, clock=self.lifted_clock
        )
        self.browse = providers.Singleton(
            Browse,
            log=self.lifted_log,
            facts=self.lifted_facts,
            resolve_as_of=self.resolve_as_of,
        )
        self.token_counter = providers.Singleton(LocalTokens)
        self.compose_context = providers.Singleton(
            ComposeContext,
            recall=self.recall,
            counter=providers.Singleton(build.lifted, self.lift, self.token_counter),
        )
        self.describe_person = providers.Singleton(DescribePerson, browse=self.browse)

    def _wire_edit(self) -> None:
        self.edit_fact = providers.Singleton(
            EditFact,
            appender=self.appender,
            facts=self.lifted_facts,
            after_commit=self.after_commit,
        )
        self.read_timeline = providers.Singleton(
            ReadTimeline, facts=self.lifted_facts, clock=self.lifted_clock
        )
        self.update = providers.Singleton(
            Update,
            edit_fact=self.edit_fact,
            links=self.lifted_embedded_graph,
            embedding=self.embedding,
        )
        self.withdraw = providers.Singleton(
            Withdraw, edit_fact=self.edit_fact, read_timeline=self.read_timeline
        )
        self.withdraw_all = providers.Singleton(
            WithdrawAll,
            appender=self.appender,
            facts=self.lifted_facts,
            after_commit=self.after_commit,
        )
        self.end_fact = providers.Singleton(
            EndFact, edit_fact=self.edit_fact, read_timeline=self.read_timeline
        )
        self.correct = providers.Singleton(
            Correct,
            edit_fact=self.edit_fact,
            read_timeline=self.read_timeline,
            links=self.lifted_embedded_graph,
            embedding=self.embedding,
        )

    def _wire_audit(self, settings: Settings) -> None:
        self.inspection = providers.Singleton(
            build.inspection,
            self.store,
            self.lift,
            providers.Factory(
                PortInspection,
                log=self.lifted_log,
                facts=self.lifted_facts,
                links=self.lifted_embedded_graph,
                index=self.lifted_embedded_index,
            ).provider,
        )
        self.verify = providers.Singleton(
            Verify,
            log=self.lifted_log,
            inspection=self.inspection,
            clock=self.lifted_clock,
            clock_lead=settings.clock_lead,
            embedder=self.embedder,
            engines=providers.Callable(feeds.names_of, self.projections),
        )
        self.explain_fact = providers.Singleton(
            ExplainFact, log=self.lifted_log, facts=self.lifted_facts, browse=self.browse
        )
        self.compare_moments = providers.Singleton(
            CompareMoments,
            log=self.lifted_log,
            facts=self.lifted_facts,
            resolve_as_of=self.resolve_as_of,
        )
        self.show_timeline = providers.Singleton(
            ShowTimeline,
            log=self.lifted_log,
            facts=self.lifted_facts,
            compare_moments=self.compare_moments,
        )
        self.explain_dismissal = providers.Singleton(
            ExplainDismissal, log=self.lifted_log, facts=self.lifted_facts
        )
        self.undo_request = providers.Singleton(
            UndoRequest,
            log=self.lifted_log,
            facts=self.lifted_facts,
            links=self.lifted_embedded_graph,
            appender=self.appender,
            embedding=self.embedding,
            after_commit=self.after_commit,
            clock=self.lifted_clock,
        )
        self.collect_statistics = providers.Singleton(
            CollectStatistics,
            log=self.lifted_log,
            facts=self.lifted_facts,
            read_models=self.lifted_read_models,
            usage=providers.Singleton(build.lifted, self.lift, self.usage_store),
            embedder=self.embedder.provided.model,
            measure_lag=self.measure_lag,
        )
