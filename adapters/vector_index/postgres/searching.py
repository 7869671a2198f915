"""A search, from the query to the hits: what is asked of the engine, and what comes back."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from attrs import evolve

from memledger.adapters.postgres.filters import to_sql
from memledger.adapters.postgres.nul import restored
from memledger.adapters.postgres.sessions import Reader, Row
from memledger.adapters.vector_index import bm25
from memledger.adapters.vector_index.names import names_in
from memledger.adapters.vector_index.ordering import DIGITS, strongest_first
from memledger.adapters.vector_index.postgres.graphs import Graphs
from memledger.adapters.vector_index.postgres.similarities import similarities
from memledger.adapters.vector_index.postgres.statements import Plan, Sql, statement
from memledger.adapters.vector_index.postgres.terms import number_of
from memledger.adapters.vector_index.postgres.vectors import to_text, unit
from memledger.adapters.vector_index.postgres.writing import Storage
from memledger.adapters.vector_index.refusals import check_query, components
from memledger.domain.fact import Interval
from memledger.domain.filters import BUILT_IN_FIELDS, TIME_FIELDS, Filter
from memledger.domain.moments import from_microseconds
from memledger.domain.ports.vector_index import Hit, IndexQuery

NO_COMPILING = {"jit": "off"}
"""Compiling takes longer than any search, and what it costs the server guesses badly."""


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
        connection: inside a transaction, or a glance.
        storage: where the documents are, and whose vectors are compared with.
        query: what to look for.
        graphs: which ledgers have an HNSW index.

    Raises:
        InvalidRequest: the query asks for nothing, or has a vector of another dimension.
    """
    check_query(query)
    vector = None
    if query.vector is not None:
        vector = unit(components(query.vector, storage.dimension, "vector"))
    text, extension = query.text, storage.extension
    plan = Plan(
        tables=storage.tables,
        ledger=graphs.condition(query.scope.ledger),
        query=query,
        where=None if query.where is None else _translated(query.where),
        terms=bm25.query_terms(text) if text else (),
        names=sorted({number_of(name) for name in names_in(text)}) if text else (),
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
    if nearest is None or plan.terms or plan.names:
        nearest = await _rows(connection, plan)
    hits = _hits(nearest)
    # By similarity alone the engine has put them in order already.
    return strongest_first(hits) if plan.needs_all_signals else hits


def _translated(where: Filter) -> Sql:
    text, values = to_sql(where, _COLUMNS, "w.metadata")
    return Sql(text, tuple(values))


async def _rows(connection: Reader, plan: Plan) -> list[Row]:
    asked = statement(plan)
    return await (await connection.execute(asked.text, asked.values, NO_COMPILING)).fetchall()


def _hits(rows: Iterable[Row]) -> list[Hit]:
    hits = []
    for fact_id, version, speaker, occurred_at, valid_from, valid_to, similarity, *words in rows:
        _, keyword, context, shared, known = words or _NO_WORDS
        hits.append(
            Hit(
                key=(fact_id, version),
                similarity=similarity,
                keyword=keyword,
                context=context,
                entities=round(shared / known, DIGITS) if known else None,
                speaker=None if speaker is None else restored(speaker),
                occurred_at=from_microseconds(occurred_at),
                valid=_ALWAYS
                if valid_from is None and valid_to is None
                else Interval(start=_moment(valid_from), end=_moment(valid_to)),
            )
        )
    return hits


_ALWAYS = Interval()
_NO_WORDS = (None, None, None, 0, 0)


def _moment(value: int | None) -> datetime | None:
    return None if value is None else from_microseconds(value)
