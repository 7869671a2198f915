"""The port to the knowledge graph: entities and the links between them, inside one ledger."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from remembrancer.domain.graph.graph import Entity, Relation, View
from remembrancer.domain.graph.walk import Reached


class KnowledgeGraph(Protocol):
    """A projection of the log: relations, and the entities that facts name.

    Contract:
        * It holds the result of ``remembrancer.domain.graph.graph.changes_of`` for the whole log,
          and shows every append that has returned (read-your-writes).
        * Names are compared by ``remembrancer.domain.text.normalised``, and within one ledger only.
          Names joined by a ``SAME_AS`` relation that the view sees are one entity. The caller
          resolves names that are merely similar.
        * A read returns nothing outside its view: no other ledger, scope or time, neither as a link
          nor as a step of a path.
        * No change deletes history: reads at an earlier ``valid_at`` see ended links, reads at an
          earlier ``as_of`` also see withdrawn ones.

    Raises:
        AdapterUnavailable: the store did not answer.
    """

    async def neighbours(
        self, view: View, entities: Sequence[str], depth: int = 2, limit: int = 100
    ) -> Sequence[Reached]:
        """The links within ``depth`` (at least 1) of entities, nearest first, each with its path:
        exactly the result of ``remembrancer.domain.graph.walk.walk``. Unknown names are ignored.
        """
        ...

    async def relations(self, view: View, entity: str, limit: int = 100) -> Sequence[Relation]:
        """The relations of one entity under all of its names, without ``SAME_AS``, newest first."""
        ...

    async def entities(
        self, view: View, names: Sequence[str] | None = None, limit: int = 100
    ) -> Sequence[Entity]:
        """Entities, those with most links first, ties by name: all of the view, or those with any
        of ``names``. A name has the spelling of its first occurrence in the ledger.
        """
        ...
