"""Schemas in PostgreSQL that tests use in turn.

Creating a schema keeps the server busy for a tenth of a second, and emptying one for a tenth of
that. Tests that only use the tables may share them; tests that change the tables, or that watch
them being created, need a schema of their own.
"""

from __future__ import annotations

import uuid
from collections.abc import Hashable, Iterator
from contextlib import contextmanager

import psycopg
from psycopg.sql import SQL, Identifier

from remembrancer.adapters.stores.postgres.settings import PostgresSettings


class SharedSchemas:
    """Schemas by key. All tests with one key must create the same tables.

    Args:
        dsn: the server.
    """

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._made: dict[Hashable, PostgresSettings] = {}

    @contextmanager
    def empty(self, *key: Hashable) -> Iterator[PostgresSettings]:
        """Settings of a schema whose tables, if it has any, have no rows but their version."""
        settings = self._made.get(key)
        if settings is None:
            settings = self._made[key] = fresh(self._dsn)
        else:
            _clear(settings)
        yield settings

    def drop(self) -> None:
        """Delete all schemas."""
        for settings in self._made.values():
            drop(settings)


def fresh(dsn: str) -> PostgresSettings:
    """Settings of a schema that does not exist."""
    return PostgresSettings(dsn=dsn, schema=f"test_{uuid.uuid4().hex}", partitions=2)


def drop(settings: PostgresSettings) -> None:
    """Delete a schema, if it exists."""
    with psycopg.connect(settings.dsn, autocommit=True) as connection:
        statement = SQL("DROP SCHEMA IF EXISTS {} CASCADE")
        connection.execute(statement.format(Identifier(settings.schema)))


def _clear(settings: PostgresSettings) -> None:
    with psycopg.connect(settings.dsn) as connection:
        tables = connection.execute(
            "SELECT tablename FROM pg_tables WHERE schemaname = %s AND tablename <> 'migration'",
            (settings.schema,),
        )
        for (table,) in tables.fetchall():
            connection.execute(SQL("DELETE FROM {}").format(Identifier(settings.schema, table)))
        sequences = connection.execute(
            "SELECT sequencename FROM pg_sequences WHERE schemaname = %s", (settings.schema,)
        )
        for (sequence,) in sequences.fetchall():
            statement = SQL("ALTER SEQUENCE {} RESTART")
            connection.execute(statement.format(Identifier(settings.schema, sequence)))
