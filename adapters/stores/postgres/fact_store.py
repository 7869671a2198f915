"""``FactStore`` on PostgreSQL: one row per fact version, written in the append's transaction.

``domain.facts.evolve.change_of`` decides the effect of each event; this module stores it. Events
have no position yet, so their version gives the order within a ledger.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from hashlib import blake2b

import msgspec
from attrs import define, field

from remembrancer.adapters.stores.postgres.filters import searchable, to_sql
from remembrancer.adapters.stores.postgres.sessions import Connection, Reader, Row, Sessions
from remembrancer.adapters.stores.shared.visibility import covered, visible
from remembrancer.domain.conversation import Message
from remembrancer.domain.epoch_micros import to_microseconds
from remembrancer.domain.errors import IntegrityError
from remembrancer.domain.events import InferenceRecorded, MessageObserved, PayloadErased
from remembrancer.domain.facts.evolve import FactChange, change_of, fact_id_of
from remembrancer.domain.facts.fact import Fact, FactId, FactKey, FactStatus, MessageId
from remembrancer.domain.ports.codec import Codec
from remembrancer.domain.ports.fact_store import FactQuery, Tally
from remembrancer.domain.recorded import CorrelationId, EventId, Recorded
from remembrancer.domain.scope import LedgerId, Scope
from remembrancer.domain.text import normalised

_LATEST = "recorded_to IS NULL AND status = 'active'"
_OF_LEDGER = "ledger_id = (SELECT id FROM ledger WHERE name = %s)"

_FILTER_COLUMNS = {
    **{
        name: name
        for name in (
            *("fact_id", "status", "occurred_at", "created_at", "valid_from", "valid_to"),
            "expires_at",
        )
    },
    "updated_at": "recorded_from",
    **{name: f"body ->> '{name}'" for name in ("kind", "speaker", "text")},
    "entities": "(body -> 'entities')::jsonb",
}

_INSERT = """
INSERT INTO fact (fact_id, version, ledger_id, user_id, agent_id, run_id, app_id, status, digest,
                  slot, occurred_at, created_at, valid_from, valid_to, recorded_from, recorded_to,
                  expires_at, metadata, body)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
"""

# json, not jsonb: it keeps every digit and every key as the log has them.
_TABLES = (
    """
    CREATE TABLE IF NOT EXISTS fact (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        fact_id text COLLATE "C" NOT NULL,
        version integer NOT NULL,
        ledger_id bigint NOT NULL,
        user_id text, agent_id text, run_id text, app_id text,
        status text NOT NULL,
        digest bytea NOT NULL,
        slot text,
        occurred_at bigint NOT NULL,
        created_at bigint NOT NULL,
        valid_from bigint, valid_to bigint,
        recorded_from bigint, recorded_to bigint,
        expires_at bigint,
        metadata jsonb NOT NULL,
        body json NOT NULL
    )
    """,
    "CREATE UNIQUE INDEX IF NOT EXISTS fact_key ON fact (fact_id, version)",
    "CREATE INDEX IF NOT EXISTS fact_created ON fact (ledger_id, created_at, fact_id)",
    "CREATE INDEX IF NOT EXISTS fact_occurred ON fact (ledger_id, occurred_at, fact_id)",
    f"CREATE INDEX IF NOT EXISTS fact_digest ON fact (ledger_id, digest) WHERE {_LATEST}",
    "CREATE INDEX IF NOT EXISTS fact_slot ON fact (ledger_id, slot) "
    f"WHERE {_LATEST} AND slot IS NOT NULL",
    "CREATE INDEX IF NOT EXISTS fact_due ON fact (ledger_id, expires_at) "
    f"WHERE {_LATEST} AND expires_at IS NOT NULL",
    """
    CREATE TABLE IF NOT EXISTS message (
        ledger_id bigint NOT NULL,
        version bigint NOT NULL,
        message_id text COLLATE "C" NOT NULL UNIQUE,
        conversation text NOT NULL,
        occurred_at bigint NOT NULL,
        pending boolean NOT NULL,
        PRIMARY KEY (ledger_id, version)
    )
    """,
    "CREATE INDEX IF NOT EXISTS message_neighbours ON message (ledger_id, conversation, version)",
    "CREATE INDEX IF NOT EXISTS message_pending ON message (ledger_id, version) WHERE pending",
    """
    CREATE TABLE IF NOT EXISTS evidence (
        message_id text COLLATE "C", fact_id text COLLATE "C", PRIMARY KEY (message_id, fact_id)
    )
    """,
)


def conversation_of(scope: Scope) -> str:
    """Key of a conversation within a ledger."""
    return msgspec.json.encode([scope.agent_id, scope.run_id, scope.app_id]).decode()


class PostgresFactStore:
    """``FactStore`` on sessions; the audit log's adapter applies events to it."""

    tables = ("fact", "message", "evidence")

    def __init__(self, sessions: Sessions, codec: Codec) -> None:
        self._sessions = sessions
        self._codec = codec
        self._encoder = msgspec.json.Encoder()
        self._decoder = msgspec.json.Decoder(Fact)
        self.never_suspends = sessions.never_suspends

    async def create(self, connection: Connection) -> None:
        """Create missing tables and indexes."""
        for statement in _TABLES:
            await connection.execute(statement)

    async def clear(self, connection: Connection) -> None:
        """Delete all rows before a rebuild. Readers see them until the commit."""
        for table in self.tables:
            await connection.execute(f"DELETE FROM {table}")

    async def apply(
        self, connection: Connection, ledger_id: int, chain: Sequence[Recorded]
    ) -> list[FactChange]:
        """Apply events of one ledger in the append's transaction.

        Returns:
            The changes, for the read models that are derived from facts.
        """
        await self._note_messages(connection, ledger_id, chain)
        ids = {fact_id for item in chain if (fact_id := fact_id_of(item.event)) is not None}
        if not ids:
            return []
        latest: dict[FactId, Fact | None] = {
            fact.fact_id: fact for fact in await self._newest(connection, ledger_id, ids)
        }
        writing = _Writing()
        changes: list[FactChange] = []
        for item in chain:
            fact_id = fact_id_of(item.event)
            change = None if fact_id is None else change_of(item, latest.get(fact_id))
            if change is not None:
                latest[change.after.fact_id] = change.after
                writing.keep(change)
                changes.append(change)
        await self._write(connection, ledger_id, writing)
        return changes

    async def _newest(self, connection: Connection, ledger_id: int, ids: set[FactId]) -> list[Fact]:
        return await self._facts(
            connection,
            "SELECT DISTINCT ON (fact_id) body::text FROM fact "
            "WHERE fact_id = ANY(%s) AND ledger_id = %s ORDER BY fact_id, version DESC",
            (sorted(ids), ledger_id),
        )

    async def _note_messages(
        self, connection: Connection, ledger_id: int, chain: Sequence[Recorded]
    ) -> None:
        observed: dict[MessageId, list[object]] = {}
        done: list[MessageId] = []
        for item in chain:
            event = item.event
            if isinstance(event, MessageObserved):
                message = event.message
                observed.setdefault(
                    message.message_id,
                    [
                        *(ledger_id, item.version, message.message_id),
                        *(conversation_of(message.scope), to_microseconds(message.occurred_at)),
                        event.extract,
                    ],
                )
            elif isinstance(event, InferenceRecorded):
                done += event.messages
                for message_id in event.messages:
                    if message_id in observed:
                        observed[message_id][-1] = False
        if done:
            await connection.execute(
                "UPDATE message SET pending = false WHERE message_id = ANY(%s) AND ledger_id = %s",
                (done, ledger_id),
            )
        if observed:
            await connection.executemany(
                "INSERT INTO message VALUES (%s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING",
                observed.values(),
            )

    async def _write(self, connection: Connection, ledger_id: int, writing: _Writing) -> None:
        if writing.ended:
            await connection.executemany(
                "UPDATE fact SET recorded_to = %s, body = %s WHERE fact_id = %s AND version = %s",
                [
                    (_integer(fact.recorded.end), self._encode(fact), *fact.key)
                    for fact in writing.ended
                ],
            )
        if writing.begun:
            await connection.executemany(
                _INSERT, [self._row(ledger_id, fact) for fact in writing.begun.values()]
            )
        if writing.evidence:
            await connection.executemany(
                "INSERT INTO evidence VALUES (%s, %s) ON CONFLICT DO NOTHING", writing.evidence
            )

    def _row(self, ledger_id: int, fact: Fact) -> tuple[object, ...]:
        return (
            fact.fact_id,
            fact.version,
            ledger_id,
            fact.scope.user_id,
            fact.scope.agent_id,
            fact.scope.run_id,
            fact.scope.app_id,
            fact.status.value,
            _digest(fact.text),
            fact.slot,
            to_microseconds(fact.occurred_at),
            to_microseconds(fact.created_at),
            _integer(fact.valid.start),
            _integer(fact.valid.end),
            _integer(fact.recorded.start),
            _integer(fact.recorded.end),
            _integer(fact.expires_at),
            searchable(fact.metadata),
            self._encode(fact),
        )

    def _encode(self, fact: Fact) -> str:
        return self._encoder.encode(fact).decode()

    async def _facts(
        self, connection: Reader, query: str, parameters: Sequence[object]
    ) -> list[Fact]:
        cursor = await connection.execute(query, parameters)
        return [self._decoder.decode(body) for (body,) in await cursor.fetchall()]

    async def versions(self, fact_id: FactId) -> Sequence[Fact]:
        """See ``FactStore.versions``."""
        async with self._sessions.glance() as connection:
            return await self._facts(
                connection,
                "SELECT body::text FROM fact WHERE fact_id = %s ORDER BY version",
                (fact_id,),
            )

    async def versions_in(
        self, connection: Reader, fact_ids: Sequence[FactId]
    ) -> Mapping[FactId, Sequence[Fact]]:
        """``versions`` of several facts, in the caller's transaction."""
        found: dict[FactId, list[Fact]] = {}
        for fact in await self._facts(
            connection,
            "SELECT body::text FROM fact WHERE fact_id = ANY(%s) ORDER BY fact_id, version",
            (list(fact_ids),),
        ):
            found.setdefault(fact.fact_id, []).append(fact)
        return found

    async def load(self, keys: Sequence[FactKey]) -> Sequence[Fact]:
        """See ``FactStore.load``."""
        if not keys:
            return []
        async with self._sessions.glance() as connection:
            return await self.load_in(connection, keys)

    async def load_in(self, connection: Reader, keys: Sequence[FactKey]) -> list[Fact]:
        """``load`` in the caller's transaction."""
        return await self._facts(
            connection,
            "SELECT body::text FROM unnest(%s::text[], %s::int[]) WITH ORDINALITY "
            "AS wanted (fact_id, version, place) JOIN fact USING (fact_id, version) "
            "ORDER BY wanted.place",
            ([fact_id for fact_id, _ in keys], [version for _, version in keys]),
        )

    async def citing_in(
        self, connection: Reader, message_ids: Sequence[MessageId]
    ) -> list[tuple[MessageId, Fact]]:
        """All versions of the facts whose evidence names one of the messages."""
        cursor = await connection.execute(
            "SELECT message_id, body::text FROM evidence JOIN fact USING (fact_id) "
            "WHERE message_id = ANY(%s) ORDER BY fact_id, version",
            (list(message_ids),),
        )
        return [
            (MessageId(message_id), self._decoder.decode(body))
            for message_id, body in await cursor.fetchall()
        ]

    async def find(self, query: FactQuery) -> Sequence[Fact]:
        """See ``FactStore.find``."""
        column = query.order.value.lstrip("-")
        descending = query.order.value.startswith("-")
        clauses, parameters = visible(query, "%s")
        if query.where is not None:
            clause, values = to_sql(query.where, _FILTER_COLUMNS, "metadata")
            clauses.append(clause)
            parameters.extend(values)
        if query.after is not None:
            moment, fact_id = query.after
            clauses.append(f"({column}, fact_id) {'<' if descending else '>'} (%s, %s)")
            parameters.extend((to_microseconds(moment), fact_id))
        direction = "DESC" if descending else "ASC"
        sql = (
            f"SELECT body::text FROM fact WHERE {' AND '.join(clauses)} "
            f"ORDER BY {column} {direction}, fact_id {direction} LIMIT %s"
        )
        async with self._sessions.glance() as connection:
            return await self._facts(connection, sql, (*parameters, query.limit))

    async def active(
        self, ledger: LedgerId, texts: Sequence[str], slots: Sequence[str]
    ) -> Sequence[Fact]:
        """See ``FactStore.active``."""
        digests = [_digest(text) for text in texts]
        async with self._sessions.reader() as connection:
            found = [
                fact
                for column, kind, values in (("digest", "bytea", digests), ("slot", "text", slots))
                if values
                for fact in await self._facts(
                    connection,
                    f"SELECT body::text FROM fact WHERE {_OF_LEDGER} AND {_LATEST} "
                    f"AND {column} IS NOT NULL AND {column} = ANY(%s::{kind}[]) ORDER BY id",
                    (ledger, list(values)),
                )
            ]
        return list({fact.fact_id: fact for fact in found}.values())

    async def active_in(self, scope: Scope) -> Sequence[Fact]:
        """See ``FactStore.active_in``."""
        clauses, parameters = covered(scope, "%s")
        async with self._sessions.glance() as connection:
            return await self._facts(
                connection,
                f"SELECT body::text FROM fact WHERE {' AND '.join(clauses)} AND {_LATEST} "
                "ORDER BY id",
                parameters,
            )

    async def due(self, ledger: LedgerId, now: datetime) -> Sequence[Fact]:
        """See ``FactStore.due``."""
        async with self._sessions.glance() as connection:
            return await self._facts(
                connection,
                f"SELECT body::text FROM fact WHERE {_OF_LEDGER} AND expires_at <= %s "
                f"AND expires_at IS NOT NULL AND {_LATEST} ORDER BY id",
                (ledger, to_microseconds(now)),
            )

    async def pending(self, ledger: LedgerId | None, limit: int = 1000) -> Sequence[Message]:
        """See ``FactStore.pending``."""
        where, parameters = _one_or_all(ledger)
        async with self._sessions.glance() as connection:
            cursor = await connection.execute(
                "SELECT payload, type, schema_version, "
                "known_position(ledger_id, event.version) AS position, ledger.name, event_id "
                "FROM message JOIN event USING (ledger_id, version) "
                "JOIN ledger ON ledger.id = ledger_id "
                f"WHERE pending AND {where} ORDER BY position, event.version LIMIT %s",
                (*parameters, limit),
            )
            rows = await cursor.fetchall()
            return [found for row in rows if (found := self.message(row)) is not None]

    async def unfinished(
        self, ledger: LedgerId | None, limit: int = 1000
    ) -> Sequence[CorrelationId]:
        """See ``FactStore.unfinished``."""
        where, parameters = _one_or_all(ledger)
        async with self._sessions.glance() as connection:
            cursor = await connection.execute(
                "SELECT correlation_id FROM message JOIN event USING (ledger_id, version) "
                f"WHERE pending AND {where} GROUP BY correlation_id "
                "ORDER BY min(known_position(ledger_id, version)), min(version) LIMIT %s",
                (*parameters, limit),
            )
            return [CorrelationId(request.hex) for (request,) in await cursor.fetchall()]

    async def tally(self, ledger: LedgerId | None) -> Tally:
        """See ``FactStore.tally``."""
        where, parameters = _one_or_all(ledger)
        async with self._sessions.reader() as connection:
            cursor = await connection.execute(
                "SELECT status, count(*) FILTER (WHERE recorded_to IS NULL), count(*) "
                f"FROM fact WHERE {where} GROUP BY status",
                parameters,
            )
            statuses = await cursor.fetchall()
            cursor = await connection.execute(
                f"SELECT count(*), count(*) FILTER (WHERE pending) FROM message WHERE {where}",
                parameters,
            )
            messages, pending = await cursor.fetchone() or (0, 0)
        return Tally(
            facts={FactStatus(status): count for status, count, _ in statuses if count},
            versions=sum(versions for _, _, versions in statuses),
            messages=messages,
            pending=pending,
        )

    def message(self, row: Row) -> Message | None:
        """Decode the message of a stored event; ``None`` if it was erased.

        Args:
            row: payload, type, schema version, position, ledger and id of the event.

        Raises:
            IntegrityError: the event is not a ``MessageObserved``.
        """
        payload, type_name, schema_version, position, ledger, event_id = row
        event = self._codec.decode(
            payload, type_name, schema_version, position, ledger, EventId(event_id.hex)
        )
        if isinstance(event, PayloadErased):
            return None
        if not isinstance(event, MessageObserved):
            raise IntegrityError(f"position {position}: expected a message, found {type_name}")
        return event.message


@define
class _Writing:
    """Row changes of one append, merged so that each row is written once."""

    begun: dict[FactKey, Fact] = field(factory=dict)
    ended: list[Fact] = field(factory=list)
    evidence: list[tuple[MessageId, FactId]] = field(factory=list)

    def keep(self, change: FactChange) -> None:
        before, after = change.before, change.after
        if before is not None:
            if before.key in self.begun:
                self.begun[before.key] = before
            else:
                self.ended.append(before)
        self.begun[after.key] = after
        self.evidence += [
            (evidence.message_id, after.fact_id)
            for evidence in after.evidence[len(before.evidence) if before else 0 :]
        ]


def _digest(text: str) -> bytes:
    return blake2b(normalised(text).encode(), digest_size=16).digest()


def _integer(moment: datetime | None) -> int | None:
    return None if moment is None else to_microseconds(moment)


def _one_or_all(ledger: LedgerId | None) -> tuple[str, list[object]]:
    return ("true", []) if ledger is None else (_OF_LEDGER, [ledger])
