"""Graph queries: entities, their relations, and the facts behind them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from attrs import frozen

from remembrancer.application.recall.entity_resolution import ResolveEntity
from remembrancer.domain.facts.fact import Fact, FactId
from remembrancer.domain.graph.graph import (
    Entity,
    Link,
    Mention,
    Relation,
    View,
    count_links,
    entities_of,
)
from remembrancer.domain.graph.walk import Reached
from remembrancer.domain.jsonable import to_jsonable
from remembrancer.domain.ports.fact_store import FactStore
from remembrancer.domain.ports.knowledge_graph import KnowledgeGraph
from remembrancer.domain.recall.documents import INDEXED
from remembrancer.domain.text import normalised


@frozen(kw_only=True)
class ExploreRequest:
    """A walk of the graph, already checked.

    ``entity``: the start; ``None``: the entity with the most links. ``view``: the scope and times.
    ``depth``: the longest distance in links. ``limit``: maximum of links.
    """

    view: View
    entity: str | None
    depth: int = 2
    limit: int = 60


@frozen(kw_only=True)
class Exploration:
    """The neighbourhood of an entity.

    ``start``: the entity; ``likeness``: the cosine similarity of its name to the requested one.
    ``entities``: all connected entities, with their links in the neighbourhood counted.
    ``reached``: the links, nearest first; ``facts``: the facts behind them. ``now``: the time at
    which ``over`` is decided.
    """

    start: Entity
    likeness: float
    now: datetime
    entities: tuple[Entity, ...]
    reached: tuple[Reached, ...]
    facts: Mapping[FactId, Fact]

    @property
    def relations(self) -> tuple[tuple[Relation, int], ...]:
        """The relations with their distances, without aliases."""
        return tuple(
            (item.link, item.distance)
            for item in self.reached
            if isinstance(item.link, Relation) and not item.link.synonym
        )

    @property
    def mentions(self) -> tuple[tuple[Mention, int], ...]:
        """The mentions of entities in facts, with their distances."""
        return tuple(
            (item.link, item.distance) for item in self.reached if isinstance(item.link, Mention)
        )

    def over(self, link: Link) -> bool:
        """Whether the valid time of a link has ended."""
        return link.valid.end is not None and link.valid.end <= self.now

    def to_dict(self) -> dict[str, Any]:
        """All fields in JSON's terms."""
        return {
            "entity": to_jsonable(self.start),
            "likeness": self.likeness,
            "entities": to_jsonable(self.entities),
            "links": [
                {
                    "distance": item.distance,
                    "path": str(item.path),
                    **to_jsonable(item.link),
                    **self._text(item.link),
                }
                for item in self.reached
            ],
        }

    def _text(self, link: Link) -> dict[str, str]:
        fact = self.facts.get(link.fact_id) if link.fact_id is not None else None
        return {} if fact is None else {"text": fact.text}


class Explore:
    """Reads the neighbourhood of an entity.

    Args:
        graph: the graph.
        facts: the facts behind the links.
        resolve: resolves the requested name.
    """

    def __init__(self, *, graph: KnowledgeGraph, facts: FactStore, resolve: ResolveEntity) -> None:
        self._graph = graph
        self._facts = facts
        self._resolve = resolve

    async def __call__(self, request: ExploreRequest) -> Exploration | None:
        """Walk the graph; ``None`` if no entity was named and the view has none.

        Raises:
            NotFound: there is no such entity and no similar one.
            AdapterUnavailable: the graph or the facts did not answer.
        """
        view = request.view
        if request.entity is None:
            most = await self._graph.entities(view, None, 1)
            if not most:
                return None
            start, likeness = most[0], 1.0
        else:
            resolved = await self._resolve(view, request.entity)
            start, likeness = resolved.entity, resolved.likeness
        reached = await self._graph.neighbours(view, [start.name], request.depth, request.limit)
        links = [item.link for item in reached]
        return Exploration(
            start=start,
            likeness=likeness,
            now=view.now,
            entities=tuple(_joined(links)),
            reached=tuple(reached),
            facts=await self._behind(links, view),
        )

    async def entities(self, view: View, limit: int) -> Sequence[Entity]:
        """The entities of a view, those with the most links first.

        Raises:
            AdapterUnavailable: the graph did not answer.
        """
        return await self._graph.entities(view, None, limit)

    async def relations(self, view: View, entity: str, limit: int) -> Sequence[Relation]:
        """The relations of an entity, newest first.

        Raises:
            NotFound: there is no such entity and no similar one.
            AdapterUnavailable: the graph did not answer.
        """
        resolved = await self._resolve(view, entity)
        return await self._graph.relations(view, resolved.entity.name, limit)

    async def _behind(self, links: Sequence[Link], view: View) -> dict[FactId, Fact]:
        ids = dict.fromkeys(link.fact_id for link in links if link.fact_id is not None)
        found: dict[FactId, Fact] = {}
        for fact_id in ids:
            versions = await self._facts.versions(fact_id)
            # The fact of a relation may be outside of the scope.
            known = [
                fact
                for fact in versions
                if view.scope.covers(fact.scope)
                and (view.as_of is None or fact.recorded.contains(view.as_of))
            ]
            if known and known[-1].status in INDEXED:
                found[fact_id] = known[-1]
        return found


def _joined(links: Sequence[Link]) -> list[Entity]:
    spelled: dict[str, str] = {}
    for link in links:
        for name in link.ends:
            spelled.setdefault(normalised(name), name)
    synonyms = [link for link in links if isinstance(link, Relation) and link.synonym]
    return entities_of(count_links(links), synonyms, spelled)
