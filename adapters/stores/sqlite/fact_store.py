"""The fact store on SQLite: one row per version of a fact, updated in the append's transaction.

``remembrancer.domain.facts.evolve.change_of`` decides how an event changes a fact; this module
only stores the result.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from datetime import datetime
from hashlib import blake2b

import msgspec

from remembrancer.adapters.stores.shared.visibility import covered, visible
from remembrancer.adapters.stores.sqlite.database import Database
from remembrancer.adapters.stores.sqlite.filters import to_sql
from remembrancer.domain.conversation import Message
from remembrancer.domain.epoch_micros import to_microseconds
from remembrancer.domain.errors import IntegrityError
from remembrancer.domain.events import InferenceRecorded, MessageObserved, PayloadErased
from remembrancer.domain.facts.evolve import FactChange, change_of, fact_id_of
from remembrancer.domain.facts.fact import Fact, FactId, FactKey, FactStatus
from remembrancer.domain.ports.codec import Codec
from remembrancer.domain.ports.fact_store import FactQuery, Tally
from remembrancer.domain.recorded import CorrelationId, EventId, Recorded
from remembrancer.domain.scope import LedgerId, Scope
from remembrancer.domain.text import normalised

_LATEST = "recorded_to IS NULL AND status = 'active'"

_FILTER_COLUMNS = {
    **{
        name: name
        for name in ("fact_id", "status", "occurred_at", "created_at", "valid_from", "valid_to")
    },
    "updated_at": "recorded_from",
    "expires_at": "expires_at",
    "kind": "json_extract(body, '$.kind')",
    "speaker": "json_extract(body, '$.speaker')",
    "text": "json_extract(body, '$.text')",
    "entities": "json_extract(body, '$.entities')",
}

_INSERT = """
INSERT INTO fact (fact_id, version, ledger_id, user_id, agent_id, run_id, app_id, status, digest,
                  slot, occurred_at, created_at, valid_from, valid_to, recorded_from, recorded_to,
                  expires_at, body)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""


_TABLES: dict[str, tuple[dict[str, type], str | tuple[str, ...]]] = {
    "fact": (
        {
            "id": int,
            "fact_id": str,
            "version": int,
            "ledger_id": int,
            "user_id": str,
            "agent_id": str,
            "run_id": str,
            "app_id": str,
            "status": str,
            "digest": bytes,
            "slot": str,
            "occurred_at": int,
            "created_at": int,
            "valid_from": int,
            "valid_to": int,
            "recorded_from": int,
            "recorded_to": int,
            "expires_at": int,
            "body": str,
        },
        "id",
    ),
    "message": (
        {
            "position": int,
            "ledger_id": int,
            "message_id": str,
            "conversation": str,
            "occurred_at": int,
            "pending": int,
        },
        "position",
    ),
    "evidence": ({"message_id": str, "fact_id": str}, ("message_id", "fact_id")),
}

_INDEXES = (
    "UNIQUE INDEX IF NOT EXISTS fact_key ON fact (fact_id, version)",
    "INDEX IF NOT EXISTS fact_created ON fact (ledger_id, created_at, fact_id)",
    "INDEX IF NOT EXISTS fact_occurred ON fact (ledger_id, occurred_at, fact_id)",
    f"INDEX IF NOT EXISTS fact_digest ON fact (ledger_id, digest) WHERE {_LATEST}",
    f"INDEX IF NOT EXISTS fact_slot ON fact (ledger_id, slot) WHERE {_LATEST} AND slot IS NOT NULL",
    "INDEX IF NOT EXISTS fact_due ON fact (ledger_id, expires_at) "
    f"WHERE {_LATEST} AND expires_at IS NOT NULL",
    "UNIQUE INDEX IF NOT EXISTS message_id ON message (message_id)",
    "INDEX IF NOT EXISTS message_neighbours ON message (ledger_id, conversation, position)",
    "INDEX IF NOT EXISTS message_pending ON message (ledger_id, position) WHERE pending",
)


def conversation_of(scope: Scope) -> str:
    """The key of a scope's conversation within its ledger."""
    return msgspec.json.encode([scope.agent_id, scope.run_id, scope.app_id]).decode()


class SqliteFactStore:
    """``FactStore`` on a ``Database``; ``SqliteReadModels`` applies events to it."""

    def __init__(self, database: Database, codec: Codec) -> None:
        self._database = database
        self._codec = codec
        self._encoder = msgspec.json.Encoder()
        self._decoder = msgspec.json.Decoder(Fact)

    def apply(self, connection: sqlite3.Connection, chain: Sequence[Recorded]) -> list[FactChange]:
        """Apply events inside the append's transaction.

        Returns:
            The changes of facts, for the read models that depend on them.
        """
        ledger_ids: dict[LedgerId, int] = {}
        changes: list[FactChange] = []
        latest: dict[tuple[int, FactId], Fact | None] = {}
        for item in chain:
            if item.ledger not in ledger_ids:
                ledger_ids[item.ledger] = connection.execute(
                    "SELECT id FROM ledger WHERE name = ?", (item.ledger,)
                ).fetchone()[0]
            ledger_id = ledger_ids[item.ledger]
            self._apply_messages(connection, ledger_id, item)
            fact_id = fact_id_of(item.event)
            if fact_id is None:
                continue
            key = (ledger_id, fact_id)
            if key not in latest:
                latest[key] = self._latest(connection, *key)
            change = change_of(item, latest[key])
            if change is not None:
                latest[key] = change.after
                self._store(connection, ledger_id, change)
                changes.append(change)
        return changes

    def create(self, connection: sqlite3.Connection) -> None:
        """Create the tables and indexes that are missing."""
        import sqlite_utils

        schema = sqlite_utils.Database(connection)
        for name, (columns, key) in _TABLES.items():
            schema.table(name).create(columns, pk=key, if_not_exists=True)
        for index in _INDEXES:
            connection.execute(f"CREATE {index}")

    def count_in(self, connection: sqlite3.Connection) -> int:
        """The number of fact versions. Raises ``OperationalError`` if a table is missing."""
        count: int = connection.execute(
            "SELECT (SELECT count(*) FROM fact), EXISTS (SELECT 1 FROM message), "
            "EXISTS (SELECT 1 FROM evidence)"
        ).fetchone()[0]
        return count

    def clear(self, connection: sqlite3.Connection) -> None:
        """Delete all rows, before a rebuild."""
        for table in _TABLES:
            connection.execute(f"DELETE FROM {table}")

    def _apply_messages(
        self, connection: sqlite3.Connection, ledger_id: int, item: Recorded
    ) -> None:
        event = item.event
        if isinstance(event, MessageObserved):
            message = event.message
            connection.execute(
                "INSERT OR IGNORE INTO message VALUES (?, ?, ?, ?, ?, ?)",
                (
                    item.position,
                    ledger_id,
                    message.message_id,
                    conversation_of(message.scope),
                    to_microseconds(message.occurred_at),
                    int(event.extract),
                ),
            )
        elif isinstance(event, InferenceRecorded) and event.messages:
            connection.executemany(
                "UPDATE message SET pending = 0 WHERE message_id = ? AND ledger_id = ?",
                [(message_id, ledger_id) for message_id in event.messages],
            )

    def _store(self, connection: sqlite3.Connection, ledger_id: int, change: FactChange) -> None:
        before, after = change.before, change.after
        if before is not None:
            connection.execute(
                "UPDATE fact SET recorded_to = ?, body = ? WHERE fact_id = ? AND version = ?",
                (_integer(before.recorded.end), self._encode(before), *before.key),
            )
        connection.execute(_INSERT, self._row(ledger_id, after))
        connection.executemany(
            "INSERT OR IGNORE INTO evidence VALUES (?, ?)",
            [
                (evidence.message_id, after.fact_id)
                for evidence in after.evidence[len(before.evidence) if before else 0 :]
            ],
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
            self._encode(fact),
        )

    def _encode(self, fact: Fact) -> str:
        return self._encoder.encode(fact).decode()

    def _facts(self, rows: sqlite3.Cursor) -> list[Fact]:
        decode = self._decoder.decode
        return [decode(body) for (body,) in rows]

    def _latest(
        self, connection: sqlite3.Connection, ledger_id: int, fact_id: FactId
    ) -> Fact | None:
        found = self._facts(
            connection.execute(
                "SELECT body FROM fact WHERE fact_id = ? AND ledger_id = ? "
                "ORDER BY version DESC LIMIT 1",
                (fact_id, ledger_id),
            )
        )
        return found[0] if found else None

    def versions(self, fact_id: FactId) -> Sequence[Fact]:
        """See ``FactStore.versions``."""
        with self._database.reader() as connection:
            return self.versions_in(connection, fact_id)

    def versions_in(self, connection: sqlite3.Connection, fact_id: FactId) -> list[Fact]:
        """Same as ``versions``, on the given connection."""
        return self._facts(
            connection.execute(
                "SELECT body FROM fact WHERE fact_id = ? ORDER BY version", (fact_id,)
            )
        )

    def load(self, keys: Sequence[FactKey]) -> Sequence[Fact]:
        """See ``FactStore.load``."""
        if not keys:
            return []
        wanted = msgspec.json.encode(keys).decode()
        with self._database.reader() as connection:
            return self._facts(
                connection.execute(
                    "SELECT body FROM json_each(?) AS wanted CROSS JOIN fact "
                    "ON fact_id = json_extract(wanted.value, '$[0]') "
                    "AND version = json_extract(wanted.value, '$[1]') ORDER BY wanted.key",
                    (wanted,),
                )
            )

    def find(self, query: FactQuery) -> Sequence[Fact]:
        """See ``FactStore.find``."""
        column = query.order.value.lstrip("-")
        descending = query.order.value.startswith("-")
        clauses, parameters = visible(query, "?")
        if query.where is not None:
            clause, values = to_sql(
                query.where, _FILTER_COLUMNS, "json_extract(body, '$.metadata')"
            )
            clauses.append(clause)
            parameters.extend(values)
        if query.after is not None:
            moment, fact_id = query.after
            clauses.append(f"({column}, fact_id) {'<' if descending else '>'} (?, ?)")
            parameters.extend((to_microseconds(moment), fact_id))
        direction = "DESC" if descending else "ASC"
        sql = (
            f"SELECT body FROM fact WHERE {' AND '.join(clauses)} "
            f"ORDER BY {column} {direction}, fact_id {direction} LIMIT ?"
        )
        with self._database.reader() as connection:
            return self._facts(connection.execute(sql, (*parameters, query.limit)))

    def active(
        self, ledger: LedgerId, texts: Sequence[str], slots: Sequence[str]
    ) -> Sequence[Fact]:
        """See ``FactStore.active``."""
        with self._database.reader() as connection:
            row = connection.execute("SELECT id FROM ledger WHERE name = ?", (ledger,)).fetchone()
            if row is None:
                return []
            found: dict[FactId, Fact] = {}
            for column, values in (
                ("digest", [_digest(text) for text in dict.fromkeys(texts)]),
                ("slot", list(dict.fromkeys(slots))),
            ):
                for value in values:
                    facts = self._facts(
                        connection.execute(
                            f"SELECT body FROM fact WHERE ledger_id = ? AND {column} = ? "
                            f"AND {column} IS NOT NULL AND {_LATEST} ORDER BY id",
                            (row[0], value),
                        )
                    )
                    found.update((fact.fact_id, fact) for fact in facts)
        return list(found.values())

    def active_in(self, scope: Scope) -> Sequence[Fact]:
        """See ``FactStore.active_in``."""
        clauses, parameters = covered(scope, "?")
        with self._database.reader() as connection:
            return self._facts(
                connection.execute(
                    f"SELECT body FROM fact WHERE {' AND '.join(clauses)} AND {_LATEST} "
                    "ORDER BY id",
                    parameters,
                )
            )

    def due(self, ledger: LedgerId, now: datetime) -> Sequence[Fact]:
        """See ``FactStore.due``."""
        with self._database.reader() as connection:
            return self._facts(
                connection.execute(
                    "SELECT body FROM fact "
                    "WHERE ledger_id = (SELECT id FROM ledger WHERE name = ?) "
                    f"AND expires_at <= ? AND expires_at IS NOT NULL AND {_LATEST} ORDER BY id",
                    (ledger, to_microseconds(now)),
                )
            )

    def pending(self, ledger: LedgerId | None, limit: int = 1000) -> Sequence[Message]:
        """See ``FactStore.pending``."""
        with self._database.reader() as connection:
            rows = connection.execute(
                "SELECT event.payload, event.type, event.schema_version, position, "
                "ledger.name, event.event_id FROM message JOIN event USING (position) "
                "JOIN ledger ON ledger.id = message.ledger_id WHERE pending AND (? IS NULL OR "
                "message.ledger_id = (SELECT id FROM ledger WHERE name = ?)) "
                "ORDER BY position LIMIT ?",
                (ledger, ledger, limit),
            )
            return [found for row in rows if (found := self.message(*row)) is not None]

    def unfinished(self, ledger: LedgerId | None, limit: int = 1000) -> Sequence[CorrelationId]:
        """See ``FactStore.unfinished``."""
        with self._database.reader() as connection:
            rows = connection.execute(
                "SELECT correlation_id FROM message JOIN event USING (position) "
                "WHERE pending AND (? IS NULL OR "
                "message.ledger_id = (SELECT id FROM ledger WHERE name = ?)) "
                "GROUP BY correlation_id ORDER BY min(position) LIMIT ?",
                (ledger, ledger, limit),
            )
            return [CorrelationId(correlation_id.hex()) for (correlation_id,) in rows]

    def tally(self, ledger: LedgerId | None) -> Tally:
        """See ``FactStore.tally``."""
        where = "(? IS NULL OR ledger_id = (SELECT id FROM ledger WHERE name = ?))"
        parameters = (ledger, ledger)
        with self._database.reader() as connection:
            statuses = connection.execute(
                f"SELECT status, count(*) FROM fact WHERE recorded_to IS NULL AND {where} "
                "GROUP BY status",
                parameters,
            ).fetchall()
            (versions,) = connection.execute(
                f"SELECT count(*) FROM fact WHERE {where}", parameters
            ).fetchone()
            messages, pending = connection.execute(
                f"SELECT count(*), total(pending) FROM message WHERE {where}", parameters
            ).fetchone()
        return Tally(
            facts={FactStatus(status): count for status, count in statuses},
            versions=versions,
            messages=messages,
            pending=int(pending),
        )

    def message(
        self,
        payload: bytes,
        type_name: str,
        schema_version: int,
        position: int,
        ledger: LedgerId,
        event_id: bytes,
    ) -> Message | None:
        """The message in a stored event, ``None`` if it was erased.

        Raises:
            IntegrityError: the event at that position is not a ``MessageObserved``.
        """
        event = self._codec.decode(
            payload, type_name, schema_version, position, ledger, EventId(event_id.hex())
        )
        if isinstance(event, PayloadErased):
            return None
        if not isinstance(event, MessageObserved):
            raise IntegrityError(
                f"position {position}: expected a message, found {type_name}; restore a backup"
            )
        return event.message


def _digest(text: str) -> bytes:
    return blake2b(normalised(text).encode(), digest_size=16).digest()


def _integer(moment: datetime | None) -> int | None:
    return None if moment is None else to_microseconds(moment)
