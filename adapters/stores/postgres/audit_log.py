"""``AuditLog`` on PostgreSQL: an append and its read models commit in one transaction.

Writers of one ledger wait for its row lock; writers of different ledgers share no lock. Positions
are assigned after the commit; see ``position_assignment``.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from operator import attrgetter
from typing import Any, Protocol
from uuid import UUID

from attrs import evolve

from remembrancer.adapters.stores.postgres.failures import ADAPTER, Collision
from remembrancer.adapters.stores.postgres.position_assignment import (
    Unnumbered,
    create_numbering,
    number_all,
    numbered,
    numbering_of,
    waiting,
)
from remembrancer.adapters.stores.postgres.run_script import run_script
from remembrancer.adapters.stores.postgres.sessions import Connection, Row, Sessions
from remembrancer.adapters.stores.shared import chaining
from remembrancer.adapters.stores.shared.codec import EventCodec
from remembrancer.adapters.stores.shared.event_rows import (
    EVENT_COLUMNS,
    decoded,
    find_head,
    head_of,
    list_ledgers,
)
from remembrancer.domain.epoch_micros import to_microseconds
from remembrancer.domain.errors import AdapterUnavailable, Conflict, InvalidRequest
from remembrancer.domain.ports.audit_log import Appended
from remembrancer.domain.ports.codec import Codec
from remembrancer.domain.recorded import (
    GENESIS,
    Append,
    CorrelationId,
    Head,
    Position,
    Recorded,
    key_digest,
    requests_hash,
)
from remembrancer.domain.scope import LedgerId

TRIES = 5
"""Attempts of an append that collides with other transactions (a deadlock, the same event id at the
same time) before the error is raised.
"""

_FROM_EVENT = "FROM event JOIN ledger ON ledger.id = event.ledger_id"
_POSITION = "known_position(event.ledger_id, event.version)"

# By position: the places that overlap the page, then the events of each place.
_READ = f"""
SELECT place.first_position + event.version - place.first_version AS position, {EVENT_COLUMNS}
FROM place
JOIN event ON event.ledger_id = place.ledger_id
    AND event.version BETWEEN place.first_version AND place.last_version
JOIN ledger ON ledger.id = place.ledger_id
WHERE place.last_position > %s AND place.first_position <= %s
    AND place.first_position + event.version - place.first_version BETWEEN %s AND %s
ORDER BY place.last_position, event.version
"""

_WRITE = """
WITH moved AS (
    UPDATE ledger SET version = %s, hash = %s, recorded_at = %s, requests = %s WHERE id = %s
), arrived AS (
    INSERT INTO arrival (ledger_id, first_version, last_version) VALUES (%s, %s, %s)
), keyed AS (
    INSERT INTO event_key (event_id, ledger_id, version)
    SELECT event_id, %s, version FROM unnest(%s::uuid[], %s::bigint[]) AS new (event_id, version)
), asked AS (
    INSERT INTO request SELECT %s, key, %s, %s FROM unnest(%s::bytea[]) AS new (key)
)
INSERT INTO event (ledger_id, version, event_id, recorded_at, correlation_id, causation_id, actor,
                   type, schema_version, payload, salt, payload_digest, previous_hash, hash)
SELECT %s, version, event_id, %s, %s, causation_id, %s, type, schema_version, payload, salt,
    payload_digest, previous_hash, hash
FROM unnest(%s::bigint[], %s::uuid[], %s::uuid[], %s::text[], %s::int[], %s::bytea[], %s::bytea[],
            %s::bytea[], %s::bytea[], %s::bytea[])
    AS new (version, event_id, causation_id, type, schema_version, payload, salt, payload_digest,
            previous_hash, hash)
"""


def create_log(schema: str, partitions: int) -> list[str]:
    """DDL of the log's tables, as of schema version 1.

    Events are partitioned by a hash of their ledger. A unique index on them must include the
    ledger, so event ids, which are unique over all ledgers, have a separate table.
    """
    return [
        # Free space on the pages for updated heads (HOT), which then need no new index entries.
        f"""
        CREATE TABLE {schema}.ledger (
            id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
            name text COLLATE "C" NOT NULL UNIQUE,
            version bigint NOT NULL,
            hash bytea NOT NULL,
            recorded_at bigint,
            handle uuid NOT NULL,
            requests bytea NOT NULL
        ) WITH (fillfactor = 70)
        """,
        f"""
        CREATE TABLE {schema}.event (
            ledger_id bigint NOT NULL,
            version bigint NOT NULL,
            event_id uuid NOT NULL,
            recorded_at bigint NOT NULL,
            correlation_id uuid NOT NULL,
            causation_id uuid,
            actor text NOT NULL,
            type text NOT NULL,
            schema_version integer NOT NULL,
            payload bytea,
            salt bytea,
            payload_digest bytea NOT NULL,
            previous_hash bytea NOT NULL,
            hash bytea NOT NULL,
            PRIMARY KEY (ledger_id, version)
        ) PARTITION BY HASH (ledger_id)
        """,
        f"CREATE INDEX ON {schema}.event (correlation_id)",
        f"""
        CREATE TABLE {schema}.event_key (
            event_id uuid PRIMARY KEY,
            ledger_id bigint NOT NULL,
            version bigint NOT NULL
        ) PARTITION BY HASH (event_id)
        """,
        *(
            f"CREATE TABLE {schema}.{table}_{number} PARTITION OF {schema}.{table} "
            f"FOR VALUES WITH (MODULUS {partitions}, REMAINDER {number})"
            for table in ("event", "event_key")
            for number in range(partitions)
        ),
        f"""
        CREATE TABLE {schema}.request (
            ledger_id bigint NOT NULL,
            key bytea NOT NULL,
            first_version bigint NOT NULL,
            last_version bigint NOT NULL,
            PRIMARY KEY (ledger_id, key)
        )
        """,
        # Ledgers whose read models lag, because they were written without read models.
        f"""
        CREATE TABLE {schema}.lagging (
            ledger_id bigint PRIMARY KEY,
            version bigint NOT NULL
        )
        """,
        # As ``domain.recorded.key_digest``.
        f"""
        CREATE FUNCTION {schema}.key_digest(handle uuid, key text) RETURNS bytea
        LANGUAGE sql IMMUTABLE AS $$
            SELECT substring(sha256(uuid_send(handle) || convert_to(key, 'UTF8')) FROM 1 FOR 16)
        $$
        """,
        # Separate statements: each sees what was committed while the previous one waited.
        f"""
        CREATE FUNCTION {schema}.begin_append(
            called text, genesis bytea, new_handle uuid, request_key text,
            OUT id bigint, OUT version bigint, OUT hash bytea, OUT recorded_at bigint,
            OUT handle uuid, OUT requests bytea,
            OUT lags boolean, OUT first_version bigint, OUT last_version bigint
        ) LANGUAGE plpgsql AS $$
        BEGIN
            LOOP
                SELECT ledger.id, ledger.version, ledger.hash, ledger.recorded_at, ledger.handle,
                    ledger.requests
                INTO id, version, hash, recorded_at, handle, requests
                FROM {schema}.ledger WHERE name = called FOR UPDATE;
                EXIT WHEN FOUND;
                INSERT INTO {schema}.ledger (name, version, hash, handle, requests)
                VALUES (called, 0, genesis, new_handle, genesis)
                ON CONFLICT (name) DO NOTHING;
            END LOOP;
            lags := EXISTS (SELECT FROM {schema}.lagging WHERE ledger_id = begin_append.id);
            IF request_key IS NOT NULL THEN
                SELECT request.first_version, request.last_version
                INTO first_version, last_version
                FROM {schema}.request
                WHERE request.ledger_id = begin_append.id
                    AND key = {schema}.key_digest(begin_append.handle, request_key);
            END IF;
        END $$
        """,
        *create_numbering(schema, partitions),
    ]


class Listener(Protocol):
    """Read models that commit together with the append."""

    async def prepare(self, append: Append) -> Any:
        """Do what can be done before the transaction; the result is passed to ``apply``."""
        ...

    async def begin(self, connection: Connection) -> None:
        """Join a transaction, before any other statement in it."""
        ...

    async def claim(self) -> bool:
        """Take over read models that other settings made, if the log is empty."""
        ...

    async def apply(
        self, connection: Connection, ledger_id: int, chain: Sequence[Recorded], prepared: Any
    ) -> None:
        """Apply events of one ledger, in order, in the open transaction. They have no positions
        yet: ``position`` holds the version.
        """
        ...


class PostgresAuditLog:
    """``AuditLog`` on sessions whose schema has the tables of ``create_log``.

    Args:
        sessions: database of the log.
        codec: encodes and decodes events.
        listener: read models in the same schema, ``None`` for a log without any.
    """

    def __init__(
        self,
        sessions: Sessions,
        codec: Codec | None = None,
        listener: Listener | None = None,
    ) -> None:
        self._sessions = sessions
        self._codec = codec or EventCodec()
        self._listener = listener
        self.never_suspends = sessions.never_suspends

    async def append(self, append: Append) -> Appended:
        """See ``AuditLog.append``."""
        chaining.check(append)
        prepared = None if self._listener is None else await self._listener.prepare(append)
        for left in range(TRIES - 1, -1, -1):
            try:
                ledger_id, versions, chain = await self._written(append, prepared)
            except (Collision, Conflict) as lost:
                # A retried append collides with its own events, so they are looked up only now.
                if earlier := await self._recorded_before(append):
                    return Appended(recorded=tuple(earlier), replayed=True)
                if isinstance(lost, Conflict) or not left:
                    raise
            except InvalidRequest:
                if self._listener is None or not left or not await self._listener.claim():
                    raise
            else:
                break
        if not chain:
            # Read with positions: an event that has one is flushed.
            return Appended(recorded=tuple(await self._same(ledger_id, versions)), replayed=True)
        return Appended(recorded=tuple(chain), replayed=False)

    async def _written(self, append: Append, prepared: Any) -> tuple[int, range, list[Recorded]]:
        # The numbering's commit is flushed, and with it all earlier commits.
        async with self._sessions.transaction(flushed=False) as connection:
            ledger_id, versions, chain = await self._appended(connection, append, prepared)
            if not chain:
                return ledger_id, versions, chain
            numbered = connection.afterwards(numbering_of(self._sessions, ledger_id, versions[0]))
        ((position,),) = numbered
        placed = [evolve(item, position=Position(position + at)) for at, item in enumerate(chain)]
        return ledger_id, versions, placed

    async def _appended(
        self, connection: Connection, append: Append, prepared: Any
    ) -> tuple[int, range, list[Recorded]]:
        """Do an append's work in its transaction.

        Returns:
            Ledger id, versions of the events, and the events with the version as ``position``; no
            events if they were recorded before under the append's idempotency key.
        """
        if self._listener is not None:
            await self._listener.begin(connection)
        cursor = await connection.execute(
            "SELECT * FROM begin_append(%s, %s, %s, %s)",
            (append.ledger, GENESIS, UUID(hex=chaining.new_handle()), append.idempotency_key),
        )
        (
            (ledger_id, version, hashed, recorded_at, handle, requests, lags, first, last),
        ) = await cursor.fetchall()
        if first is not None:
            return ledger_id, range(first, last + 1), []
        head = head_of(version, hashed, recorded_at, handle.hex)
        chaining.check_version(append, head)
        chain = chaining.chained(append, head, Position(version), self._codec)
        await connection.execute(_WRITE, _values(ledger_id, append, chain, requests))
        if self._listener is not None:
            if lags:
                raise AdapterUnavailable(
                    ADAPTER,
                    f"the read models of {append.ledger} lag behind the log; "
                    "open the database again to let them catch up",
                )
            await self._listener.apply(connection, ledger_id, chain, prepared)
        elif not lags:
            await connection.execute(
                "INSERT INTO lagging VALUES (%s, %s) ON CONFLICT DO NOTHING", (ledger_id, version)
            )
        return ledger_id, range(version + 1, chain[-1].version + 1), chain

    async def _recorded_before(self, append: Append) -> list[Recorded]:
        """Events that were recorded under the append's event ids."""
        found = await self._numbered(
            "WHERE (event.ledger_id, event.version) IN "
            "(SELECT ledger_id, version FROM event_key WHERE event_id = ANY(%s)) ORDER BY 1",
            ([UUID(hex=new.event_id) for new in append.events],),
        )
        if found:
            chaining.check_same(append, found, self._codec)
        return found

    async def _versions(
        self, connection: Connection, ledger_id: int, versions: Sequence[int]
    ) -> list[Recorded]:
        """Events of one ledger, with the version as ``position``."""
        cursor = await connection.execute(
            f"SELECT event.version, {EVENT_COLUMNS} {_FROM_EVENT} "
            "WHERE event.ledger_id = %s AND event.version = ANY(%s) ORDER BY event.version",
            (ledger_id, list(versions)),
        )
        return self._decoded(await cursor.fetchall())

    async def _same(self, ledger_id: int, versions: range) -> list[Recorded]:
        return await self._numbered(
            "WHERE event.ledger_id = %s AND event.version = ANY(%s) ORDER BY event.version",
            (ledger_id, list(versions)),
        )

    async def _numbered(self, clauses: str, parameters: Sequence[object]) -> list[Recorded]:
        """Events with their positions."""

        async def read(connection: Connection) -> list[Recorded]:
            cursor = await connection.execute(
                f"SELECT {_POSITION}, {EVENT_COLUMNS} {_FROM_EVENT} {clauses}", parameters
            )
            rows = await cursor.fetchall()
            if any(row[0] is None for row in rows):
                raise Unnumbered
            return self._decoded(rows)

        return await numbered(self._sessions, read)

    async def head(self, ledger: LedgerId) -> Head:
        """See ``AuditLog.head``."""
        async with self._sessions.glance() as connection:
            _, head = await run_script(connection, find_head(ledger, _hex_of))
        return head

    async def last_position(self) -> Position:
        """See ``AuditLog.last_position``."""

        async def read(connection: Connection) -> Position:
            if await waiting(connection):
                raise Unnumbered
            return await last_position(connection)

        return await numbered(self._sessions, read)

    async def read(self, after: Position, limit: int = 1000) -> Sequence[Recorded]:
        """See ``AuditLog.read``."""
        page, more = await self._page(after, limit)
        if more:
            # Events of a writer that died, or that has not assigned positions yet.
            await number_all(self._sessions)
            page, _ = await self._page(after, limit)
        return page

    async def _page(self, after: int, limit: int) -> tuple[list[Recorded], bool]:
        """A page, and whether it is short while committed events have no position yet."""
        async with self._sessions.reader() as connection:
            cursor = await connection.execute(
                _READ, (after, after + limit, after + 1, after + limit)
            )
            page = self._decoded(await cursor.fetchall())
            return page, len(page) < limit and await waiting(connection)

    async def read_ledger(
        self, ledger: LedgerId, after_version: int = 0, limit: int = 1000
    ) -> Sequence[Recorded]:
        """See ``AuditLog.read_ledger``."""
        return await self._numbered(
            "WHERE event.ledger_id = (SELECT id FROM ledger WHERE name = %s) "
            "AND event.version > %s AND event.version <= %s ORDER BY event.version",
            (ledger, after_version, after_version + limit),
        )

    async def read_ledger_in(
        self, connection: Connection, ledger_id: int, after_version: int, limit: int
    ) -> list[Recorded]:
        """``read_ledger`` in the caller's transaction, with the version as ``position``."""
        return await self._versions(
            connection, ledger_id, range(after_version + 1, after_version + limit + 1)
        )

    async def read_correlation(self, correlation_id: CorrelationId) -> Sequence[Recorded]:
        """See ``AuditLog.read_correlation``."""
        return await self._numbered(
            "WHERE correlation_id = %s ORDER BY 1", (UUID(hex=correlation_id),)
        )

    async def find_request(self, ledger: LedgerId, idempotency_key: str) -> Sequence[Recorded]:
        """See ``AuditLog.find_request``."""
        return await self._numbered(
            "JOIN request ON request.ledger_id = event.ledger_id "
            "AND event.version BETWEEN request.first_version AND request.last_version "
            "WHERE request.ledger_id = (SELECT id FROM ledger WHERE name = %s) "
            "AND request.key = key_digest(handle, %s) ORDER BY event.version",
            (ledger, idempotency_key),
        )

    async def ledgers(self, after: LedgerId | None = None, limit: int = 1000) -> Sequence[LedgerId]:
        """See ``AuditLog.ledgers``."""
        async with self._sessions.glance() as connection:
            return await run_script(connection, list_ledgers(after, limit))

    def _decoded(self, rows: Sequence[Row]) -> list[Recorded]:
        return decoded(rows, self._codec, _hex_of)


async def last_position(connection: Connection) -> Position:
    """The last position that has been assigned."""
    cursor = await connection.execute("SELECT coalesce(max(last_position), 0) FROM place")
    row = await cursor.fetchone()
    return Position(row[0] if row else 0)


def _values(
    ledger_id: int, append: Append, chain: Sequence[Recorded], requests: bytes
) -> list[Any]:
    """The parameters of ``_WRITE``; ``requests`` is the hash of the keyed requests before."""
    first, newest = chain[0], chain[-1]
    moment = to_microseconds(newest.recorded_at)
    versions = _array(str(item.version) for item in chain)
    ids = _array(item.event_id for item in chain)
    keys: list[bytes] = []
    if append.idempotency_key is not None:
        keys = [key_digest(first.handle, append.idempotency_key)]
        requests = requests_hash(requests, keys[0], first.version, newest.version)
    return [
        *(newest.version, newest.hash, moment, requests, ledger_id),
        *(ledger_id, first.version, newest.version),
        *(ledger_id, ids, versions),
        *(ledger_id, first.version, newest.version),
        keys,
        *(ledger_id, moment, UUID(hex=append.correlation_id), append.actor),
        *(versions, ids),
        _array(item.causation_id or "NULL" for item in chain),
        _array(item.type_name for item in chain),
        _array(str(item.schema_version) for item in chain),
        _array(_hex(item.payload) for item in chain),
        _array(_hex(item.salt) for item in chain),
        _array(_hex(item.payload_digest) for item in chain),
        _array(_hex(item.previous_hash) for item in chain),
        _array(_hex(item.hash) for item in chain),
    ]


_hex_of = attrgetter("hex")


def _array(elements: Iterable[str]) -> str:
    """An array literal; psycopg's array adaptation would take a sixth of an append's time."""
    return "{" + ",".join(elements) + "}"


def _hex(value: bytes | None) -> str:
    return "NULL" if value is None else f'"\\\\x{value.hex()}"'
