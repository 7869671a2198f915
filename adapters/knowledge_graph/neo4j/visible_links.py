"""Links and counts visible to a view, read in one transaction: ``Ties`` for a walk.

Neo4j transactions read rows that others commit in the meantime (read committed). All queries of
one reader use the log position that its first query found, so that they read one snapshot.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, LiteralString

from attrs import frozen

from remembrancer.adapters.knowledge_graph.neo4j import statements
from remembrancer.adapters.knowledge_graph.neo4j.versions import key_of, seen_in, tie_of
from remembrancer.domain.graph.graph import Mention, View
from remembrancer.domain.graph.walk import Tie
from remembrancer.domain.recorded import Position

if TYPE_CHECKING:
    from neo4j import AsyncManagedTransaction

AT_ONCE = 32
"""Maximum names per query of links."""

EVERYTHING = 2**31 - 1


@frozen
class VisibleLinks:
    """``Ties`` over the links visible to a view; a node is the key of a name.

    Args:
        tx: the read transaction.
        view: scope and times of the visible links.
        position: log position of the graph at the first query; 0 if the ledger is unknown.
        aliases: whether the ledger has aliases.
        known: keys of the start names that exist in the graph.
    """

    tx: AsyncManagedTransaction
    view: View
    position: Position
    aliases: bool
    known: frozenset[str]

    @classmethod
    async def begin(
        cls, tx: AsyncManagedTransaction, view: View, names: Sequence[str] = ()
    ) -> VisibleLinks:
        """Start reading at the current log position; ``names`` are the start names of a walk."""
        found = await tx.run(
            statements.START, ledger=view.scope.ledger, keys=list({*map(key_of, names)})
        )
        row = await found.single()
        if row is None:
            return cls(tx, view, Position(0), False, frozenset())
        position = Position(row["position"] or 0)
        return cls(tx, view, position, bool(row["aliases"]), frozenset(row["keys"]))

    async def nodes(self, names: Sequence[str]) -> Sequence[tuple[Hashable, str]]:
        """See ``Ties.nodes``; only for the names given to ``begin``."""
        return [(key, name) for name in names if (key := key_of(name)) in self.known]

    async def synonyms(self, nodes: Sequence[Hashable]) -> Sequence[Tie]:
        """See ``Ties.synonyms``."""
        if not self.aliases or not nodes:
            return []
        ties = [self._tie(row) for row in await self._ask(statements.SYNONYMS, keys=list(nodes))]
        return sorted(ties, key=_position)

    async def all_synonyms(self) -> Sequence[Tie]:
        """Return all aliases of the ledger, oldest first."""
        if not self.aliases:
            return []
        ties = [self._tie(row) for row in await self._ask(statements.ALL_SYNONYMS)]
        return sorted(ties, key=_position)

    async def links(self, nodes: Sequence[Hashable], most: int) -> Sequence[Sequence[Tie]]:
        """See ``Ties.links``."""
        return await self._links(nodes, relations=most, facts=most if self.view.mentions else 0)

    async def relations(self, nodes: Sequence[Hashable], most: int) -> Sequence[Sequence[Tie]]:
        """Return the newest relations of each node without ``SAME_AS``, newest first."""
        return await self._links(nodes, relations=most, facts=0)

    async def counted(
        self,
        *,
        among: Iterable[Hashable] | None = None,
        without: Iterable[Hashable] = (),
        most: int = EVERYTHING,
    ) -> list[tuple[str, int, int]]:
        """Return names, as first written, with the numbers of their relations and facts.

        Args:
            among: return all of these nodes; ``None`` for the names with the highest numbers.
            without: nodes to leave out, if ``among`` is ``None``.
            most: maximum number of names, if ``among`` is ``None``.
        """
        if among is None:
            rows = await self._ask(statements.COUNTED_MOST, keys=list(without), most=most)
        else:
            rows = await self._ask(statements.COUNTED_AMONG, keys=list(among))
        return [(row["name"], row["relations"], row["facts"]) for row in rows]

    async def _links(
        self, nodes: Sequence[Hashable], *, relations: int, facts: int
    ) -> Sequence[Sequence[Tie]]:
        if not nodes:
            return []
        rows = await self._ask(statements.LINKS, keys=list(nodes), relations=relations, facts=facts)
        found: dict[Hashable, list[Tie]] = {node: [] for node in nodes}
        for row in rows:
            found[row["key"]].append(self._tie(row))
        for ties in found.values():
            ties.sort(key=lambda tie: (isinstance(tie.link, Mention), -tie.link.position))
        return [found[node] for node in nodes]

    async def _ask(self, statement: LiteralString, **parameters: Any) -> list[Any]:
        view = self.view
        answer = await self.tx.run(
            statement,
            ledger=view.scope.ledger,
            position=self.position,
            **seen_in(view),
            **parameters,
        )
        return [row async for row in answer]

    def _tie(self, row: Any) -> Tie:
        return tie_of(row["link"], self.position)


def _position(tie: Tie) -> Position:
    return tie.link.position
