"""The port to the knowledge graph: entities and what links them, inside one ledger."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from remembrancer.domain.graph.graph import Entity, Relation, View
from remembrancer.domain.graph.walk import Reached


class KnowledgeGraph(Protocol):
    """A projection of the log: relations, and the entities that facts name.

    Contract:
        * It holds what ``remembrancer.domain.graph.graph.changes_of`` makes of the log, and sees
          every append that returned before.
        * Names are compared as ``remembrancer.domain.text.normalised`` has them, and within one
          ledger only. Names that are joined by a ``SAME_AS`` relation which the view sees are one
          entity. What is similar but not known to be the same is for the caller to resolve.
        * A read returns nothing that its view does not see: no other ledger, no other scope, no
          other time; neither as a link nor as a step of a path.
        * Nothing is deleted because something else came to be true: what ended is there for
          readers who ask for its time, what was withdrawn for those who look back ``as_of``.

    Raises:
        AdapterUnavailable: the store did not answer.
    """

    async def neighbours(
        self, view: View, entities: Sequence[str], depth: int = 2, limit: int = 100
    ) -> Sequence[Reached]:
        """The links within ``depth`` (at least 1) of entities, nearest first, each with its path:
        exactly what ``remembrancer.domain.graph.walk.walk`` returns. Names that nobody knows lead
        nowhere.
        """
        ...

    async def relations(self, view: View, entity: str, limit: int = 100) -> Sequence[Relation]:
        """The relations of one entity under any of its names, ``SAME_AS`` apart, newest first."""
        ...

    async def entities(
        self, view: View, names: Sequence[str] | None = None, limit: int = 100
    ) -> Sequence[Entity]:
        """Entities, those with most links first, ties by name: of the whole view, or those that
        go by any of ``names``. A name is written as it was when the ledger first met it.
        """
        ...
