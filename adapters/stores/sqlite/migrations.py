"""Bringing a SQLite file to the schema of this release, while other processes may do the same."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager

from remembrancer.domain.errors import InvalidRequest

APPLICATION_ID = 0x524D4252
"""``RMBR`` in ASCII, in the file's header: what tells our files from other programs'."""

Migration = Callable[[sqlite3.Connection], None]
"""One step, inside the open transaction."""


def schema_version(
    connection: sqlite3.Connection, file: str, known: int, *, where: str = "path"
) -> int:
    """How many steps a file has had; 0 for an empty one.

    Args:
        connection: an open connection to the file.
        file: its name, for errors.
        known: the steps that this release has.
        where: the argument or setting that names the file, for errors.

    Raises:
        InvalidRequest: another program made the file, or a newer release wrote it.
    """
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if application != APPLICATION_ID and (tables or application):
        raise InvalidRequest(where, f"{file} is the database of another program; name another file")
    version = int(connection.execute("PRAGMA user_version").fetchone()[0])
    if version > known:
        raise InvalidRequest(
            where,
            f"{file} has schema version {version}, this release knows up to {known}; "
            "upgrade remembrancer",
        )
    return version


def migrate(
    transaction: Callable[[], AbstractContextManager[sqlite3.Connection]],
    file: str,
    migrations: Sequence[Migration],
) -> None:
    """Run the steps that a file has not had yet, in one transaction.

    Args:
        transaction: opens a write transaction on the file.
        file: its name, for errors.
        migrations: all steps, in order.
    """
    with transaction() as connection:
        # Several processes may start on a new file at once: the version is read again inside.
        start = schema_version(connection, file, len(migrations))
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        for migration in migrations[start:]:
            migration(connection)
        connection.execute(f"PRAGMA user_version = {len(migrations)}")
