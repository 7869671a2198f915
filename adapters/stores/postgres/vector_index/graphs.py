"""HNSW indexes ("graphs") for large ledgers, one per ledger.

One HNSW index over the whole table would make small ledgers pay for its maintenance and mix their
vectors with all others; so a graph is a partial index on one ledger. A search by a graph is
approximate, and a process uses a graph only after it has seen it; otherwise the search is exact.
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
"""Minimum documents of a ledger for a graph."""

ITERATIVE = (0, 8)
"""First version of pgvector with iterative scans, which continue until enough rows pass filters."""

LONGEST = 2_000
"""Maximum dimension of pgvector's HNSW indexes."""

EXPLORED = 2
"""``hnsw.ef_search`` as a multiple of the query's limit."""

FEWEST_EXPLORED = 100
MOST_EXPLORED = 1_000
"""Lower bound, and pgvector's upper bound, of ``hnsw.ef_search``."""

REFRESHED = 60.0
"""Seconds for which a process caches the list of graphs."""


@frozen
class Graph:
    """A graph: the ids of its ledger and embedding model."""

    ledger: int
    model: int


class Graphs:
    """The ledgers that have a graph, cached in this process. Safe to share between threads.

    Args:
        tables: tables of the index.
        large: minimum documents of a ledger for a graph.
    """

    def __init__(self, tables: Tables, large: int = LARGE) -> None:
        self._tables = tables
        self._large = large
        self._known: Mapping[LedgerId, Graph] = {}
        self._fresh_until = 0.0

    def condition(self, ledger: LedgerId) -> Sql:
        """SQL expression for the id of a ledger."""
        return Sql(f"(SELECT id FROM {self._tables.ledger} WHERE name = %s)", (ledger,))

    async def near(
        self, connection: Reader, storage: Storage, plan: Plan
    ) -> tuple[Plan, list[Row] | None]:
        """Search the nearest documents by the ledger's graph, if it has one.

        If the graph returns fewer rows than the limit, filters may have dropped its candidates:
        then the search is exact.

        Returns:
            The plan with the ids of the nearest, and their rows; the plan as it was and ``None``
            if the search must be exact.
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
        """Reload which ledgers have a graph."""
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
        """The graphs that are missing, of ledgers that are large enough.

        Args:
            connection: for reading.
            storage: storage of the vectors.
            ledger: check only this ledger; ``None`` checks all.
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
        """Build a graph without blocking writers; ``False`` if another session builds one."""
        extension, t = storage.extension, self._tables
        assert extension is not None
        home, name = sessions.schema, t.graph(graph.ledger)
        on = graph_expression(extension, storage.dimension, "vector")
        # Two concurrent builds on one table would wait for each other.
        made = await sessions.alone(
            advisory_key(f"{home}.{t.prefix}", "graphs"),
            # An interrupted build leaves an invalid index, which never becomes valid.
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
    """Server settings of a search with that many candidates."""
    return {"hnsw.iterative_scan": "strict_order", "hnsw.ef_search": str(candidates)}


def _pinned(number: int, condition: Sql) -> Sql:
    """A literal id together with the condition that it is still right. The planner uses a partial
    index only for a literal; if the id has changed, the search finds nothing instead of another
    ledger's rows.
    """
    return Sql(f"{number} AND {number} = {condition.text}", condition.values)
