"""Bringing the schema up to date, from whatever release it is of, with others doing so as well."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

from remembrancer.adapters.stores.postgres.advisory_locks import advisory_key
from remembrancer.adapters.stores.postgres.grants import check_grants
from remembrancer.adapters.stores.postgres.sessions import Connection, Sessions
from remembrancer.adapters.stores.postgres.settings import PostgresSettings
from remembrancer.domain.errors import InvalidRequest

OLDEST_SERVER = 140000
"""``server_version_num``. Older ones are out of their makers' care, or will be within months."""

Migration: TypeAlias = Callable[[str, int], Sequence[str]]
"""The statements of one step, for a (quoted) schema and a number of partitions."""


async def migrate(
    sessions: Sessions, settings: PostgresSettings, migrations: Sequence[Migration]
) -> None:
    """Bring the schema up to date.

    Args:
        sessions: where it is.
        settings: its name, as it was written, and the partitions that it is made with.
        migrations: steps that bring an empty schema to the current state, in order; only ever
            appended to. The schema remembers how many it has had.

    Raises:
        InvalidRequest: the server is too old, or the schema is newer or another program's.
    """
    async with sessions.reader() as connection:
        await check_server(connection)
        if await version_of(connection, settings, len(migrations)) == len(migrations):
            return
    async with sessions.transaction(patient=True) as connection:
        # Several processes may start at once: the version is read again when it is one's turn.
        await connection.execute(
            "SELECT pg_advisory_xact_lock(%s)", (advisory_key(sessions.schema, "migrations"),)
        )
        start = await version_of(connection, settings, len(migrations))
        if start == len(migrations):
            return
        exists = await check_grants(connection, settings.schema, "audit_log.schema", creates=True)
        if start is None:
            if not exists:
                await connection.execute(f"CREATE SCHEMA {sessions.schema}")
            await connection.execute(
                f"CREATE TABLE {sessions.schema}.migration "
                "(version integer PRIMARY KEY, applied_at timestamptz NOT NULL DEFAULT now())"
            )
        for version, migration in enumerate(migrations[start or 0 :], (start or 0) + 1):
            for statement in migration(sessions.schema, settings.partitions):
                await connection.execute(statement)
            await connection.execute("INSERT INTO migration (version) VALUES (%s)", (version,))


async def check_server(connection: Connection) -> None:
    """Refuse a server that is too old, or a database that holds no Unicode.

    Raises:
        InvalidRequest: what is wrong with it.
    """
    cursor = await connection.execute(
        "SELECT current_setting('server_version_num')::int, current_setting('server_version'), "
        "current_setting('server_encoding')"
    )
    number, name, encoding = await cursor.fetchone() or (0, "", "")
    if number < OLDEST_SERVER:
        raise InvalidRequest(
            "audit_log.dsn", f"the server is PostgreSQL {name}; remembrancer needs 14 or newer"
        )
    if encoding != "UTF8":
        raise InvalidRequest(
            "audit_log.dsn", f"the database is encoded in {encoding}; name one that is in UTF8"
        )


async def version_of(connection: Connection, settings: PostgresSettings, known: int) -> int | None:
    """The version of the schema, ``None`` if there is nothing in it.

    Raises:
        InvalidRequest: it is another program's, or newer than ``known``, or the role may not use
            it.
    """
    await check_grants(connection, settings.schema, "audit_log.schema")
    cursor = await connection.execute(
        "SELECT relname = 'migration' FROM pg_class JOIN pg_namespace AS space "
        "ON space.oid = relnamespace WHERE nspname = %s AND relkind IN ('r', 'p')",
        (settings.schema,),
    )
    tables = [ours for (ours,) in await cursor.fetchall()]
    if not tables:
        return None
    if not any(tables):
        raise InvalidRequest(
            "audit_log.schema",
            f"{settings.schema!r} holds the tables of another program; name another schema",
        )
    cursor = await connection.execute("SELECT max(version) FROM migration")
    (version,) = await cursor.fetchone() or (None,)
    if (version or 0) > known:
        raise InvalidRequest(
            "audit_log.schema",
            f"{settings.schema!r} has schema version {version}, this release knows up to {known}; "
            "upgrade remembrancer",
        )
    return int(version or 0)
