"""PostgreSQL-specific behaviour of the vector index: HNSW graphs, rebuilds, the extension."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest
from attrs import evolve

from remembrancer import Memory, load_settings
from remembrancer.adapters.stores.postgres.database import Database
from remembrancer.adapters.stores.postgres.settings import PostgresSettings
from remembrancer.adapters.stores.postgres.vector_index import PostgresVectorIndex
from remembrancer.adapters.stores.postgres.vector_index.statements import FEW
from remembrancer.adapters.vector_index.pgvector import PgvectorIndex, PgvectorSettings
from remembrancer.application.inline import run_inline
from remembrancer.application.projections import worker
from remembrancer.domain.errors import AdapterUnavailable, InvalidRequest
from remembrancer.domain.filters.parse import parse_filter
from remembrancer.domain.ports.vector_index import IndexQuery
from remembrancer.domain.scope import LedgerId, Scope
from remembrancer.testing.driving import Driven
from remembrancer.testing.vector_index import DIMENSION, LATER, document, vector

ALICE = LedgerId("user:alice")
LARGE = 20


def query(text: str | None = None, **fields: Any) -> IndexQuery:
    return evolve(IndexQuery(scope=Scope(user_id="alice"), text=text, now=LATER), **fields)


@pytest.fixture
def database(postgres: PostgresSettings) -> Iterator[Database]:
    database = Database(postgres, [])
    yield database
    database.close()


def index_in(database: Database, **options: Any) -> PostgresVectorIndex:
    index = PostgresVectorIndex(
        database.sessions, model="m", dimension=DIMENSION, large=LARGE, **options
    )

    async def create() -> None:
        async with database.sessions.transaction() as connection:
            await index.create(connection)

    run_inline(create())
    return index


def within(database: Database, work: Any) -> Any:
    """Call ``work`` with a connection in a transaction; return its result."""

    async def run() -> Any:
        async with database.sessions.transaction() as connection:
            return await work(connection)

    return run_inline(run())


def settings_of(postgres: PostgresSettings) -> PgvectorSettings:
    return PgvectorSettings(dsn=postgres.dsn, schema=postgres.schema)


# Keyword search


def test_scores_are_equal_by_scan_and_by_index_on_terms(
    database: Database, postgres: PostgresSettings
) -> None:
    index = Driven(index_in(database))
    texts = ("green tea", "black tea with milk", "coffee")
    index.put([document(text, context="tea at noon") for text in texts])
    index.put([document("tea", scope=Scope(user_id=f"user {n}")) for n in range(4 * FEW)])
    before = index.search(query("green tea with lemon"))
    with psycopg.connect(postgres.dsn, autocommit=True) as connection:
        # Only ANALYZE gives the planner the number of documents.
        connection.execute(f'ANALYZE "{postgres.schema}".index_wording'.encode())
    assert before
    assert index.search(query("green tea with lemon")) == before


# Graphs


def test_large_ledger_is_searched_by_a_graph(postgres: PostgresSettings) -> None:
    # With so few documents the planner would prefer a sequential scan.
    dsn = f"{postgres.dsn} options='-c enable_seqscan=off -c enable_sort=off'"
    database = Database(evolve(postgres, dsn=dsn), [])
    index = Driven(index_in(database))
    documents = [document("tea", vector=vector(1, n / 10)) for n in range(LARGE)]
    index.put(documents[1:])
    assert index.compact() == 0
    index.put(documents[:1])
    assert index.compact() == 1
    assert index.compact() == 0
    found = index.search(query(vector=vector(1), limit=5))
    database.close()
    assert [hit.key for hit in found] == [each.key for each in documents[:5]]
    with psycopg.connect(postgres.dsn, autocommit=True) as connection:
        deadline = time.monotonic() + 30
        # Statistics of a backend are complete when it has exited.
        while not connection.execute(
            "SELECT FROM pg_stat_user_indexes WHERE schemaname = %s "
            "AND indexrelname LIKE '%%hnsw%%' AND idx_scan > 0",
            (postgres.schema,),
        ).fetchall():
            assert time.monotonic() < deadline


def test_index_opens_while_another_process_builds_a_graph(postgres: PostgresSettings) -> None:
    first, second = (
        PgvectorIndex(evolve(settings_of(postgres), statement_timeout=5), "m", DIMENSION)
        for _ in range(2)
    )
    first.put([document("tea")])
    with psycopg.connect(postgres.dsn) as making:
        # The lock that CREATE INDEX CONCURRENTLY holds.
        table = f'"{postgres.schema}".index_document'
        making.execute(f"LOCK TABLE {table} IN SHARE UPDATE EXCLUSIVE MODE".encode())
        second.put([document("coffee")])
        assert len(second.search(query("coffee"))) == 1
    first.close()
    second.close()


def test_other_processes_use_a_new_graph(database: Database) -> None:
    writer, reader = Driven(index_in(database)), Driven(index_in(database))
    documents = [document("tea", vector=vector(1, n / 10)) for n in range(LARGE)]
    writer.put(documents)
    assert writer.compact(ALICE) == 1
    before = reader.search(query("tea", vector=vector(1), limit=5))
    assert before == writer.search(query("tea", vector=vector(1), limit=5))


def graphs_in(postgres: PostgresSettings) -> list[bool]:
    """For each graph, whether it is valid."""
    with psycopg.connect(postgres.dsn, autocommit=True) as connection:
        rows = connection.execute(
            "SELECT indisvalid FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid "
            "WHERE relnamespace = to_regnamespace(%s) AND relname LIKE '%%hnsw%%'",
            (postgres.schema,),
        ).fetchall()
    return [valid for (valid,) in rows]


def test_concurrent_builds_leave_one_valid_graph(
    postgres: PostgresSettings, database: Database
) -> None:
    indexes = [Driven(index_in(database)) for _ in range(2)]
    documents = [document("tea", vector=vector(1, n / 10)) for n in range(LARGE)]
    indexes[0].put(documents)
    with ThreadPoolExecutor(2) as threads:
        assert sum(threads.map(lambda index: index.compact(), indexes)) >= 1
    assert graphs_in(postgres) == [True]
    assert indexes[0].compact() == 0
    for index in indexes:
        hits = index.search(query(vector=vector(1), limit=3))
        assert [hit.key for hit in hits] == [each.key for each in documents[:3]]


def test_graph_of_an_interrupted_build_is_rebuilt(
    postgres: PostgresSettings, database: Database
) -> None:
    index = Driven(index_in(database))
    index.put([document("tea", vector=vector(1, n / 10)) for n in range(LARGE)])
    # Given a graph whose builder was killed before it registered the graph
    assert index.compact() == 1
    with psycopg.connect(postgres.dsn) as connection:
        connection.execute(f'UPDATE "{postgres.schema}".index_ledger SET graph = NULL'.encode())
    # Then
    assert index.compact() == 1
    assert graphs_in(postgres) == [True]


def test_put_builds_no_graph(postgres: PostgresSettings) -> None:
    index = PgvectorIndex(settings_of(postgres), "m", DIMENSION, large=LARGE)
    index.put([document("tea", vector=vector(1, n / 10)) for n in range(LARGE)])
    assert graphs_in(postgres) == []
    assert index.compact() == 1
    assert graphs_in(postgres) == [True]
    index.close()


def test_graph_build_is_not_limited_by_statement_timeout(postgres: PostgresSettings) -> None:
    short = evolve(settings_of(postgres), statement_timeout=1.0)
    index = PgvectorIndex(short, "m", DIMENSION)
    index.count(ALICE)
    run_inline(index._sessions.alone(1, "SELECT pg_sleep(1.2)"))

    async def look() -> str:
        async with index._sessions.reader() as connection:
            cursor = await connection.execute("SHOW statement_timeout")
            return str((await cursor.fetchall())[0][0])

    assert run_inline(look()) == "1s"
    index.close()


def test_worker_builds_graphs(postgres: PostgresSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "UPKEEP", 0.01)
    settings = load_settings({"embedder": {"dimension": 32}}, environment={})
    own = evolve(settings_of(postgres), max_connections=4)
    stop = threading.Event()
    with Memory(settings=settings) as plain:
        model = plain._inner._container.embedder().model
    index = PgvectorIndex(own, model, 32, large=LARGE)
    with Memory(settings=settings, overrides={"vector_index": index}) as memory:
        thread = threading.Thread(target=lambda: memory.run_worker(stop=stop.is_set), daemon=True)
        thread.start()
        for number in range(LARGE):
            memory.add(f"I like tea number {number}.", user_id="ann", infer=False)
        deadline = time.monotonic() + 60
        while graphs_in(postgres) != [True]:
            assert time.monotonic() < deadline
        stop.set()
        thread.join(60)
        assert not thread.is_alive()
    index.close()


def test_compact_builds_graphs_without_a_worker(
    postgres: PostgresSettings,
) -> None:
    log = {"provider": "postgres", "dsn": postgres.dsn, "schema": postgres.schema}
    settings = load_settings({"audit_log": log}, environment={})
    with Memory(settings=settings) as memory:
        memory._inner._container.embedded_index()._graphs._large = LARGE
        for number in range(LARGE):
            memory.add(f"I like tea number {number}.", user_id="ann", infer=False)
        assert graphs_in(postgres) == []
        assert memory.compact() == 1
        assert memory.compact() == 0
        assert graphs_in(postgres) == [True]
        assert len(memory.search("tea", user_id="ann", limit=5)) == 5


def test_selective_filter_finds_documents_far_from_the_query(database: Database) -> None:
    index = Driven(index_in(database))
    near = [
        document("tea", vector=vector(1, n / 1000), attributes={"metadata": {"n": n}})
        for n in range(300)
    ]
    far = document("tea", vector=vector(-1, 1), attributes={"metadata": {"n": -1}})
    index.put([*near, far])
    assert index.compact() == 1
    hits = index.search(query(vector=vector(1), where=parse_filter({"n": -1}), limit=3))
    assert [hit.key for hit in hits] == [far.key]


def test_large_ledger_without_pgvector_has_no_graph(database: Database) -> None:
    index = Driven(index_in(database, pgvector=False))
    index.put([document("tea") for _ in range(LARGE)])
    assert index.compact() == 0


# Matching and scoring


def test_icontains_folds_case_like_python(database: Database) -> None:
    index = Driven(index_in(database))
    street = document("tea", attributes={"metadata": {"place": "Straße"}})
    index.put([street])
    where = parse_filter({"place": {"icontains": "STRASSE"}})
    assert [hit.key for hit in index.search(query("tea", where=where))] == [street.key]


def test_frequent_term_ranks_a_document_higher(database: Database) -> None:
    index = Driven(index_in(database))
    once, often = document("tea milk gin", vector=None), document("tea tea milk", vector=None)
    index.put([once, often])
    assert [hit.key for hit in index.search(query("tea"))] == [often.key, once.key]


# Rebuild


@pytest.mark.parametrize("pgvector", [True, False])
def test_vectors_survive_a_rebuild(database: Database, pgvector: bool) -> None:
    index = index_in(database, pgvector=pgvector)
    tea, gin = document("tea", vector=vector(1, 2)), document("gin", vector=vector(3))
    Driven(index).put([tea, gin])

    async def rebuild(connection: Any) -> Any:
        await index.clear(connection)
        assert await index.count_in(connection) == 0
        found = await index.vectors_in(connection, ["tea", "gin", "milk"])
        await index.put_in(connection, [evolve(tea, vector=found["tea"])])
        await index.forget_unused_in(connection)
        return found

    assert within(database, rebuild) == {"tea": vector(1, 2), "gin": vector(3)}
    assert dict(Driven(index).vectors_for(["tea", "gin"])) == {"tea": vector(1, 2)}


def test_documents_without_a_vector_are_listed_oldest_first(database: Database) -> None:
    index = index_in(database)
    Driven(index).put([document("a", vector=None), document("b")])
    Driven(index).put([document("c\0\x01", vector=None)])
    waiting = within(database, lambda connection: index.without_vector(connection, 5))
    assert [text for _, text in waiting] == ["a", "c\0\x01"]


def test_rebuild_switches_to_pgvector_when_enabled(database: Database) -> None:
    tea = document("tea", vector=vector(1))
    Driven(index_in(database, pgvector=False)).put([tea])
    index = index_in(database)
    within(database, index.clear)
    Driven(index).put([tea])
    (hit,) = Driven(index).search(query(vector=vector(1)))
    assert hit.similarity == 1.0

    async def kind(connection: Any) -> Any:
        cursor = await connection.execute(
            "SELECT typname FROM pg_attribute JOIN pg_type ON pg_type.oid = atttypid "
            "WHERE attrelid = 'index_document'::regclass AND attname = 'vector'"
        )
        return await cursor.fetchone()

    assert within(database, kind) == ("vector",)


def test_vectors_of_another_embedder_are_not_compared(postgres: PostgresSettings) -> None:
    old = PgvectorIndex(settings_of(postgres), "old", DIMENSION)
    new = PgvectorIndex(settings_of(postgres), "new", DIMENSION + 1)
    tea = document("tea", vector=vector(1))
    old.put([tea])
    (hit,) = new.search(query("tea", vector=[1.0] * (DIMENSION + 1)))
    assert hit.similarity is None
    new.put([evolve(tea, vector=[1.0] * (DIMENSION + 1))])
    (hit,) = new.search(query("tea", vector=[1.0] * (DIMENSION + 1)))
    assert hit.similarity == 1.0
    old.close()
    new.close()


# pgvector as a separate engine


def test_ping_returns_engine_and_version(postgres: PostgresSettings) -> None:
    index = PgvectorIndex(settings_of(postgres), "m", DIMENSION)
    assert index.ping().startswith("pgvector 0.")
    assert " on PostgreSQL " in index.ping()
    index.close()


def test_clear_removes_documents_and_vectors(postgres: PostgresSettings) -> None:
    index = PgvectorIndex(settings_of(postgres), "m", DIMENSION)
    tea = document("tea")
    index.put([tea])
    index.clear()
    assert index.count(ALICE) == 0
    assert index.search(query("tea", vector=vector(1))) == []
    assert dict(index.vectors_for(["tea"])) == {}
    index.put([tea])
    assert [hit.key for hit in index.search(query("tea"))] == [tea.key]
    index.close()


def test_indexes_with_different_table_names_share_a_schema(
    postgres: PostgresSettings,
) -> None:
    one = PgvectorIndex(settings_of(postgres), "m", DIMENSION)
    other = PgvectorIndex(evolve(settings_of(postgres), table="other"), "m", DIMENSION)
    one.put([document("tea")])
    assert (one.count(ALICE), other.count(ALICE)) == (1, 0)
    one.close()
    other.close()


def test_unreachable_engine_is_named_in_the_error(postgres: PostgresSettings) -> None:
    away = PgvectorSettings(dsn="host=127.0.0.1 port=1", connect_timeout=0.5)
    index = PgvectorIndex(away, "m", DIMENSION)
    with pytest.raises(AdapterUnavailable) as caught:
        index.ping()
    assert caught.value.adapter == "pgvector"
    index.close()


def test_closed_index_raises_and_closing_twice_does_nothing(postgres: PostgresSettings) -> None:
    index = PgvectorIndex(settings_of(postgres), "m", DIMENSION)
    index.ping()
    index.close()
    index.close()
    with pytest.raises(AdapterUnavailable, match="closed"):
        index.ping()


def test_database_without_the_extension_is_rejected(postgres: PostgresSettings) -> None:
    with psycopg.connect(postgres.dsn, autocommit=True) as connection:
        name = f"role_{postgres.schema}"
        connection.execute(f"CREATE DATABASE {name}".encode())
        connection.execute(f"CREATE ROLE {name} LOGIN".encode())
        try:
            dsn = f"{postgres.dsn} user={name} dbname={name}"
            with psycopg.connect(f"{postgres.dsn} dbname={name}", autocommit=True) as other:
                other.execute(f"CREATE SCHEMA remembrancer_pgvector AUTHORIZATION {name}".encode())
            index = PgvectorIndex(PgvectorSettings(dsn=dsn), "m", DIMENSION)
            with pytest.raises(InvalidRequest, match="CREATE EXTENSION vector"):
                index.ping()
            index.close()
        finally:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())
            connection.execute(f"DROP ROLE {name}".encode())


@pytest.fixture
def new_database(postgres: PostgresSettings) -> Iterator[str]:
    """Connection string of a new, empty database."""
    name = f"other_{postgres.schema}"
    with psycopg.connect(postgres.dsn, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}".encode())
        yield f"{postgres.dsn} dbname={name}"
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


def indexes_in(dsn: str, *schemas: str) -> Iterator[PgvectorIndex]:
    for schema in schemas:
        yield PgvectorIndex(PgvectorSettings(dsn=dsn, schema=schema), "m", DIMENSION)


def test_extension_survives_drop_of_the_schema_that_installed_it(new_database: str) -> None:
    first, second = indexes_in(new_database, "first", "second")
    first.ping()
    first.close()
    second.put([document("coffee")])
    with psycopg.connect(new_database) as other:
        other.execute("DROP SCHEMA first CASCADE")
    assert second.vectors_for(["coffee"])
    second.close()


def test_tables_in_public_are_not_mistaken_for_another_schema(new_database: str) -> None:
    first, second = indexes_in(new_database, "public", "second")
    first.put([document("tea")])
    second.put([document("coffee")])
    assert len(first.search(query("tea coffee"))) == 1
    assert len(second.search(query("tea coffee"))) == 1
    first.close()
    second.close()


def test_index_waits_for_another_process_to_install_the_extension(new_database: str) -> None:
    with psycopg.connect(new_database) as installing, ThreadPoolExecutor() as pool:
        installing.execute("CREATE SCHEMA remembrancer_pgvector")
        installing.commit()
        installing.execute("CREATE EXTENSION vector")
        index = PgvectorIndex(PgvectorSettings(dsn=new_database), "m", DIMENSION)
        asked = pool.submit(index.ping)
        waits = "SELECT FROM pg_locks WHERE NOT granted AND locktype = 'transactionid'"
        with psycopg.connect(new_database, autocommit=True) as looking:
            while not looking.execute(waits.encode()).fetchall():
                assert not asked.done()
        installing.commit()
        assert asked.result().startswith("pgvector")
        index.close()


@pytest.mark.parametrize(
    ("options", "path"),
    [
        ({"schema": 'a"b'}, "vector_index.schema"),
        ({"table": "a" * 31}, "vector_index.table"),
        ({"max_connections": 0}, "max_connections"),
        ({"connect_timeout": -1}, "connect_timeout"),
    ],
)
def test_invalid_settings_are_rejected(options: dict[str, Any], path: str) -> None:
    with pytest.raises(InvalidRequest, match=path):
        load_settings({"vector_index": {"provider": "pgvector", **options}}, environment={})


def test_missing_library_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "remembrancer.adapters.vector_index.pgvector", None)
    with pytest.raises(InvalidRequest, match=r"remembrancer\[postgres\]"):
        load_settings({"vector_index": "pgvector"}, environment={})
