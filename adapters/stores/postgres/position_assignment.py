"""Assignment of global positions to committed events, in the order in which they were inserted.

A transaction that took a position and committed late would be skipped by readers that had already
passed it; a lock that prevents this makes all writers wait for each other's commit. So an append
commits without a position and inserts a row into ``arrival``. A session that needs a position takes
the numbering lock and turns every arrival that it sees into a row of ``place``. A later commit gets
a later position: no event is skipped, there are no gaps, and nobody waits for an open transaction.

The lock is held for one statement, which completes on the server even if the client dies. The
numbering sends ``NOTIFY``, not the append, since ``NOTIFY`` serialises commits; and only while a
listener exists, which a shared advisory lock of the listener shows.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from remembrancer.adapters.stores.postgres.advisory_locks import advisory_key
from remembrancer.adapters.stores.postgres.failures import ADAPTER
from remembrancer.adapters.stores.postgres.sessions import Connection, Sessions
from remembrancer.domain.errors import AdapterUnavailable, IntegrityError

T = TypeVar("T")

TRIES = 20
"""How often a read is retried because events without a position were committed meanwhile. Each try
numbers all that are there, so that more than a few are needed only if writers delay the numbering.
"""


class Unnumbered(Exception):
    """A read met an event that has no position yet."""


def listening_key(schema: str) -> int:
    """Key of the advisory lock that listeners share; ``schema`` is quoted."""
    return advisory_key(schema, "listening")


def channel_of(schema: str) -> str:
    """The ``NOTIFY`` channel; ``schema`` is quoted. A hash, since a schema name may be too long."""
    return f"remembrancer_{listening_key(schema) & 0xFFFFFFFFFFFFFFFF:016x}"


def create_numbering(schema: str, _partitions: int) -> list[str]:
    """DDL of the numbering's tables and functions, as of their first version.

    ``horizon``: transaction id below which every transaction had ended when the position was
    assigned, so that later numberings skip those arrivals and their dead rows. It is valid on one
    server only; after a restore on another server it may be ahead of all transactions, and is
    ignored until it has been replaced.
    """
    key = advisory_key(schema, "numbering")
    return [
        f"""
        CREATE TABLE {schema}.arrival (
            xid xid8 NOT NULL DEFAULT pg_current_xact_id(),
            id bigint GENERATED ALWAYS AS IDENTITY,
            ledger_id bigint NOT NULL,
            first_version bigint NOT NULL,
            last_version bigint NOT NULL,
            PRIMARY KEY (xid, id)
        )
        """,
        f"""
        CREATE TABLE {schema}.place (
            last_position bigint PRIMARY KEY,
            first_position bigint NOT NULL,
            ledger_id bigint NOT NULL,
            first_version bigint NOT NULL,
            last_version bigint NOT NULL,
            horizon xid8 NOT NULL,
            UNIQUE (ledger_id, last_version)
        )
        """,
        f"""
        CREATE FUNCTION {schema}.number_since(since xid8) RETURNS void LANGUAGE plpgsql AS $$
        DECLARE
            -- Read before the arrivals: may be too low, never too high.
            passed xid8 := pg_snapshot_xmin(pg_current_snapshot());
            base bigint := coalesce((SELECT max(last_position) FROM {schema}.place), 0);
        BEGIN
            WITH arrived AS (
                DELETE FROM {schema}.arrival WHERE xid >= since
                RETURNING id, ledger_id, first_version, last_version
            ), counted AS (
                SELECT *, base + sum(last_version - first_version + 1) OVER (ORDER BY id) AS last
                FROM arrived
            )
            INSERT INTO {schema}.place
            SELECT last, last - last_version + first_version, ledger_id, first_version,
                last_version, passed
            FROM counted;
            -- Numberings are serialised, so only a listener can hold this lock.
            IF FOUND AND NOT pg_try_advisory_xact_lock({listening_key(schema)}) THEN
                PERFORM pg_notify('{channel_of(schema)}', '');
            END IF;
        END $$
        """,
        f"""
        CREATE FUNCTION {schema}.horizon() RETURNS xid8 LANGUAGE sql STABLE AS $$
            SELECT coalesce(
                (SELECT CASE WHEN horizon < pg_snapshot_xmax(pg_current_snapshot()) THEN horizon END
                 FROM {schema}.place ORDER BY last_position DESC LIMIT 1),
                '0')
        $$
        """,
        f"""
        CREATE FUNCTION {schema}.waiting() RETURNS boolean LANGUAGE sql STABLE AS $$
            SELECT EXISTS (SELECT FROM {schema}.arrival WHERE xid >= (SELECT {schema}.horizon()))
        $$
        """,
        f"""
        CREATE FUNCTION {schema}.number_all() RETURNS void LANGUAGE plpgsql AS $$
        BEGIN
            IF {schema}.waiting() THEN
                PERFORM pg_advisory_xact_lock({key});
                PERFORM {schema}.number_since({schema}.horizon());
            END IF;
        END $$
        """,
        f"""
        CREATE FUNCTION {schema}.known_position(ledger bigint, version bigint) RETURNS bigint
        LANGUAGE sql STABLE AS $$
            SELECT first_position + $2 - first_version FROM {schema}.place
            WHERE ledger_id = $1 AND last_version >= $2 AND first_version <= $2
            ORDER BY last_version LIMIT 1
        $$
        """,
        f"""
        CREATE FUNCTION {schema}.position_of(ledger bigint, version bigint) RETURNS bigint
        LANGUAGE plpgsql AS $$
        DECLARE
            found bigint := {schema}.known_position(ledger, version);
        BEGIN
            IF found IS NOT NULL THEN
                RETURN found;
            END IF;
            PERFORM pg_advisory_xact_lock({key});
            -- The previous holder of the lock may have numbered it.
            found := {schema}.known_position(ledger, version);
            IF found IS NOT NULL THEN
                RETURN found;
            END IF;
            PERFORM {schema}.number_since({schema}.horizon());
            found := {schema}.known_position(ledger, version);
            IF found IS NOT NULL THEN
                RETURN found;
            END IF;
            -- The horizon is from another server.
            PERFORM {schema}.number_since('0');
            RETURN {schema}.known_position(ledger, version);
        END $$
        """,
    ]


def numbering_of(sessions: Sessions, ledger_id: int, version: int) -> str:
    """SQL that returns the position of a committed event, and assigns one if it has none."""
    return f"SELECT {sessions.schema}.position_of({ledger_id}, {version})"


async def number_all(sessions: Sessions) -> None:
    """Assign positions to all committed events, such as those of a writer that died."""
    await sessions.call(f"SELECT {sessions.schema}.number_all()")


async def numbered(sessions: Sessions, read: Callable[[Connection], Awaitable[T]]) -> T:
    """Call ``read`` in a reading transaction; on ``Unnumbered`` assign positions and retry.

    Raises:
        AdapterUnavailable: every try met an event without a position, for new ones were appended.
        IntegrityError: the same, but nothing was appended meanwhile.
    """
    before: object = None
    for _ in range(TRIES):
        try:
            async with sessions.reader() as connection:
                return await read(connection)
        except Unnumbered:
            before = before or await _appended(sessions)
            await number_all(sessions)
    if await _appended(sessions) == before:
        raise IntegrityError(
            "tables event and place: events have no position, and none can be assigned; restore a "
            "backup"
        )
    raise AdapterUnavailable(
        ADAPTER, "events are appended faster than positions are assigned; try again"
    )


async def _appended(sessions: Sessions) -> object:
    """A number that grows with every committed append."""
    async with sessions.glance() as connection:
        cursor = await connection.execute("SELECT sum(version) FROM ledger")
        return await cursor.fetchone()


async def waiting(connection: Connection) -> bool:
    """Whether a committed event has no position yet."""
    cursor = await connection.execute("SELECT waiting()")
    row = await cursor.fetchone()
    return row is not None and bool(row[0])
