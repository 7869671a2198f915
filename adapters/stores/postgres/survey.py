"""Looking at a PostgreSQL database without changing it, as ``remembrancer doctor`` does."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg import conninfo

from remembrancer.adapters.stores.postgres.migrations import check_server, version_of
from remembrancer.adapters.stores.postgres.read_timeout import SyncConnection
from remembrancer.adapters.stores.postgres.schema_versions import SCHEMA_VERSIONS
from remembrancer.adapters.stores.postgres.settings import PostgresSettings
from remembrancer.adapters.stores.postgres.sync_sessions import SyncSessions
from remembrancer.adapters.stores.postgres.transaction_scripts import TransactionScripts
from remembrancer.domain.errors import InvalidRequest
from remembrancer.runtime.sync_bridge import run_inline

TOLD = ("host", "port", "dbname", "user", "sslmode")
"""What of a connection string is no secret."""


def survey(settings: PostgresSettings) -> tuple[Mapping[str, Any], PostgresSettings | None]:
    """What there is to say about the database, and the settings to read it with; ``None`` if there
    is nothing to read in it before somebody has opened it.

    Raises:
        InvalidRequest: a setting is wrong or refused, the server is too old, or the schema is
            newer or another program's.
        AdapterUnavailable: the server does not answer.
    """
    settings.check()
    try:
        named = conninfo.conninfo_to_dict(settings.dsn)
    except psycopg.ProgrammingError as error:
        raise InvalidRequest(
            "audit_log.dsn", f"is not a libpq connection string or URI: {error}"
        ) from error

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
    where = {name: named[name] for name in TOLD if name in named}
    current = details["version"] == len(SCHEMA_VERSIONS)
    return {**where, **_told(details, settings)}, settings if current else None


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


def _told(details: Mapping[str, Any], settings: PostgresSettings) -> dict[str, Any]:
    version, known = details["version"], len(SCHEMA_VERSIONS)
    schema = f"{settings.schema}, {version or 0} of {known}"
    if version != known:
        schema += "; the next opening " + ("makes it" if version is None else "migrates it")
    return {
        "engine": f"PostgreSQL {details['server']}",
        "pgvector": details["pgvector"] or "not there: vectors are compared outside of the server",
        "schema": schema,
        "bytes": details["bytes"],
    }
