"""HNSW indexes for very large ledgers, one each, made and used where comparing all is too slow.

A graph over the whole table would make every small owner pay for its upkeep, and search it among
everybody else's vectors; so a graph is a partial index on one ledger. Searching by a graph is
approximate, and a process does so only after it saw that there is one; without it the same ledger
is searched exactly.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

from attrs import evolve, frozen

from remembrancer.adapters.stores.postgres.advisory_locks import advisory_key
from remembrancer.adapters.stores.postgres.sessions import Reader, Row, Sessions
from remembrancer.adapters.stores.postgres.vector_index.schema import Tables
from remembrancer.adapters.stores.postgres.vector_index.statements import (
    Plan,
    Sql,
    graph_expression,
    nearest_by_graph,
)
from remembrancer.adapters.stores.postgres.vector_index.writing import Storage
from remembrancer.domain.scope import LedgerId

LARGE = 50_000
"""Documents from which a ledger is worth a graph."""

ITERATIVE = (0, 8)
"""The first version of pgvector that goes on searching a graph until filters let enough through."""

LONGEST = 2_000
"""Components of the longest vectors that pgvector puts into a graph."""

EXPLORED = 2
"""Times the limit: how many candidates a search of a graph keeps."""

FEWEST_EXPLORED = 100
MOST_EXPLORED = 1_000
"""What pgvector allows at most."""

REFRESHED = 60.0
"""Seconds for which a process goes by what it knows of graphs that others made."""


@frozen
class Graph:
    """Whose vectors a graph is of: a ledger and a model, by number."""

    ledger: int
    model: int


class Graphs:
    """Which ledgers have a graph, as far as this process knows. Safe to share between threads.

    Args:
        tables: of the index.
        large: documents from which a ledger gets one.
    """

    def __init__(self, tables: Tables, large: int = LARGE) -> None:
        self._tables = tables
        self._large = large
        self._known: Mapping[LedgerId, Graph] = {}
        self._fresh_until = 0.0

    def condition(self, ledger: LedgerId) -> Sql:
        """The number of a ledger, as SQL."""
        return Sql(f"(SELECT id FROM {self._tables.ledger} WHERE name = %s)", (ledger,))

    async def near(
        self, connection: Reader, storage: Storage, plan: Plan
    ) -> tuple[Plan, list[Row] | None]:
        """The nearest documents by the graph of the ledger, if it has one: the plan that knows
        them, and their rows.

        Where a graph leads to fewer than were asked for, conditions may have kept out whatever
        it led to: then the engine compares all.
        """
        await self._refresh(connection)
        graph = self._known.get(plan.query.scope.ledger)
        if graph is None:
            return plan, None
        explored = min(MOST_EXPLORED, max(FEWEST_EXPLORED, EXPLORED * plan.query.limit))
        exact = plan
        plan = evolve(
            plan,
            ledger=_pinned(graph.ledger, plan.ledger),
            model=_pinned(graph.model, plan.model),
        )
        asked = nearest_by_graph(plan, storage.dimension)
        cursor = await connection.execute(asked.text, asked.values, exploring(explored))
        rows = await cursor.fetchall()
        if len(rows) < plan.query.limit:
            return exact, None
        return evolve(plan, near=[row[7] for row in rows]), [row[:7] for row in rows]

    async def _refresh(self, connection: Reader) -> None:
        if self._fresh_until < time.monotonic():
            await self.learn(connection)

    async def learn(self, connection: Reader) -> None:
        """Read which ledgers have a graph."""
        self._fresh_until = time.monotonic() + REFRESHED
        cursor = await connection.execute(
            f"SELECT name, id, graph FROM {self._tables.ledger} WHERE graph IS NOT NULL"
        )
        self._known = {
            LedgerId(name): Graph(ledger, model) for name, ledger, model in await cursor.fetchall()
        }

    async def due(
        self, connection: Reader, storage: Storage, ledger: LedgerId | None
    ) -> Sequence[Graph]:
        """The ledgers that are worth a graph and have none.

        Args:
            connection: to read from.
            storage: how vectors are stored.
            ledger: ``None`` asks for all.
        """
        extension = storage.extension
        if extension is None or extension.version < ITERATIVE or storage.dimension > LONGEST:
            return ()
        t = self._tables
        cursor = await connection.execute(
            f"SELECT ledger.id, model.id FROM {t.ledger} AS ledger, {t.model} AS model "
            "WHERE documents >= %s AND model.name = %s AND dimension = %s "
            "AND graph IS DISTINCT FROM model.id AND NOT EXISTS ("
            f"SELECT FROM pg_stat_progress_create_index WHERE relid = '{t.document}'::regclass)"
            + ("" if ledger is None else " AND ledger.name = %s"),
            (
                self._large,
                storage.model,
                storage.dimension,
                *(() if ledger is None else (ledger,)),
            ),
        )
        return [Graph(ledger, model) for ledger, model in await cursor.fetchall()]

    async def make(self, sessions: Sessions, storage: Storage, graph: Graph) -> bool:
        """Make a graph, unless somebody else is at one; whether it was made. Writers go
        on writing meanwhile.
        """
        extension, t = storage.extension, self._tables
        assert extension is not None
        home, name = sessions.schema, t.graph(graph.ledger)
        on = graph_expression(extension, storage.dimension, "vector")
        # Two that are made at once on one table would wait for each other.
        made = await sessions.alone(
            advisory_key(f"{home}.{t.prefix}", "graphs"),
            # What an interrupted run left is not valid, and would stay so.
            f"DROP INDEX CONCURRENTLY IF EXISTS {home}.{name}",
            f"CREATE INDEX CONCURRENTLY {name} ON {home}.{t.document} USING hnsw "
            f"({on} {extension.schema}.vector_cosine_ops) "
            f"WHERE ledger = {graph.ledger} AND model = {graph.model}",
            f"UPDATE {home}.{t.ledger} SET graph = {graph.model} WHERE id = {graph.ledger}",
        )
        async with sessions.glance() as connection:
            await self.learn(connection)
        return made


def exploring(candidates: int) -> Mapping[str, str]:
    """The settings of a search that keeps so many candidates."""
    return {"hnsw.iterative_scan": "strict_order", "hnsw.ef_search": str(candidates)}


def _pinned(number: int, condition: Sql) -> Sql:
    """A number beside the condition that gives it. Only with the number itself is a partial index
    taken; and should it have become another one, nothing is found, rather than somebody else's.
    """
    return Sql(f"{number} AND {number} = {condition.text}", condition.values)
