"""The state of a PostgreSQL database, read without changing it, for ``remembrancer doctor``."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg

from remembrancer.adapters.stores.postgres.connection_string import parsed_dsn
from remembrancer.adapters.stores.postgres.migrations import check_server, version_of
from remembrancer.adapters.stores.postgres.read_timeout import SyncConnection
from remembrancer.adapters.stores.postgres.schema_versions import SCHEMA_VERSIONS
from remembrancer.adapters.stores.postgres.settings import PostgresSettings
from remembrancer.adapters.stores.postgres.sync_sessions import SyncSessions
from remembrancer.adapters.stores.postgres.transaction_scripts import TransactionScripts
from remembrancer.application.inline import run_inline
from remembrancer.domain.ports.store import Survey

PUBLIC = ("host", "port", "dbname", "user", "sslmode")
"""The parts of a connection string that are no secret."""


def survey(settings: PostgresSettings) -> Survey:
    """The database's state, read without changing it.

    Raises:
        InvalidRequest: a setting is wrong or refused, the server is too old, or the schema is
            newer or another program's.
        AdapterUnavailable: the server does not answer.
    """
    settings.check()
    named = parsed_dsn(settings.dsn, "audit_log.dsn")

    @contextmanager
    def connected() -> Iterator[psycopg.Connection[Any]]:
        limit = math.ceil(settings.connect_timeout)
        with SyncConnection.connect(
            settings.dsn, autocommit=True, connect_timeout=limit
        ) as connection:
            yield connection

    frame = TransactionScripts.of(
        settings.schema, settings.statement_timeout, settings.connect_timeout
    )
    details = run_inline(_details(SyncSessions(connected, frame), settings))
    version, known = details["version"], len(SCHEMA_VERSIONS)
    schema = f"{settings.schema}, {version or 0} of {known}"
    if version != known:
        schema += "; the next opening " + ("makes it" if version is None else "migrates it")
    return Survey(
        engine=f"PostgreSQL {details['server']}",
        details={
            **{name: named[name] for name in PUBLIC if name in named},
            "pgvector": details["pgvector"]
            or "not there: vectors are compared outside of the server",
            "schema": schema,
            "bytes": details["bytes"],
        },
        readable=settings if version == known else None,
    )


async def _details(sessions: SyncSessions, settings: PostgresSettings) -> dict[str, Any]:
    async with sessions.reader() as connection:
        await check_server(connection)
        version = await version_of(connection, settings, len(SCHEMA_VERSIONS))
        cursor = await connection.execute(
            "SELECT current_setting('server_version'), "
            "(SELECT extversion FROM pg_extension WHERE extname = 'vector'), "
            "coalesce((SELECT sum(pg_total_relation_size(pg_class.oid)) FROM pg_class "
            "JOIN pg_namespace AS space ON space.oid = relnamespace "
            "WHERE nspname = %s AND relkind = 'r'), 0)::bigint",
            (settings.schema,),
        )
        server, pgvector, size = await cursor.fetchone() or ("", None, 0)
    return {"version": version, "server": server, "pgvector": pgvector, "bytes": size}
