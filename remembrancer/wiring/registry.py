"""Adapters by name: the built-in ones, and those that other packages register.

A package registers an adapter with an entry point in the group ``remembrancer.<port>`` (such as
``remembrancer.embedder``) whose object is an ``Adapter``. Without an entry point the object can be
named by its path: ``mypackage.embedding:adapter``.
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
from remembrancer.domain.ports.store import Survey


@frozen(kw_only=True)
class NoSettings:
    """For adapters without settings."""


@frozen(kw_only=True)
class Adapter:
    """How to build an adapter.

    Args:
        settings: an attrs class; the section of the configuration, without ``provider``, is
            structured into it.
        build: called with an instance of ``settings``; returns the adapter, or ``None`` for no
            adapter. For an ``audit_log`` it also gets ``StoreNeeds``, and returns a ``Store``. For
            a ``vector_index`` it also gets the embedder's ``model`` (str) and ``dimension`` (int).
            For a ``vector_index`` or ``knowledge_graph``, ``None`` selects the store's own.
        asks_model: for extractors, reconcilers and rerankers: ``build`` also gets the language
            model, with all methods async.
        survey: for an ``audit_log``: called with the settings; returns a ``Survey`` without
            opening the store. If it is ``None``, ``remembrancer doctor`` opens the store.
    """

    settings: type[Any]
    build: Callable[..., Any]
    asks_model: bool = False
    survey: Callable[[Any], Survey] | None = None


@frozen(kw_only=True)
class _BuiltIn:
    """Import paths of a built-in adapter, which is imported only if it is selected."""

    settings: str = "remembrancer.wiring.registry:NoSettings"
    build: str
    takes_settings: bool = True
    asks_model: bool = False
    survey: str | None = None
    extra: str = ""
    """The package extra that installs its libraries."""

    def adapter(self) -> Adapter:
        build = _attribute(self.build)
        return Adapter(
            settings=_attribute(self.settings),
            build=build if self.takes_settings else lambda _settings: build(),
            asks_model=self.asks_model,
            survey=None if self.survey is None else _attribute(self.survey),
        )


def build_nothing(*_: object) -> None:
    """Return ``None``: no adapter, or the store's own part."""
    return


_APPLICATION = "remembrancer.application"
_STORES = "remembrancer.adapters.stores"
_NOTHING = "remembrancer.wiring.registry:build_nothing"

BUILT_IN: Mapping[str, Mapping[str, _BuiltIn]] = {
    "audit_log": {
        "sqlite": _BuiltIn(
            settings=f"{_STORES}.sqlite.database:SqliteSettings",
            build=f"{_STORES}.sqlite.store:build",
            survey=f"{_STORES}.sqlite.survey:survey",
        ),
        "postgres": _BuiltIn(
            settings=f"{_STORES}.postgres.settings:PostgresSettings",
            build=f"{_STORES}.postgres.store:build",
            survey=f"{_STORES}.postgres.survey:survey",
            extra="postgres",
        ),
        "memory": _BuiltIn(
            build=f"{_STORES}.memory.store:build", survey=f"{_STORES}.memory.store:survey"
        ),
    },
    "key_vault": {
        "none": _BuiltIn(build=_NOTHING),
        "sqlite": _BuiltIn(
            settings="remembrancer.adapters.key_vault.sqlite:SqliteVaultSettings",
            build="remembrancer.adapters.key_vault.sqlite:SqliteKeyVault",
        ),
        "memory": _BuiltIn(
            build="remembrancer.adapters.key_vault.memory:InMemoryKeyVault", takes_settings=False
        ),
    },
    "vector_index": {
        "embedded": _BuiltIn(build=_NOTHING),
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
        "embedded": _BuiltIn(build=_NOTHING),
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
        "local": _BuiltIn(
            settings="remembrancer.adapters.models.local_folder:LocalFolderSettings",
            build="remembrancer.adapters.models.local_folder:LocalFolderEmbedder",
        ),
    },
    "language_model": {
        "none": _BuiltIn(build=_NOTHING),
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
        "none": _BuiltIn(build=_NOTHING),
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
    """The extractor that uses ``model``."""
    from remembrancer.application.extraction.model.extractor import ModelExtractor

    return ModelExtractor(model, settings)


def build_model_reconciler(settings: Any, model: Any) -> Any:
    """The reconciler that uses ``model``."""
    from remembrancer.application.reconciliation.model import ModelReconciler

    return ModelReconciler(model, settings)


def build_model_reranker(_settings: Any, model: Any) -> Any:
    """The reranker that uses ``model``."""
    from remembrancer.application.recall.model_reranker import ModelReranker

    return ModelReranker(model)


def _attribute(path: str) -> Any:
    """Import the object at ``package.module:dotted.name``."""
    module, _, name = path.partition(":")
    return attrgetter(name)(import_module(module))


def adapter_named(port: str, name: object) -> Adapter:
    """The adapter with a name.

    Raises:
        InvalidRequest: the name is not registered, or the registered object is no ``Adapter``.
    """
    path = f"{port}.provider"
    if not isinstance(name, str):
        raise InvalidRequest(path, f"expected a name, got {type(name).__name__}")
    if _is_address(name):
        # Do not show the value: it may contain a password.
        raise InvalidRequest(path, "expected the name of an adapter, got an address")
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


def _is_address(name: str) -> bool:
    return "://" in name or "@" in name or "=" in name


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
