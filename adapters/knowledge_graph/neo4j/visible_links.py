"""What a view sees, looked up in one reading transaction: ``Ties`` for a walk, and counts.

Transactions of Neo4j read what others commit meanwhile. All questions of one reader name the
position of the log that its first one found, so that they are answered from one state.
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
"""Names whose links are asked for in one question."""

EVERYTHING = 2**31 - 1


@frozen
class VisibleLinks:
    """``Ties`` over what a view sees: a node is the key of a name.

    Args:
        tx: where it is looked up.
        view: what is seen.
        position: how far the graph had come when it was first asked; 0 without a ledger.
        aliases: whether the ledger has any.
        known: which of the names that it was begun with are known.
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
        """What ``view`` sees as of now; ``names`` are those that a walk will begin at."""
        found = await tx.run(
            statements.START, ledger=view.scope.ledger, keys=list({*map(key_of, names)})
        )
        row = await found.single()
        if row is None:
            return cls(tx, view, Position(0), False, frozenset())
        position = Position(row["position"] or 0)
        return cls(tx, view, position, bool(row["aliases"]), frozenset(row["keys"]))

    async def nodes(self, names: Sequence[str]) -> Sequence[tuple[Hashable, str]]:
        """See ``Ties.nodes``; of the names that it was begun with."""
        return [(key, name) for name in names if (key := key_of(name)) in self.known]

    async def synonyms(self, nodes: Sequence[Hashable]) -> Sequence[Tie]:
        """See ``Ties.synonyms``."""
        if not self.aliases or not nodes:
            return []
        ties = [self._tie(row) for row in await self._ask(statements.SYNONYMS, keys=list(nodes))]
        return sorted(ties, key=_position)

    async def all_synonyms(self) -> Sequence[Tie]:
        """The aliases of the whole ledger, oldest first."""
        if not self.aliases:
            return []
        ties = [self._tie(row) for row in await self._ask(statements.ALL_SYNONYMS)]
        return sorted(ties, key=_position)

    async def links(self, nodes: Sequence[Hashable], most: int) -> Sequence[Sequence[Tie]]:
        """See ``Ties.links``."""
        return await self._links(nodes, relations=most, facts=most if self.view.mentions else 0)

    async def relations(self, nodes: Sequence[Hashable], most: int) -> Sequence[Sequence[Tie]]:
        """Of each node the newest relations without ``SAME_AS``, newest first."""
        return await self._links(nodes, relations=most, facts=0)

    async def counted(
        self,
        *,
        among: Iterable[Hashable] | None = None,
        without: Iterable[Hashable] = (),
        most: int = EVERYTHING,
    ) -> list[tuple[str, int, int]]:
        """Names as they were first written, with the numbers of their relations and facts: those
        among some, all of them, or else those with the highest numbers.
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
