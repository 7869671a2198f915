"""What other users of a PostgreSQL server do, and what its privileges and timeouts do."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import psycopg_pool
import pytest
from attrs import evolve
from psycopg import conninfo, sql

from remembrancer import AdapterUnavailable, InvalidRequest, Memory, load_settings
from remembrancer.adapters.stores.postgres.database import Database
from remembrancer.adapters.stores.postgres.failures import TableMissing
from remembrancer.adapters.stores.postgres.schema_versions import SCHEMA_VERSIONS
from remembrancer.adapters.stores.postgres.sessions import Sessions
from remembrancer.adapters.stores.postgres.settings import PostgresSettings
from remembrancer.adapters.vector_index.pgvector import PgvectorIndex, PgvectorSettings
from remembrancer.wiring.settings import Settings

PREPARED_AFTER = 5
"""Executions after which psycopg prepares a statement."""


def memory_settings(postgres: PostgresSettings, **others: float) -> Settings:
    log = {"dsn": postgres.dsn, "schema": postgres.schema, "partitions": 2, **others}
    return load_settings({"audit_log": {"provider": "postgres", **log}}, environment={})


@pytest.mark.parametrize("warm", range(PREPARED_AFTER + 2))
def test_connection_works_after_a_statement_timeout(postgres: PostgresSettings, warm: int) -> None:
    # One idle connection, so that all statements run on it.
    one = {"statement_timeout": 0.1, "min_connections": 1, "max_connections": 2}
    with Memory(settings=memory_settings(postgres, **one)) as memory:
        memory.add("I live in Berlin", user_id="ann", infer=False)
        for _ in range(warm):
            memory.get_all(user_id="ann")
        with psycopg.connect(postgres.dsn) as blocker:
            for table in ("ledger", "fact"):
                name = sql.Identifier(postgres.schema, table)
                blocker.execute(sql.SQL("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE").format(name))
            for _ in range(4):
                with pytest.raises(AdapterUnavailable, match="statement_timeout"):
                    memory.get_all(user_id="ann")

        found = [len(memory.get_all(user_id="ann").facts) for _ in range(2 * PREPARED_AFTER)]

    assert found == [1] * (2 * PREPARED_AFTER)


def test_temporary_tables_of_the_host_receive_no_writes(postgres: PostgresSettings) -> None:
    settings = memory_settings(postgres)
    pool = psycopg_pool.ConnectionPool(postgres.dsn, min_size=1, max_size=1, open=True)
    with pool, Memory(settings=settings, overrides={"postgres_pool": pool}) as memory:
        memory.add("I live in Berlin", user_id="ann", infer=False)
        with pool.connection() as connection:
            found = connection.execute(
                "SELECT relname FROM pg_class WHERE relkind = 'r' "
                "AND relnamespace = to_regnamespace(%s)",
                (postgres.schema,),
            )
            for (name,) in found.fetchall():
                connection.execute(
                    sql.SQL("CREATE TEMP TABLE {} AS SELECT * FROM {} WHERE false").format(
                        sql.Identifier(name), sql.Identifier(postgres.schema, name)
                    )
                )
        memory.add("I like tea", user_id="ann", infer=False)
        seen = {fact.text for fact in memory.get_all(user_id="ann")}

    assert seen == {"I live in Berlin", "I like tea"}
    with Memory(settings=settings) as fresh:
        assert {fact.text for fact in fresh.get_all(user_id="ann")} == seen
        assert fresh.verify().faults == ()


def test_tables_in_public_are_out_of_reach(postgres: PostgresSettings) -> None:
    name = f"neighbour_{uuid.uuid4().hex}"
    with psycopg.connect(postgres.dsn, autocommit=True) as neighbour:
        neighbour.execute(f"CREATE TABLE public.{name} (id int)".encode())
        database = Database(postgres, SCHEMA_VERSIONS)
        try:
            with pytest.raises(TableMissing, match=name):
                asyncio.run(_inserted(database.sessions, name))
        finally:
            database.close()
            neighbour.execute(f"DROP TABLE public.{name}".encode())


async def _inserted(sessions: Sessions, table: str) -> None:
    async with sessions.transaction() as connection:
        await connection.execute(f"INSERT INTO {table} VALUES (1)")


@contextmanager
def role_without_grants(postgres: PostgresSettings) -> Iterator[tuple[str, str]]:
    """Name and connection string of a new role."""
    role, password = f"role_{uuid.uuid4().hex}", uuid.uuid4().hex
    with psycopg.connect(postgres.dsn, autocommit=True) as owner:
        owner.execute(f"CREATE ROLE {role} LOGIN PASSWORD '{password}'".encode())
        try:
            yield role, conninfo.make_conninfo(postgres.dsn, user=role, password=password)
        finally:
            owner.execute(f"DROP OWNED BY {role}".encode())
            owner.execute(f"DROP ROLE {role}".encode())


def granted(postgres: PostgresSettings, statement: str) -> None:
    with psycopg.connect(postgres.dsn, autocommit=True) as owner:
        owner.execute(statement.encode())


def test_role_without_usage_is_told_the_grant(postgres: PostgresSettings) -> None:
    Database(postgres, SCHEMA_VERSIONS).close()

    with role_without_grants(postgres) as (role, dsn):
        missing = f"GRANT USAGE ON SCHEMA {postgres.schema} TO {role}"
        with pytest.raises(InvalidRequest, match=rf"audit_log\.schema: .*{missing}"):
            Database(evolve(postgres, dsn=dsn), SCHEMA_VERSIONS)
        elsewhere = PgvectorSettings(dsn=dsn, schema=postgres.schema)
        index = PgvectorIndex(elsewhere, "model", 8)
        try:
            with pytest.raises(InvalidRequest, match=rf"vector_index\.schema: .*{missing}"):
                index.count("ledger")  # type: ignore[arg-type]
        finally:
            index.close()


def test_role_without_create_is_told_the_grant(postgres: PostgresSettings) -> None:
    with role_without_grants(postgres) as (role, dsn):
        theirs = evolve(postgres, dsn=dsn)
        with pytest.raises(InvalidRequest, match=rf"GRANT CREATE ON DATABASE \S+ TO {role}"):
            Database(theirs, SCHEMA_VERSIONS)
        granted(postgres, f"CREATE SCHEMA {postgres.schema}")
        granted(postgres, f"GRANT USAGE ON SCHEMA {postgres.schema} TO {role}")
        missing = f"GRANT CREATE ON SCHEMA {postgres.schema} TO {role}"
        with pytest.raises(InvalidRequest, match=missing):
            Database(theirs, SCHEMA_VERSIONS)
        granted(postgres, missing)
        Database(theirs, SCHEMA_VERSIONS).close()


@pytest.mark.parametrize("name", ["a$$b", "$", "a\\b"])
def test_schema_name_that_would_end_a_quote_is_refused(
    postgres: PostgresSettings, name: str
) -> None:
    with pytest.raises(InvalidRequest, match=r"audit_log\.schema: a name must not contain"):
        Database(evolve(postgres, schema=name), SCHEMA_VERSIONS)


def test_memory_works_in_a_schema_whose_name_looks_like_a_parameter(
    postgres: PostgresSettings,
) -> None:
    odd = evolve(postgres, schema=f"{postgres.schema[:40]}%s%(a)s%")
    try:
        with Memory(settings=memory_settings(odd)) as memory:
            memory.add("My sister is Eve. Eve works at Acme.", user_id="ann")
            memory.add("I live in Paris", user_id="ann", infer=False, idempotency_key="k")
            memory.delete(memory.search("Paris", user_id="ann")[0].fact.fact_id)
            assert memory.entities(user_id="ann")
            assert memory.verify().faults == ()
            assert memory.stats(user_id="ann").messages == 2
    finally:
        with psycopg.connect(postgres.dsn, autocommit=True) as owner:
            owner.execute(
                sql.SQL("DROP SCHEMA IF EXISTS {} CASCADE").format(sql.Identifier(odd.schema))
            )
