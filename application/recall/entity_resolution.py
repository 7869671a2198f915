"""Resolving a name to an entity of the graph: by the name itself, an alias, or likeness.

It reads only. Whoever wants a likeness to last asserts a ``SAME_AS`` relation, which can be ended.
"""

from __future__ import annotations

from collections.abc import Sequence

from attrs import frozen

from remembrancer.application.embedding import Embedding
from remembrancer.domain.errors import AdapterUnavailable, ModelError, NotFound
from remembrancer.domain.graph.graph import Entity, View
from remembrancer.domain.ports.embedder import Vector
from remembrancer.domain.ports.knowledge_graph import KnowledgeGraph

KNOWN = 500
"""Entities, those with most links first, that a name nobody knows is compared with."""

ALIKE = 0.8
"""Cosine from which two names are taken for one. With the default embedder "Carolin" and
"Caroline" have 1.0, "New York City" and "New York" 0.84, "Robert" and "Robert Smith" 0.69,
"Caroline Smith" and "Caroline Jones" 0.45.
"""

SUGGESTED = 3


@frozen(kw_only=True)
class ResolvedEntity:
    """An entity, and how like its name is to the one that was asked for (1: it goes by it)."""

    entity: Entity
    likeness: float = 1.0


class ResolveEntity:
    """From a name to an entity.

    Args:
        graph: where entities are looked up.
        embedding: what likeness is measured by.
    """

    def __init__(self, *, graph: KnowledgeGraph, embedding: Embedding) -> None:
        self._graph = graph
        self._embedding = embedding

    async def __call__(self, view: View, name: str) -> ResolvedEntity:
        """Find the entity that ``name`` means in a view.

        Raises:
            NotFound: there is none; the message names the nearest ones.
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
        """The entities by their likeness to a name, most like first; in the order given where
        nothing can be embedded now.
        """
        names = [known for entity in entities for known in (entity.name, *entity.aliases)]
        try:
            vectors = await self._embedding.documents([name, *names])
        except (AdapterUnavailable, ModelError):
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
