"""SQL of a search: one statement that matches, scores and limits in the server.

``statement`` translates a ``Plan``. Conditions on scope, times and filter are applied before every
LIMIT. Keyword scores are BM25 (see ``bm25``); document frequencies are counted over all documents
of the ledger that have a term of the query.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from attrs import frozen

from remembrancer.adapters.index_scoring import bm25
from remembrancer.adapters.index_scoring.hit_order import DIGITS
from remembrancer.adapters.stores.postgres.vector_index.schema import Extension, Tables
from remembrancer.adapters.stores.postgres.vector_index.terms import to_tsquery
from remembrancer.domain.epoch_micros import to_microseconds
from remembrancer.domain.ports.vector_index import IndexQuery

_UNIT = f"1e{DIGITS}"


@frozen
class Sql:
    """An SQL fragment with the values of its ``%s`` in order."""

    text: str
    values: tuple[object, ...] = ()


def joined(pieces: Sequence[Sql], by: str) -> Sql:
    """Join fragments with a separator."""
    return Sql(
        by.join(piece.text for piece in pieces),
        tuple(value for piece in pieces for value in piece.values),
    )


def spliced(template: str, *pieces: Sql) -> Sql:
    """Replace each ``{}`` of a template by a fragment."""
    return Sql(
        template.format(*(piece.text for piece in pieces)),
        tuple(value for piece in pieces for value in piece.values),
    )


@frozen(kw_only=True)
class Plan:
    """Input of a search statement.

    Args:
        tables: tables of the index.
        ledger: expression that the column ``ledger`` must equal.
        query: scope, times and limit.
        where: filter condition on the alias ``w``, if any.
        terms: terms of the query's text.
        names: ids of possible names in the query's text.
        extension: pgvector, if the server computes similarities.
        vector: text form of the query's vector, of length 1.
        model: expression that the column ``model`` must equal.
        near: document ids of the nearest, if already known.
    """

    tables: Tables
    ledger: Sql
    query: IndexQuery
    where: Sql | None = None
    terms: Sequence[str] = ()
    names: Sequence[int] = ()
    extension: Extension | None = None
    vector: str | None = None
    model: Sql = Sql("true")
    near: Sequence[int] | None = None

    @property
    def needs_all_signals(self) -> bool:
        """Whether there are other signals than similarity, or the nearest are already known."""
        return bool(self.terms or self.names) or self.near is not None


def seen(query: IndexQuery, alias: str) -> Sql:
    """Condition that a document is within the scope and times of a query.

    The owner, the first id of a scope, is checked by the ledger.
    """
    _, *narrower = query.scope.ids().items()
    now, as_of = to_microseconds(query.now), query.as_of
    moment = now if as_of is None else to_microseconds(as_of)
    valid_at = None if query.valid_at is None else to_microseconds(query.valid_at)
    pieces = [Sql(f"{alias}.{name} = %s", (value,)) for name, value in narrower]
    pieces += _within(alias, "visible", moment, strict=as_of is not None)
    if valid_at is None:
        pieces += _within(alias, "valid", moment, strict=False)
    else:
        pieces += _within(alias, "valid", valid_at, strict=True)
    return joined(pieces, " AND ")


def _within(alias: str, name: str, moment: int, *, strict: bool) -> Iterator[Sql]:
    end, start = f"{alias}.{name}_to", f"{alias}.{name}_from"
    yield Sql(f"({end} IS NULL OR {end} > %s)", (moment,))
    if strict:
        yield Sql(f"({start} IS NULL OR {start} <= %s)", (moment,))


def similarity(extension: Extension, vector: Sql) -> Sql:
    """Cosine of ``d.vector`` with a vector of length 1, rounded like every signal."""
    # "<#>" is the negative inner product; lengths were computed when writing.
    product = spliced(f"d.vector {extension.operator('<#>')} {{}}", vector)
    return spliced(f"round(({{}}) / d.length * -{_UNIT}) / {_UNIT}", product)


_HIT = "d.fact_id, d.version, d.speaker, d.occurred_at, d.valid_from, d.valid_to"


def statement(plan: Plan) -> Sql:
    """Return the statement for a plan.

    Columns: fact id, version, speaker, occurred at, valid from, valid to, similarity; if
    ``needs_all_signals``, also: document id, keyword score, context score, number of the query's
    names that the document has, number that the ledger has.
    """
    if not plan.needs_all_signals:
        return _nearest(plan, _HIT, _vector(plan))
    return _all_signals(plan)


def eligible(plan: Plan) -> Sql:
    """FROM and WHERE clauses for the candidates of a vector search."""
    pieces = [
        spliced("d.ledger = {}", plan.ledger),
        spliced("d.model = {}", plan.model),
        seen(plan.query, "d"),
    ]
    table = f"{plan.tables.document} AS d"
    if plan.where is not None:
        table += f" JOIN {plan.tables.wording} AS w ON w.id = d.id"
        pieces.append(plan.where)
    return spliced(f"FROM {table} WHERE {{}}", joined(pieces, " AND "))


def _vector(plan: Plan) -> Sql:
    assert plan.extension is not None
    return Sql(f"%s::{plan.extension.type}", (plan.vector,))


def _nearest(plan: Plan, columns: str, vector: Sql) -> Sql:
    assert plan.extension is not None
    # No index covers this expression, so all vectors are compared.
    return spliced(
        f"SELECT {columns}, {{}} AS similarity {{}} "
        "ORDER BY similarity DESC, d.fact_id, d.version LIMIT {}",
        similarity(plan.extension, vector),
        eligible(plan),
        Sql("%s", (plan.query.limit,)),
    )


def nearest_by_graph(plan: Plan, dimension: int) -> Sql:
    """Statement for the nearest documents by an HNSW index: the columns of ``statement`` up to
    similarity, and the document id.
    """
    assert plan.extension is not None
    vector = _vector(plan)
    distance = graph_expression(plan.extension, dimension, "d.vector")
    return spliced(
        f"SELECT {_HIT}, {{}}, d.id {{}} "
        f"ORDER BY {distance} {plan.extension.operator('<=>')} {{}} LIMIT {{}}",
        similarity(plan.extension, vector),
        eligible(plan),
        vector,
        Sql("%s", (plan.query.limit,)),
    )


def graph_expression(extension: Extension, dimension: int, column: str) -> str:
    """Indexed expression of an HNSW index: vectors of one dimension."""
    return f"({column}::{extension.type}({dimension}))"


def _all_signals(plan: Plan) -> Sql:
    parts: list[Sql] = []
    best: list[Sql] = []
    limit = Sql("%s", (plan.query.limit,))
    near = "NULL::double precision"
    if plan.extension is not None:
        parts.append(spliced("asked AS MATERIALIZED (SELECT {} AS vector)", _vector(plan)))
        asked = Sql("(SELECT vector FROM asked)")
        if plan.near is None:
            best.append(spliced("SELECT id FROM ({}) AS near", _nearest(plan, "d.id", asked)))
        score = similarity(plan.extension, asked).text
        near = f"CASE WHEN d.model = (SELECT id FROM whose) THEN {score} END"
        parts.append(
            spliced(
                f"whose AS MATERIALIZED (SELECT id FROM {plan.tables.model} WHERE id = {{}})",
                plan.model,
            )
        )
    if plan.near is not None:
        best.append(Sql("SELECT unnest(%s::bigint[]) AS id", (list(plan.near),)))
    keyword = "NULL::double precision, NULL::double precision"
    scored = ""
    if plan.terms:
        parts += _scored(plan)
        best += [
            spliced(
                f"(SELECT id FROM scored WHERE {name} > 0 "
                f"ORDER BY {name} DESC, fact_id, version LIMIT {{}})",
                limit,
            )
            for name in ("keyword", "context")
        ]
        keyword = "coalesce(s.keyword, 0), coalesce(s.context, 0)"
        scored = "LEFT JOIN scored AS s ON s.id = d.id"
    names, wording = "0, 0", ""
    if plan.names:
        parts.append(_known(plan))
        names = (
            "(SELECT count(*) FROM unnest(w.names) AS name "
            "WHERE name = ANY ((SELECT names FROM known)::bigint[])), "
            "cardinality((SELECT names FROM known))"
        )
        wording = f"JOIN {plan.tables.wording} AS w ON w.id = d.id"
    parts.append(spliced("best AS MATERIALIZED ({})", joined(best, " UNION ")))
    return spliced(
        f"WITH {{}} SELECT {_HIT}, {near}, d.id, {keyword}, {names} FROM best "
        f"JOIN {plan.tables.document} AS d ON d.id = best.id {scored} {wording}",
        joined(parts, ", "),
    )


def _known(plan: Plan) -> Sql:
    """CTE of the query's names that some document of the ledger has."""
    return Sql(
        "known AS MATERIALIZED (SELECT coalesce(array_agg(asked.name), '{}') AS names "
        "FROM unnest(%s::bigint[]) AS asked (name) WHERE EXISTS ("
        f"SELECT FROM {plan.tables.name} AS n "
        f"WHERE n.ledger = {plan.ledger.text} AND n.name = asked.name))",
        (list(plan.names), *plan.ledger.values),
    )


_FIELDS = (("t", "text"), ("c", "context"))

FEW = 30
"""A ledger with less than one in ``FEW`` of all documents is scanned instead of using the index on
terms. That index covers all ledgers: its cost grows with the table (85 ms for five terms in a
million documents), that of a scan with the ledger (2.5 µs per document).
"""


def _scored(plan: Plan) -> list[Sql]:
    """CTEs that score every document of the ledger with a term of the query, text and context."""
    ledger, terms = plan.ledger, plan.terms
    asked = to_tsquery(terms)
    frequencies = [
        Sql(
            # The test is fourteen times as fast as ts_rank_cd without a match.
            f"CASE WHEN w.{name}_terms @@ %s::tsquery THEN "
            f"ts_rank_cd('{{1,1,1,1}}', w.{name}_terms, %s::tsquery) ELSE 0 END"
            f"::double precision AS {short}{place}",
            (to_tsquery([term]),) * 2,
        )
        for short, name in _FIELDS
        for place, term in enumerate(terms)
    ]
    passes = seen(plan.query, "w")
    if plan.where is not None:
        passes = joined([passes, plan.where], " AND ")
    columns = joined(
        [
            Sql("w.id, w.fact_id, w.version, w.text_length, w.context_length"),
            spliced("({}) AS seen", passes),
            *frequencies,
        ],
        ", ",
    )
    own = Sql(f"ledger = {ledger.text}", ledger.values)
    holds = Sql("(text_terms @@ %s::tsquery OR context_terms @@ %s::tsquery)", (asked, asked))
    every = f"SELECT * FROM {plan.tables.wording} WHERE"
    matched = spliced(
        # IS TRUE prevents the use of the index on terms.
        f"matched AS MATERIALIZED (SELECT {{}} FROM ("
        f"{every} (SELECT few FROM size) AND {{}} AND {{}} IS TRUE "
        f"UNION ALL {every} NOT (SELECT few FROM size) AND {{}} AND {{}}) AS w)",
        *(columns, own, holds, own, holds),
    )
    numbers = [f"{short}{place}" for short, _ in _FIELDS for place in range(len(terms))]
    counts = ", ".join(f"count(*) FILTER (WHERE {name} > 0) AS {name}" for name in numbers)
    rarities = ", ".join(f"{_rarity(name)} AS {name}" for name in numbers)
    reaches = ", ".join(
        " + ".join(_rarity(f"greatest({short}{place}, 1)") for place in range(len(terms)))
        + f" AS {name}_reach, l.{name}_length::double precision / l.documents AS {name}_average"
        for short, name in _FIELDS
    )
    scores = ", ".join(
        f"round(({' + '.join(_weight(short, name, place) for place in range(len(terms)))}) "
        f"/ r.{name}_reach * {_UNIT}) / {_UNIT} AS {'keyword' if name == 'text' else name}"
        for short, name in _FIELDS
    )
    return [
        Sql(
            f"size AS MATERIALIZED (SELECT documents * {FEW} < reltuples AS few "
            f"FROM {plan.tables.ledger} AS l, pg_class WHERE l.id = {ledger.text} "
            f"AND pg_class.oid = '{plan.tables.wording}'::regclass)",
            ledger.values,
        ),
        matched,
        Sql(f"counted AS MATERIALIZED (SELECT {counts} FROM matched)"),
        Sql(
            f"rated AS MATERIALIZED (SELECT {rarities}, {reaches} "
            f"FROM counted, {plan.tables.ledger} AS l WHERE l.id = {ledger.text})",
            ledger.values,
        ),
        Sql(
            f"scored AS MATERIALIZED (SELECT m.id, m.fact_id, m.version, {scores} "
            "FROM matched AS m, rated AS r WHERE m.seen)"
        ),
    ]


def _rarity(holders: str) -> str:
    """``bm25.rarity``."""
    return f"ln(1 + (l.documents - {holders} + 0.5::double precision) / ({holders} + 0.5))"


def _weight(short: str, name: str, place: int) -> str:
    """``bm25.weight``, times the rarity of the term."""
    frequency = f"m.{short}{place}"
    # 1e-9 avoids division by zero if the field has no terms; then no document matched by it.
    length = f"{bm25.B} / greatest(r.{name}_average, 1e-9) * m.{name}_length"
    return (
        f"r.{short}{place} * {frequency} * {bm25.K1 + 1} "
        f"/ ({frequency} + {bm25.K1} * ({1 - bm25.B} + {length}))"
    )
