"""Adapters by name: the built-in ones, and those that other packages register.

A package registers an adapter with an entry point in the group ``remembrancer.<port>`` (such as
``remembrancer.embedder``) whose object is an ``Adapter``. Without an entry point the object can be
named by where it is: ``mypackage.embedding:adapter``.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from importlib import import_module
from importlib.metadata import entry_points
from operator import attrgetter
from typing import Any

from attrs import frozen

from remembrancer.domain.errors import InvalidRequest


@frozen(kw_only=True)
class NoSettings:
    """For adapters that have nothing to choose."""


@frozen(kw_only=True)
class Adapter:
    """How an adapter is built.

    Args:
        settings: an attrs class; the section of the configuration, without ``provider``, is
            structured into it.
        build: called with an instance of it; returns the adapter. For a ``vector_index`` it gets
            the embedder's ``model`` (str) and ``dimension`` (int) besides; for an ``audit_log`` it
            gets ``StoreNeeds`` and returns a ``Store`` (``remembrancer.wiring.store``).
        asks_model: for extractors, reconcilers and rerankers: ``build`` gets the language model,
            lifted, as its second argument.
    """

    settings: type[Any]
    build: Callable[..., Any]
    asks_model: bool = False


@frozen(kw_only=True)
class _BuiltIn:
    """Where a built-in adapter is, so that it is imported only when it is chosen."""

    settings: str = "remembrancer.wiring.registry:NoSettings"
    build: str
    takes_settings: bool = True
    asks_model: bool = False
    extra: str = ""
    """The extra of the package that its libraries come with."""

    def adapter(self) -> Adapter:
        build = _attribute(self.build)
        return Adapter(
            settings=_attribute(self.settings),
            build=build if self.takes_settings else lambda _settings: build(),
            asks_model=self.asks_model,
        )


def built_by_container(*_: Any) -> Any:
    """Stands for stores that share a database, and for there being no model at all."""
    raise AssertionError("the container never builds this one from the registry")


_APPLICATION = "remembrancer.application"
_BY_CONTAINER = "remembrancer.wiring.registry:built_by_container"

BUILT_IN: Mapping[str, Mapping[str, _BuiltIn]] = {
    "audit_log": {
        "sqlite": _BuiltIn(
            settings="remembrancer.adapters.stores.sqlite.database:SqliteSettings",
            build=_BY_CONTAINER,
        ),
        "postgres": _BuiltIn(
            settings="remembrancer.adapters.stores.postgres.settings:PostgresSettings",
            build=_BY_CONTAINER,
        ),
        "memory": _BuiltIn(build=_BY_CONTAINER),
    },
    "key_vault": {
        "none": _BuiltIn(build=_BY_CONTAINER),
        "sqlite": _BuiltIn(
            settings="remembrancer.adapters.key_vault.sqlite:SqliteVaultSettings",
            build="remembrancer.adapters.key_vault.sqlite:SqliteKeyVault",
        ),
        "memory": _BuiltIn(
            build="remembrancer.adapters.key_vault.memory:InMemoryKeyVault", takes_settings=False
        ),
    },
    "vector_index": {
        "embedded": _BuiltIn(build=_BY_CONTAINER),
        "pgvector": _BuiltIn(
            settings="remembrancer.adapters.vector_index.pgvector:PgvectorSettings",
            build="remembrancer.adapters.vector_index.pgvector:PgvectorIndex",
            extra="postgres",
        ),
        "langchain": _BuiltIn(
            settings="remembrancer.adapters.vector_index.langchain:LangchainSettings",
            build="remembrancer.adapters.vector_index.langchain:LangchainVectorIndex",
            extra="langchain",
        ),
        "qdrant": _BuiltIn(
            settings="remembrancer.adapters.vector_index.qdrant:QdrantSettings",
            build="remembrancer.adapters.vector_index.qdrant:QdrantVectorIndex",
        ),
        "weaviate": _BuiltIn(
            settings="remembrancer.adapters.vector_index.weaviate.settings:WeaviateSettings",
            build="remembrancer.adapters.vector_index.weaviate:WeaviateVectorIndex",
        ),
    },
    "knowledge_graph": {
        "embedded": _BuiltIn(build=_BY_CONTAINER),
        "neo4j": _BuiltIn(
            settings="remembrancer.adapters.knowledge_graph.neo4j.settings:Neo4jSettings",
            build="remembrancer.adapters.knowledge_graph.neo4j.graph:Neo4jKnowledgeGraph",
        ),
    },
    "embedder": {
        "hashing": _BuiltIn(
            settings="remembrancer.adapters.models.hashing:HashingSettings",
            build="remembrancer.adapters.models.hashing:HashingEmbedder.from_settings",
        ),
        "litellm": _BuiltIn(
            settings="remembrancer.adapters.models.litellm.embedder:LitellmEmbedderSettings",
            build="remembrancer.adapters.models.litellm.embedder:LitellmEmbedder",
        ),
        "fastembed": _BuiltIn(
            settings="remembrancer.adapters.models.fastembed.embedder:FastembedSettings",
            build="remembrancer.adapters.models.fastembed.embedder:FastembedEmbedder",
        ),
    },
    "language_model": {
        "none": _BuiltIn(build=_BY_CONTAINER),
        "litellm": _BuiltIn(
            settings="remembrancer.adapters.models.litellm.language_model:LitellmSettings",
            build="remembrancer.adapters.models.litellm.language_model:LitellmLanguageModel",
        ),
    },
    "extractor": {
        "rules": _BuiltIn(
            build=f"{_APPLICATION}.extraction.rules.extractor:RulesExtractor", takes_settings=False
        ),
        "model": _BuiltIn(
            settings=f"{_APPLICATION}.extraction.model.extractor:ExtractionSettings",
            build="remembrancer.wiring.registry:build_model_extractor",
            asks_model=True,
        ),
    },
    "reconciler": {
        "rules": _BuiltIn(
            build=f"{_APPLICATION}.reconciliation.rules:RulesReconciler", takes_settings=False
        ),
        "model": _BuiltIn(
            settings=f"{_APPLICATION}.reconciliation.model:ReconciliationSettings",
            build="remembrancer.wiring.registry:build_model_reconciler",
            asks_model=True,
        ),
    },
    "reranker": {
        "none": _BuiltIn(build=_BY_CONTAINER),
        "litellm": _BuiltIn(
            settings="remembrancer.adapters.models.litellm.reranker:LitellmRerankerSettings",
            build="remembrancer.adapters.models.litellm.reranker:LitellmReranker",
        ),
        "fastembed": _BuiltIn(
            settings="remembrancer.adapters.models.fastembed.reranker:FastembedRerankerSettings",
            build="remembrancer.adapters.models.fastembed.reranker:FastembedReranker",
        ),
        "model": _BuiltIn(
            build="remembrancer.wiring.registry:build_model_reranker", asks_model=True
        ),
    },
}

PORTS = tuple(BUILT_IN)


def build_model_extractor(settings: Any, model: Any) -> Any:
    """The extractor that asks ``model``."""
    from remembrancer.application.extraction.model.extractor import ModelExtractor

    return ModelExtractor(model, settings)


def build_model_reconciler(settings: Any, model: Any) -> Any:
    """The reconciler that asks ``model``."""
    from remembrancer.application.reconciliation.model import ModelReconciler

    return ModelReconciler(model, settings)


def build_model_reranker(_settings: Any, model: Any) -> Any:
    """The reranker that asks ``model``."""
    from remembrancer.application.recall.model_reranker import ModelReranker

    return ModelReranker(model)


def _attribute(path: str) -> Any:
    """What ``package.module:name.of.it`` names."""
    module, _, name = path.partition(":")
    return attrgetter(name)(import_module(module))


def adapter_named(port: str, name: object) -> Adapter:
    """The adapter that goes by a name.

    Raises:
        InvalidRequest: nobody registered it, or what was registered is no ``Adapter``.
    """
    path = f"{port}.provider"
    if not isinstance(name, str):
        raise InvalidRequest(path, f"expected a name, got {type(name).__name__}")
    built_in = BUILT_IN[port].get(name)
    if built_in is not None:
        try:
            return built_in.adapter()
        except ModuleNotFoundError as error:
            if not built_in.extra:
                raise
            raise InvalidRequest(
                path, f"needs {error.name}; pip install 'remembrancer[{built_in.extra}]'"
            ) from error
    if ":" in name:
        return _checked(_imported(name, path), path, name)
    registered = {point.name: point for point in entry_points(group=f"remembrancer.{port}")}
    if name not in registered:
        names = (*BUILT_IN[port], *sorted(registered))
        near = difflib.get_close_matches(name, names, n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise InvalidRequest(path, f"{name!r} is not one of {', '.join(names)}{hint}")
    try:
        adapter = registered[name].load()
    except (ImportError, AttributeError) as error:
        raise InvalidRequest(
            path, f"{registered[name].value} can't be loaded: {error}; reinstall its package"
        ) from error
    return _checked(adapter, path, registered[name].value)


def _imported(name: str, path: str) -> object:
    try:
        found: object = _attribute(name)
    except (ImportError, AttributeError, ValueError) as error:
        raise InvalidRequest(path, f"{name} can't be imported: {error}") from error
    return found


def _checked(adapter: object, path: str, name: str) -> Adapter:
    if not isinstance(adapter, Adapter):
        raise InvalidRequest(path, f"{name} is not a remembrancer Adapter")
    return adapter
