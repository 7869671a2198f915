"""Explore resolves the start entity, and returns links with their facts."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest

from remembrancer.adapters.models.hashing import HashingEmbedder, HashingSettings
from remembrancer.adapters.stores.memory.audit_log import InMemoryAuditLog
from remembrancer.adapters.stores.memory.fact_store import InMemoryFactStore
from remembrancer.adapters.stores.memory.knowledge_graph import InMemoryKnowledgeGraph
from remembrancer.application.background_loop import BackgroundLoop
from remembrancer.application.embedding import Embedding
from remembrancer.application.inline import run_inline
from remembrancer.application.recall.entity_resolution import ResolveEntity
from remembrancer.application.recall.explore import Exploration, Explore, ExploreRequest
from remembrancer.domain.errors import AdapterUnavailable, NotFound
from remembrancer.domain.events import Event
from remembrancer.domain.facts.fact import Interval
from remembrancer.domain.graph.graph import SAME_AS, Entity, View
from remembrancer.domain.recorded import Recorded
from remembrancer.domain.scope import Scope
from remembrancer.runtime.sync_bridge import lift_inline
from remembrancer.testing.audit_log import NOON, append_of
from remembrancer.testing.knowledge_graph import fact_about, relation

LATER = NOON + timedelta(days=1)


class _Unreachable:
    """An embedder that does not answer."""

    model, dimension, local = "none", 3, True

    async def embed(self, texts: Sequence[str], purpose: str) -> Any:
        raise AdapterUnavailable("embedder", "is down")


class _World:
    def __init__(self, embedder: Any = None) -> None:
        lift = lift_inline(BackgroundLoop())
        facts, graph = InMemoryFactStore(), InMemoryKnowledgeGraph()
        self._followers = (facts, graph)
        self._log = InMemoryAuditLog(listener=self)
        embedder = embedder or lift(HashingEmbedder.from_settings(HashingSettings()))
        resolve = ResolveEntity(graph=lift(graph), embedding=Embedding(embedder, _NothingKept()))
        self._explore = Explore(graph=lift(graph), facts=lift(facts), resolve=resolve)

    def apply(self, chain: Sequence[Recorded]) -> None:
        for follower in self._followers:
            follower.apply(chain)

    def given(self, *events: Event) -> None:
        self._log.append(append_of(events))

    def explored(self, entity: str | None, user: str = "alice") -> Exploration | None:
        view = View(scope=Scope(user_id=user), now=LATER, ended=True)
        return run_inline(self._explore(ExploreRequest(view=view, entity=entity)))


class _NothingKept:
    async def vectors_for(self, texts: Sequence[str]) -> dict[str, Any]:
        return {}


def test_entity_is_found_by_name_alias_or_similar_name() -> None:
    world = _World()
    world.given(relation("New York", "in", "America"), relation("Big Apple", SAME_AS, "New York"))
    for asked, exact in (("new  york", True), ("big apple", True), ("New York City", False)):
        explored = world.explored(asked)
        assert explored is not None
        assert explored.start.name == "New York"
        assert (explored.likeness == 1.0) == exact


def test_slightly_similar_name_is_not_resolved_but_suggested() -> None:
    world = _World()
    world.given(relation("Caroline Smith", "knows", "Max"))
    with pytest.raises(NotFound, match="known are Caroline Smith, Max"):
        world.explored("Caroline Jones")
    with pytest.raises(NotFound, match=r"'Caroline Smith' that this scope may see$"):
        world.explored("Caroline Smith", user="bob")


def test_entity_is_found_by_exact_name_only_when_embedder_is_down() -> None:
    world = _World(_Unreachable())
    world.given(relation("New York", "in", "America"))
    assert world.explored("new york") is not None
    with pytest.raises(NotFound, match="known are America, New York"):
        world.explored("New York City")


def test_explore_without_name_starts_at_the_entity_with_most_links() -> None:
    world = _World()
    assert world.explored(None) is None
    world.given(relation("Ann", "knows", "Max"), relation("Max", "likes", "tea"))
    explored = world.explored(None)
    assert explored is not None
    assert explored.start == Entity(name="Max", relations=2)


def test_links_have_their_facts_and_show_which_have_ended() -> None:
    world = _World()
    fact = fact_about("Ann", "Rome", valid=Interval(end=NOON))
    told = fact_about("Ann", "tea")
    lived = relation("Ann", "lived_in", "Rome", fact_id=fact.fact_id)
    world.given(fact, told, lived)
    explored = world.explored("Ann")
    assert explored is not None
    assert [link.predicate for link, _ in explored.relations] == ["lived_in"]
    assert [explored.over(link) for link, _ in explored.mentions] == [False, True]
    assert {fact.text for fact in explored.facts.values()} == {"Ann and Rome", "Ann and tea"}
    document = explored.to_dict()
    assert document["entity"]["name"] == "Ann"
    assert [link["text"] for link in document["links"]] == [
        "Ann and Rome",
        "Ann and tea",
        "Ann and Rome",
    ]
