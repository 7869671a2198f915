"""The optional Protocols of adapters, and the functions that find them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from remembrancer.adapters.knowledge_graph.neo4j.graph import Neo4jKnowledgeGraph
from remembrancer.adapters.knowledge_graph.neo4j.settings import Neo4jSettings
from remembrancer.adapters.vector_index.langchain import LangchainSettings, LangchainVectorIndex
from remembrancer.adapters.vector_index.pgvector import PgvectorIndex, PgvectorSettings
from remembrancer.adapters.vector_index.qdrant import QdrantSettings, QdrantVectorIndex
from remembrancer.adapters.vector_index.weaviate import WeaviateVectorIndex
from remembrancer.adapters.vector_index.weaviate.settings import WeaviateSettings
from remembrancer.domain.ports.external_engine import (
    Claimable,
    Fingerprinted,
    has_fingerprint,
    is_claimable,
)
from remembrancer.domain.ports.local import Local, is_local
from remembrancer.domain.ports.never_suspends import NeverSuspends, never_suspends
from remembrancer.domain.ports.read_models import CatchesUp, HasState, catches_up, has_state
from remembrancer.domain.ports.reconciler import ComparesWords, compares_words
from remembrancer.domain.ports.self_description import DescribesItself, describes_itself
from remembrancer.domain.ports.vector_index import (
    Compactable,
    DeclaresSignals,
    declares_signals,
    is_compactable,
)

Finds = Callable[[object], bool]

OPTIONAL: list[tuple[Finds, type[Any]]] = [
    (catches_up, CatchesUp),
    (compares_words, ComparesWords),
    (declares_signals, DeclaresSignals),
    (has_fingerprint, Fingerprinted),
    (has_state, HasState),
    (is_claimable, Claimable),
    (is_compactable, Compactable),
    (is_local, Local),
    (never_suspends, NeverSuspends),
    (describes_itself, DescribesItself),
]

optional = pytest.mark.parametrize(
    ("finds", "protocol"), OPTIONAL, ids=[protocol.__name__ for _, protocol in OPTIONAL]
)


def members(protocol: type[Any]) -> set[str]:
    return {name for name in dir(protocol) if not name.startswith("_")}


def adapter_with(names: set[str]) -> object:
    return type("Adapter", (), dict.fromkeys(names, True))()


class Proxy:
    """Passes everything on to an adapter, as the proxies of hosts and of the container do."""

    def __init__(self, adapter: object) -> None:
        self._adapter = adapter

    def __getattr__(self, name: str) -> Any:
        return getattr(self._adapter, name)


@optional
def test_adapter_with_the_members_of_a_protocol_is_found(finds: Finds, protocol: type[Any]) -> None:
    assert finds(adapter_with(members(protocol)))


@optional
def test_members_behind_a_proxy_are_found(finds: Finds, protocol: type[Any]) -> None:
    assert finds(Proxy(adapter_with(members(protocol))))


@optional
def test_adapter_with_the_other_optional_members_is_not_found(
    finds: Finds, protocol: type[Any]
) -> None:
    others = set[str]().union(*(members(other) for _, other in OPTIONAL)) - members(protocol)
    assert not finds(adapter_with(others))
    assert not finds(Proxy(adapter_with(others)))


def test_adapter_may_say_that_it_suspends() -> None:
    adapter = type("Adapter", (), {"never_suspends": False})()
    assert not never_suspends(adapter)


@pytest.mark.parametrize(
    "engine",
    [
        LangchainVectorIndex(LangchainSettings(store="shop:make"), "m", 4),
        QdrantVectorIndex(QdrantSettings(), "m", 4),
        WeaviateVectorIndex(WeaviateSettings(), "m", 4),
        PgvectorIndex(PgvectorSettings(), "m", 4),
        Neo4jKnowledgeGraph(Neo4jSettings()),
    ],
    ids=lambda engine: type(engine).__name__,
)
def test_engine_with_a_layout_of_its_own_has_a_fingerprint_without_a_connection(
    engine: object,
) -> None:
    assert has_fingerprint(engine)
    assert isinstance(engine.fingerprint, str)


def test_fingerprint_of_neo4j_depends_on_the_database_and_not_on_the_address() -> None:
    def fingerprint(**changes: Any) -> str:
        return Neo4jKnowledgeGraph(Neo4jSettings(**changes)).fingerprint

    assert fingerprint(uri="bolt://elsewhere", connections=2) == fingerprint()
    assert len({fingerprint(), fingerprint(database="a"), fingerprint(database="b")}) == 3


def test_fingerprint_of_pgvector_depends_on_the_tables_and_not_on_the_address() -> None:
    def fingerprint(model: str = "m", **changes: Any) -> str:
        return PgvectorIndex(PgvectorSettings(**changes), model, 4).fingerprint

    assert fingerprint(dsn="host=elsewhere", max_connections=2) == fingerprint()
    others = [fingerprint("other"), fingerprint(schema="other"), fingerprint(table="other")]
    assert len({fingerprint(), *others}) == 4
