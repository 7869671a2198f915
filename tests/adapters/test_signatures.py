"""The signatures of all built-in adapters, compared with their ports: names, order, kinds, defaults
and annotations of all parameters.

A type checker does not compare them: an adapter may be written with plain methods, where its port
has ``async def``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from importlib import import_module
from inspect import Parameter, iscoroutinefunction, signature
from pkgutil import iter_modules, resolve_name
from typing import Any, Protocol

import pytest

from remembrancer.adapters.clock.system import AsyncSystemClock, SystemClock, UuidSource
from remembrancer.adapters.key_vault.memory import InMemoryKeyVault
from remembrancer.adapters.key_vault.sqlite import SqliteKeyVault
from remembrancer.adapters.knowledge_graph.neo4j.graph import Neo4jKnowledgeGraph
from remembrancer.adapters.models.bounded_reranker import BoundedReranker
from remembrancer.adapters.models.fastembed.embedder import FastembedEmbedder
from remembrancer.adapters.models.fastembed.reranker import FastembedReranker
from remembrancer.adapters.models.hashing import HashingEmbedder
from remembrancer.adapters.models.litellm.embedder import LitellmEmbedder
from remembrancer.adapters.models.litellm.language_model import LitellmLanguageModel
from remembrancer.adapters.models.litellm.reranker import LitellmReranker
from remembrancer.adapters.models.local_folder import LocalFolderEmbedder
from remembrancer.adapters.models.token_counting import (
    EncodedTokens,
    EstimatedTokens,
    LocalTokens,
)
from remembrancer.adapters.stores.memory.audit_log import InMemoryAuditLog
from remembrancer.adapters.stores.memory.fact_store import InMemoryFactStore
from remembrancer.adapters.stores.memory.inspection import InMemoryInspection
from remembrancer.adapters.stores.memory.knowledge_graph import InMemoryKnowledgeGraph
from remembrancer.adapters.stores.memory.projection_state import InMemoryProjectionState
from remembrancer.adapters.stores.memory.read_models import InMemoryReadModels
from remembrancer.adapters.stores.memory.usage_store import InMemoryUsageStore
from remembrancer.adapters.stores.memory.vector_index import InMemoryVectorIndex
from remembrancer.adapters.stores.postgres.append_signal import PostgresAppendSignal
from remembrancer.adapters.stores.postgres.audit_log import PostgresAuditLog
from remembrancer.adapters.stores.postgres.fact_store import PostgresFactStore
from remembrancer.adapters.stores.postgres.inspection.inspection import PostgresInspection
from remembrancer.adapters.stores.postgres.knowledge_graph import PostgresKnowledgeGraph
from remembrancer.adapters.stores.postgres.projection_state import PostgresProjectionState
from remembrancer.adapters.stores.postgres.read_models import PostgresReadModels
from remembrancer.adapters.stores.postgres.usage_store import PostgresUsageStore
from remembrancer.adapters.stores.postgres.vector_index import PostgresVectorIndex
from remembrancer.adapters.stores.shared.codec import EventCodec
from remembrancer.adapters.stores.shared.sealing import SealingCodec
from remembrancer.adapters.stores.sqlite.audit_log import SqliteAuditLog
from remembrancer.adapters.stores.sqlite.fact_store import SqliteFactStore
from remembrancer.adapters.stores.sqlite.inspection.inspection import SqliteInspection
from remembrancer.adapters.stores.sqlite.knowledge_graph import SqliteKnowledgeGraph
from remembrancer.adapters.stores.sqlite.projection_state import SqliteProjectionState
from remembrancer.adapters.stores.sqlite.read_models import SqliteReadModels
from remembrancer.adapters.stores.sqlite.usage_store import SqliteUsageStore
from remembrancer.adapters.stores.sqlite.vector_index import SqliteVectorIndex
from remembrancer.adapters.vector_index.langchain import LangchainVectorIndex
from remembrancer.adapters.vector_index.pgvector import PgvectorIndex
from remembrancer.adapters.vector_index.qdrant import QdrantVectorIndex
from remembrancer.adapters.vector_index.weaviate import WeaviateVectorIndex
from remembrancer.application.extraction.model.extractor import ModelExtractor
from remembrancer.application.extraction.rules.extractor import RulesExtractor
from remembrancer.application.projections.polling import Polling
from remembrancer.application.recall.hybrid_index import HybridIndex
from remembrancer.application.recall.model_reranker import ModelReranker
from remembrancer.application.reconciliation.model import ModelReconciler
from remembrancer.application.reconciliation.rules import RulesReconciler
from remembrancer.application.remember.verbatim import VerbatimReconciler
from remembrancer.domain import ports
from remembrancer.domain.ports.append_signal import AppendSignal
from remembrancer.domain.ports.audit_log import AuditLog
from remembrancer.domain.ports.clock import Clock, IdSource
from remembrancer.domain.ports.codec import Codec
from remembrancer.domain.ports.embedder import Embedder
from remembrancer.domain.ports.external_engine import (
    Claimable,
    Engine,
    ExternalGraph,
    ExternalIndex,
    Fingerprinted,
)
from remembrancer.domain.ports.extractor import Extractor
from remembrancer.domain.ports.fact_store import FactStore
from remembrancer.domain.ports.inspection import Inspection
from remembrancer.domain.ports.key_vault import KeyVault
from remembrancer.domain.ports.knowledge_graph import KnowledgeGraph
from remembrancer.domain.ports.language_model import LanguageModel
from remembrancer.domain.ports.link_history import LinkHistory
from remembrancer.domain.ports.local import Local
from remembrancer.domain.ports.never_suspends import NeverSuspends
from remembrancer.domain.ports.projection_state import ProjectionState
from remembrancer.domain.ports.read_models import (
    CatchesUp,
    HasState,
    ReadModels,
    Rebuildable,
)
from remembrancer.domain.ports.reconciler import ComparesWords, Reconciler
from remembrancer.domain.ports.reranker import Reranker
from remembrancer.domain.ports.self_description import DescribesItself
from remembrancer.domain.ports.token_counter import TokenCounter
from remembrancer.domain.ports.usage_store import UsageStore
from remembrancer.domain.ports.vector_index import (
    Compactable,
    DeclaresSignals,
    SearchedIndex,
    TellsMissingVectors,
    VectorIndex,
)
from remembrancer.wiring.registry import BUILT_IN, build_nothing

Class = type[Any]

ADAPTERS: Mapping[Class, Sequence[Class]] = {
    AppendSignal: [PostgresAppendSignal, Polling],
    AuditLog: [InMemoryAuditLog, SqliteAuditLog, PostgresAuditLog],
    CatchesUp: [SqliteReadModels, PostgresReadModels],
    Claimable: [PgvectorIndex, QdrantVectorIndex, WeaviateVectorIndex, Neo4jKnowledgeGraph],
    Clock: [SystemClock, AsyncSystemClock],
    Codec: [EventCodec, SealingCodec],
    Compactable: [SqliteVectorIndex, PostgresVectorIndex, PgvectorIndex],
    Embedder: [HashingEmbedder, LitellmEmbedder, FastembedEmbedder, LocalFolderEmbedder],
    TokenCounter: [LocalTokens, EncodedTokens, EstimatedTokens],
    ExternalGraph: [Neo4jKnowledgeGraph],
    ExternalIndex: [PgvectorIndex, LangchainVectorIndex, QdrantVectorIndex, WeaviateVectorIndex],
    Extractor: [RulesExtractor, ModelExtractor],
    FactStore: [InMemoryFactStore, SqliteFactStore, PostgresFactStore],
    HasState: [SqliteReadModels, PostgresReadModels],
    IdSource: [UuidSource],
    Inspection: [InMemoryInspection, SqliteInspection, PostgresInspection],
    KeyVault: [InMemoryKeyVault, SqliteKeyVault],
    KnowledgeGraph: [InMemoryKnowledgeGraph, SqliteKnowledgeGraph, PostgresKnowledgeGraph],
    LanguageModel: [LitellmLanguageModel],
    LinkHistory: [InMemoryKnowledgeGraph, SqliteKnowledgeGraph, PostgresKnowledgeGraph],
    ProjectionState: [InMemoryProjectionState, SqliteProjectionState, PostgresProjectionState],
    Rebuildable: [SqliteReadModels, PostgresReadModels],
    ReadModels: [InMemoryReadModels, SqliteReadModels, PostgresReadModels],
    ComparesWords: [RulesReconciler],
    Reconciler: [RulesReconciler, ModelReconciler, VerbatimReconciler],
    Reranker: [LitellmReranker, FastembedReranker, ModelReranker, BoundedReranker],
    SearchedIndex: [HybridIndex],
    TellsMissingVectors: [InMemoryVectorIndex, SqliteVectorIndex, PostgresVectorIndex],
    UsageStore: [InMemoryUsageStore, SqliteUsageStore, PostgresUsageStore],
    VectorIndex: [InMemoryVectorIndex, SqliteVectorIndex, PostgresVectorIndex],
}

PARTS_OF_PORTS = {Engine}
"""Implemented as a part of other ports."""

ATTRIBUTES_ALONE = {DeclaresSignals, DescribesItself, Fingerprinted, Local, NeverSuspends}
"""Protocols without methods."""

CHOSEN: Mapping[str, Class] = {
    "embedder": Embedder,
    "extractor": Extractor,
    "key_vault": KeyVault,
    "knowledge_graph": ExternalGraph,
    "language_model": LanguageModel,
    "reconciler": Reconciler,
    "reranker": Reranker,
    "vector_index": ExternalIndex,
}
"""The port behind each section of the settings, except ``audit_log``, which builds a store."""

STORE_PORTS = (
    AuditLog,
    FactStore,
    KnowledgeGraph,
    LinkHistory,
    ProjectionState,
    ReadModels,
    UsageStore,
    VectorIndex,
)


def members(port: Class) -> Iterator[tuple[str, Any]]:
    """Yield the public members of a Protocol and of the Protocols that it extends."""
    for name in dir(port):
        if not name.startswith("_"):
            yield name, getattr(port, name)


def differences(port: Class, adapter: Class) -> list[str]:
    """Return how an adapter differs from its port, in words."""
    found: list[str] = []
    for name, wanted in members(port):
        if not hasattr(adapter, name):
            found.append(f"{name} is missing")
        elif callable(wanted):
            found += [f"{name}: {each}" for each in _in_method(wanted, getattr(adapter, name))]
    return found


def _in_method(wanted: Any, given: Any) -> Iterator[str]:
    if iscoroutinefunction(given) and not iscoroutinefunction(wanted):
        yield "is async, but the port calls it as a plain method"
    ours = list(signature(wanted).parameters.values())
    theirs = list(signature(given).parameters.values())
    for place, parameter in enumerate(ours):
        other = theirs[place] if place < len(theirs) else None
        if other is None or not _fits(other, parameter):
            yield f"expected {_told(parameter)}, got {_told(other) if other else 'nothing'}"
    for extra in theirs[len(ours) :]:
        if extra.default is Parameter.empty:
            yield f"{_told(extra)} is not in the port and has no default"
    expected, returned = (signature(each).return_annotation for each in (wanted, given))
    if returned != expected:
        yield f"expected -> {expected}, got -> {returned}"


def _fits(given: Parameter, wanted: Parameter) -> bool:
    # ``Any`` in a port: each store has a type of its own.
    annotation = given.annotation if wanted.annotation == "Any" else wanted.annotation
    return given == wanted.replace(annotation=annotation)


def _told(parameter: Parameter) -> str:
    return f"{parameter} ({parameter.kind.description})"


@pytest.mark.parametrize(
    ("port", "adapter"),
    [
        pytest.param(port, adapter, id=f"{port.__name__}-{adapter.__name__}")
        for port, adapters in ADAPTERS.items()
        for adapter in adapters
    ],
)
def test_adapter_has_the_methods_of_its_port_with_the_same_parameters(
    port: Class, adapter: Class
) -> None:
    assert differences(port, adapter) == []


def built(port: str, name: str) -> Class | None:
    """Return the class of a built-in adapter, ``None`` for no adapter."""
    build = resolve_name(BUILT_IN[port][name].build)
    if build is build_nothing:
        return None
    if isinstance(build, type):
        return build
    if isinstance(maker := getattr(build, "__self__", None), type):
        return maker
    # The adapters that ask a model are made by functions, and don't call it when they are made.
    settings = resolve_name(BUILT_IN[port][name].settings)
    return type(build(settings(), object()))


@pytest.mark.parametrize(
    ("port", "name"), [(port, name) for port in CHOSEN for name in BUILT_IN[port]]
)
def test_every_built_in_adapter_is_compared_with_its_port(port: str, name: str) -> None:
    adapter = built(port, name)
    assert adapter is None or adapter in ADAPTERS[CHOSEN[port]]


@pytest.mark.parametrize("port", STORE_PORTS, ids=lambda port: port.__name__)
@pytest.mark.parametrize("name", BUILT_IN["audit_log"])
def test_every_part_of_a_built_in_store_is_compared_with_its_port(name: str, port: Class) -> None:
    module = import_module(BUILT_IN["audit_log"][name].build.partition(":")[0])
    assert [each for each in ADAPTERS[port] if each in vars(module).values()]


def test_every_section_of_the_settings_has_its_port() -> None:
    assert {*CHOSEN, "audit_log"} == BUILT_IN.keys()


def test_every_protocol_of_the_ports_is_compared() -> None:
    protocols = {
        each
        for module in iter_modules(ports.__path__, f"{ports.__name__}.")
        for each in vars(import_module(module.name)).values()
        if isinstance(each, type) and getattr(each, "_is_protocol", False) and each is not Protocol
    }
    assert protocols == {*ADAPTERS, *PARTS_OF_PORTS, *ATTRIBUTES_ALONE}


class Kettle(Protocol):
    """A port for the tests of the comparison."""

    @property
    def litres(self) -> float: ...

    async def boil(self, cups: int, *, degrees: int = 100) -> None: ...

    def empty(self) -> None: ...


class PlainKettle:
    litres = 1.7

    def boil(self, cups: int, *, degrees: int = 100, lid: bool = True) -> None: ...

    def empty(self) -> None: ...


class WithoutLitres:
    async def boil(self, cups: int, *, degrees: int = 100) -> None: ...

    def empty(self) -> None: ...


class OtherName:
    def boil(self, mugs: int, *, degrees: int = 100) -> None: ...


class OtherDefault:
    def boil(self, cups: int, *, degrees: int = 90) -> None: ...


class OtherKind:
    def boil(self, cups: int, degrees: int = 100) -> None: ...


class OtherAnnotation:
    def boil(self, cups: float, *, degrees: int = 100) -> None: ...


class OtherResult:
    def boil(self, cups: int, *, degrees: int = 100) -> bool: ...


class Fewer:
    def boil(self, cups: int) -> None: ...


class Demanding:
    def boil(self, cups: int, *, degrees: int = 100, lid: bool) -> None: ...


class Async:
    async def empty(self) -> None: ...


def test_adapter_with_plain_methods_and_further_defaults_fits_its_port() -> None:
    assert differences(Kettle, PlainKettle) == []


def test_comparison_reports_a_missing_attribute() -> None:
    assert differences(Kettle, WithoutLitres) == ["litres is missing"]


@pytest.mark.parametrize(
    ("methods", "expected"),
    [
        (
            OtherName,
            "boil: expected cups: 'int' (positional or keyword), "
            "got mugs: 'int' (positional or keyword)",
        ),
        (
            OtherDefault,
            "boil: expected degrees: 'int' = 100 (keyword-only), "
            "got degrees: 'int' = 90 (keyword-only)",
        ),
        (
            OtherKind,
            "boil: expected degrees: 'int' = 100 (keyword-only), "
            "got degrees: 'int' = 100 (positional or keyword)",
        ),
        (
            OtherAnnotation,
            "boil: expected cups: 'int' (positional or keyword), "
            "got cups: 'float' (positional or keyword)",
        ),
        (OtherResult, "boil: expected -> None, got -> bool"),
        (Fewer, "boil: expected degrees: 'int' = 100 (keyword-only), got nothing"),
        (Demanding, "boil: lid: 'bool' (keyword-only) is not in the port and has no default"),
        (Async, "empty: is async, but the port calls it as a plain method"),
    ],
)
def test_comparison_reports_each_kind_of_difference(methods: Class, expected: str) -> None:
    adapter = type("Adapter", (methods, PlainKettle), {})
    assert differences(Kettle, adapter) == [expected]
