"""Search: from the query to a plan, from the rows to the hits."""

from __future__ import annotations

from collections.abc import Iterable

from attrs import evolve

from remembrancer.adapters.index_scoring.argument_checks import check_query, components
from remembrancer.adapters.index_scoring.hit_order import DIGITS, strongest_first
from remembrancer.adapters.stores.postgres.filters import to_sql
from remembrancer.adapters.stores.postgres.nul import restored
from remembrancer.adapters.stores.postgres.sessions import Reader, Row
from remembrancer.adapters.stores.postgres.vector_index.graphs import Graphs
from remembrancer.adapters.stores.postgres.vector_index.similarities import similarities
from remembrancer.adapters.stores.postgres.vector_index.statements import Plan, Sql, statement
from remembrancer.adapters.stores.postgres.vector_index.terms import number_of
from remembrancer.adapters.stores.postgres.vector_index.vectors import to_text, unit
from remembrancer.adapters.stores.postgres.vector_index.writing import Storage
from remembrancer.domain.epoch_micros import from_microseconds, interval_from
from remembrancer.domain.facts.fact import Interval
from remembrancer.domain.filters.ast import BUILT_IN_FIELDS, TIME_FIELDS, Filter
from remembrancer.domain.ports.vector_index import Hit, IndexQuery

PLANNED_ONCE = {"jit": "off", "plan_cache_mode": "force_generic_plan"}
"""Server settings for a search by similarity alone. Planning takes as long as searching a small
ledger, and the plan does not depend on the query. JIT compilation takes longer than any search, and
the server misjudges its cost.
"""

PLANNED_EACH_TIME = {"jit": "off", "plan_cache_mode": "force_custom_plan"}
"""Server settings for a search by words. The best plan depends on how many documents have them:
with a generic plan, half a million documents of one owner took twice as long.
"""


def _column(name: str) -> str:
    if name in TIME_FIELDS:
        return f"(w.attributes->>'{name}')::bigint"
    if name == "entities":
        return "w.attributes->'entities'"
    return f"((w.attributes->>'{name}') COLLATE \"C\")"


_COLUMNS = {name: _column(name) for name in BUILT_IN_FIELDS}


async def search(
    connection: Reader, storage: Storage, query: IndexQuery, graphs: Graphs
) -> list[Hit]:
    """See ``VectorIndex.search``.

    Args:
        connection: in a transaction, or from ``Sessions.glance``.
        storage: tables, embedding model and dimension.
        query: text, vector, scope, times, filter and limit.
        graphs: the ledgers that have an HNSW index.

    Raises:
        InvalidRequest: the query has neither text nor vector, or a vector of another dimension.
    """
    check_query(query)
    vector = None
    if query.vector is not None:
        vector = unit(components(query.vector, storage.dimension, "vector"))
    extension = storage.extension
    plan = Plan(
        tables=storage.tables,
        ledger=graphs.condition(query.scope.ledger),
        query=query,
        where=None if query.where is None else _translated(query.where),
        terms=query.terms,
        names=sorted({number_of(name) for name in query.names}),
        model=Sql(
            f"(SELECT id FROM {storage.tables.model} WHERE name = %s AND dimension = %s)",
            (storage.model, storage.dimension),
        ),
        extension=None if vector is None else extension,
        vector=None if vector is None or extension is None else to_text(vector),
    )
    if vector is None:
        return strongest_first(_hits(await _rows(connection, plan))) if plan.terms else []
    if extension is None:
        found = await similarities(connection, plan, vector)
        rows = await _rows(connection, evolve(plan, near=found.nearest))
        return strongest_first(
            _hits((*row[:6], found.by_number.get(row[7]), *row[7:]) for row in rows)
        )
    plan, nearest = await graphs.near(connection, storage, plan)
    if plan.terms or plan.names:
        return strongest_first(_hits(await _rows(connection, plan)))
    if nearest is not None:
        return strongest_first(_nearest(nearest))
    # An exact search returns its rows in order.
    return _nearest(await _rows(connection, plan))


def _translated(where: Filter) -> Sql:
    text, values = to_sql(where, _COLUMNS, "w.metadata")
    return Sql(text, tuple(values))


async def _rows(connection: Reader, plan: Plan) -> list[Row]:
    asked = statement(plan)
    settings = PLANNED_EACH_TIME if plan.terms else PLANNED_ONCE
    return await (await connection.execute(asked.text, asked.values, settings)).fetchall()


def _nearest(rows: Iterable[Row]) -> list[Hit]:
    """Hits of a search by similarity alone. Separate, since it takes half of the client's time."""
    return [
        Hit(
            key=(fact_id, version),
            similarity=similarity,
            speaker=None if speaker is None else restored(speaker),
            occurred_at=from_microseconds(occurred_at),
            valid=_ALWAYS if since is None and until is None else interval_from(since, until),
        )
        for fact_id, version, speaker, occurred_at, since, until, similarity in rows
    ]


def _hits(rows: Iterable[Row]) -> list[Hit]:
    """Hits of a search by all signals."""
    return [
        Hit(
            key=(fact_id, version),
            similarity=similarity,
            keyword=keyword,
            context=context,
            entities=round(shared / known, DIGITS) if known else None,
            speaker=None if speaker is None else restored(speaker),
            occurred_at=from_microseconds(occurred_at),
            valid=_ALWAYS if since is None and until is None else interval_from(since, until),
        )
        for (
            (fact_id, version, speaker, occurred_at, since, until, similarity),
            (_, keyword, context, shared, known),
        ) in ((row[:7], row[7:]) for row in rows)
    ]


_ALWAYS = Interval()
