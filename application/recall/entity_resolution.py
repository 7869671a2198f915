"""Entity resolution: find the entity of a name by its name, an alias, or similarity.

It is read-only. To make a match permanent, assert a ``SAME_AS`` relation; it can be ended.
"""

from __future__ import annotations

from collections.abc import Sequence

from attrs import frozen

from remembrancer.application.embedding import NO_VECTOR, Embedding
from remembrancer.domain.errors import NotFound
from remembrancer.domain.graph.graph import Entity, View
from remembrancer.domain.ports.embedder import Vector
from remembrancer.domain.ports.knowledge_graph import KnowledgeGraph

KNOWN = 500
"""Entities with the most links that an unknown name is compared with."""

ALIKE = 0.8
"""Minimum cosine similarity of two names for the same entity. With the default embedder "Carolin"
and "Caroline" have 1.0, "New York City" and "New York" 0.84, "Robert" and "Robert Smith" 0.69,
"Caroline Smith" and "Caroline Jones" 0.45.
"""

SUGGESTED = 3
"""Names in an error message."""


@frozen(kw_only=True)
class ResolvedEntity:
    """An entity, and the cosine similarity of its name to the given one (1: name or alias)."""

    entity: Entity
    likeness: float = 1.0


class ResolveEntity:
    """Resolves a name to an entity.

    Args:
        graph: the entities.
        embedding: for the similarity of names.
    """

    def __init__(self, *, graph: KnowledgeGraph, embedding: Embedding) -> None:
        self._graph = graph
        self._embedding = embedding

    async def __call__(self, view: View, name: str) -> ResolvedEntity:
        """Find the entity of ``name`` in a view.

        Raises:
            NotFound: there is none; the message names the most similar ones.
            AdapterUnavailable: the graph did not answer.
        """
        found = await self._graph.entities(view, [name], 1)
        if found:
            return ResolvedEntity(entity=found[0])
        near = await self._alike(name, await self._graph.entities(view, None, KNOWN))
        if near and near[0].likeness >= ALIKE:
            return near[0]
        names = ", ".join(resolved.entity.name for resolved in near[:SUGGESTED])
        hint = f"; known are {names}" if names else ""
        raise NotFound(f"no entity {name!r} that this scope may see{hint}")

    async def _alike(self, name: str, entities: Sequence[Entity]) -> list[ResolvedEntity]:
        """The entities by similarity to a name, most similar first; in the given order if the
        embedder fails.
        """
        names = [known for entity in entities for known in (entity.name, *entity.aliases)]
        try:
            vectors = await self._embedding.documents([name, *names])
        except NO_VECTOR:
            return [ResolvedEntity(entity=entity, likeness=0.0) for entity in entities]
        wanted = vectors[name]
        resolved = [
            ResolvedEntity(
                entity=entity,
                likeness=max(
                    _cosine(wanted, vectors[known]) for known in (entity.name, *entity.aliases)
                ),
            )
            for entity in entities
        ]
        return sorted(resolved, key=lambda one: -one.likeness)


def _cosine(one: Vector, other: Vector) -> float:
    return sum(a * b for a, b in zip(one, other, strict=True))
