"""The audit log on SQLite. An append and its updates of the read models are one transaction."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Protocol

from attrs import evolve, frozen

from remembrancer.adapters.stores.shared import chaining
from remembrancer.adapters.stores.shared.codec import EventCodec
from remembrancer.adapters.stores.shared.event_rows import (
    EVENT_COLUMNS,
    decoded,
    find_head,
    list_ledgers,
)
from remembrancer.adapters.stores.shared.scripts import Row
from remembrancer.adapters.stores.sqlite.connections import one_view
from remembrancer.adapters.stores.sqlite.database import Database
from remembrancer.adapters.stores.sqlite.run_script import run_script
from remembrancer.adapters.stores.sqlite.schema_sql import create
from remembrancer.domain.epoch_micros import to_microseconds
from remembrancer.domain.errors import AdapterUnavailable, IntegrityError, RemembrancerError
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

if TYPE_CHECKING:
    import sqlite_utils

_SELECT = f"SELECT position, {EVENT_COLUMNS} FROM event JOIN ledger ON ledger.id = event.ledger_id"

_INSERT = """
INSERT INTO event (position, ledger_id, version, event_id, recorded_at, correlation_id,
                   causation_id, actor, type, schema_version, payload, salt, payload_digest,
                   previous_hash, hash)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""


def create_log(connection: sqlite3.Connection) -> None:
    """Create the tables of the log (schema version 1)."""
    create(connection, _define)


def _define(schema: sqlite_utils.Database) -> None:
    schema.table("ledger").create(
        {
            "id": int,
            "name": str,
            "version": int,
            "hash": bytes,
            "recorded_at": int,
            "handle": bytes,
            "requests": bytes,
        },
        pk="id",
        not_null={"name", "version", "hash", "recorded_at", "handle", "requests"},
    )
    schema.table("ledger").create_index(["name"], unique=True)
    # AUTOINCREMENT, because SQLite reuses the rowid of a deleted last row; sqlite-utils has no
    # option for it.
    schema.execute(
        """
        CREATE TABLE event (
            position INTEGER PRIMARY KEY AUTOINCREMENT,
            ledger_id INTEGER NOT NULL,
            version INTEGER NOT NULL,
            event_id BLOB NOT NULL,
            recorded_at INTEGER NOT NULL,
            correlation_id BLOB NOT NULL,
            causation_id BLOB,
            actor TEXT NOT NULL,
            type TEXT NOT NULL,
            schema_version INTEGER NOT NULL,
            payload BLOB,
            salt BLOB,
            payload_digest BLOB NOT NULL,
            previous_hash BLOB NOT NULL,
            hash BLOB NOT NULL
        )
        """
    )
    events = schema.table("event")
    events.create_index(["ledger_id", "version"], unique=True)
    events.create_index(["event_id"], unique=True)
    events.create_index(["correlation_id"])
    schema.table("request").create(
        {"ledger_id": int, "key": bytes, "first": int, "last": int},
        pk=("ledger_id", "key"),
        not_null={"first", "last"},
    )


MANY = 500
"""Events of an append from which on it is encoded and hashed before the lock is taken, for the head
that the ledger has then. For fewer, reading the head twice costs more than it saves.
"""


@frozen
class _Ahead:
    """The chain of an append, if ``head`` is still the ledger's; ``last``: the position before."""

    head: Head
    last: Position
    chain: list[Recorded]

    def chain_after(self, last: Position) -> list[Recorded]:
        """The chain after another position: no hash covers it."""
        if last == self.last:
            return self.chain
        moved = last - self.last
        return [evolve(item, position=Position(item.position + moved)) for item in self.chain]


class Listener(Protocol):
    """Read models that are updated in the append's transaction."""

    def prepare(self, append: Append) -> Any:
        """Do what can be done before the transaction; the result is passed to ``apply``."""
        ...

    def apply(
        self, connection: sqlite3.Connection, chain: Sequence[Recorded], prepared: Any
    ) -> None:
        """Apply events, in order, inside the open transaction."""
        ...

    def committed(self, chain: Sequence[Recorded]) -> None:
        """Run maintenance after the commit."""
        ...


class SqliteAuditLog:
    """``AuditLog`` on a ``Database`` whose migrations include ``create_log``.

    Args:
        database: the open database.
        codec: encodes and decodes stored events.
        listener: the read models in the same file; ``None`` if there are none.
    """

    def __init__(
        self,
        database: Database,
        codec: Codec | None = None,
        listener: Listener | None = None,
    ) -> None:
        self._database = database
        self._codec = codec or EventCodec()
        self._listener = listener

    def append(self, append: Append) -> Appended:
        """See ``AuditLog.append``."""
        chaining.check(append)
        prepared = None if self._listener is None else self._listener.prepare(append)
        ahead = self._chained_ahead(append) if len(append.events) >= MANY else None
        appended = self._database.write(
            lambda connection: self._append(connection, append, prepared, ahead),
            len(append.events),
        )
        if self._listener is not None and not appended.replayed:
            # The append is committed; maintenance that fails now is due again at the next append.
            with suppress(AdapterUnavailable, IntegrityError):
                self._listener.committed(appended.recorded)
        return appended

    def _chained_ahead(self, append: Append) -> _Ahead | None:
        """The chain of an append, made before the lock is taken."""
        with self._database.reader() as connection, one_view(connection):
            _, head = run_script(connection, find_head(append.ledger, bytes.hex))
            last = _last_position(connection)
        # What refuses an append refuses it after the request was looked up, in the transaction.
        with suppress(RemembrancerError):
            return _Ahead(head, last, chaining.chained(append, head, last, self._codec))
        return None

    def _append(
        self,
        connection: sqlite3.Connection,
        append: Append,
        prepared: Any,
        ahead: _Ahead | None,
    ) -> Appended:
        ledger_id, head = run_script(connection, find_head(append.ledger, bytes.hex))
        earlier = self._earlier(connection, append, ledger_id, head)
        if earlier:
            return Appended(recorded=tuple(earlier), replayed=True)
        chaining.check_version(append, head)
        last = _last_position(connection)
        if ahead is not None and ahead.head == head:
            chain = ahead.chain_after(last)
        else:
            chain = chaining.chained(append, head, last, self._codec)
        ledger_id = _move_head(connection, ledger_id, chain[-1])
        connection.executemany(_INSERT, [_row(ledger_id, item) for item in chain])
        if append.idempotency_key is not None:
            _keep_request(connection, ledger_id, append.idempotency_key, chain)
        if self._listener is not None:
            self._listener.apply(connection, chain, prepared)
        return Appended(recorded=tuple(chain))

    def _earlier(
        self, connection: sqlite3.Connection, append: Append, ledger_id: int | None, head: Head
    ) -> list[Recorded]:
        if append.idempotency_key is not None:
            first = self._request(connection, ledger_id, head, append.idempotency_key)
            if first:
                return first
        # All ids of an append are written together, so checking the first one is enough.
        first_id = bytes.fromhex(append.events[0].event_id)
        seen = connection.execute(
            "SELECT correlation_id FROM event WHERE event_id = ?", (first_id,)
        ).fetchone()
        if seen is None:
            return []
        ids = {new.event_id for new in append.events}
        same_request = self._decode_all(
            connection.execute(f"{_SELECT} WHERE correlation_id = ? ORDER BY position", (seen[0],))
        )
        found = [item for item in same_request if item.event_id in ids]
        chaining.check_same(append, found, self._codec)
        return found

    def _request(
        self, connection: sqlite3.Connection, ledger_id: int | None, head: Head, key: str
    ) -> list[Recorded]:
        if head.handle is None:
            return []
        row = connection.execute(
            "SELECT first, last FROM request WHERE ledger_id = ? AND key = ?",
            (ledger_id, key_digest(head.handle, key)),
        ).fetchone()
        if row is None:
            return []
        return self._decode_all(
            connection.execute(f"{_SELECT} WHERE position BETWEEN ? AND ? ORDER BY position", row)
        )

    def head(self, ledger: LedgerId) -> Head:
        """See ``AuditLog.head``."""
        with self._database.reader() as connection:
            _, head = run_script(connection, find_head(ledger, bytes.hex))
        return head

    def last_position(self) -> Position:
        """See ``AuditLog.last_position``."""
        with self._database.reader() as connection:
            return _last_position(connection)

    def read(self, after: Position, limit: int = 1000) -> Sequence[Recorded]:
        """See ``AuditLog.read``."""
        with self._database.reader() as connection:
            return self.read_in(connection, after, limit)

    def read_in(
        self, connection: sqlite3.Connection, after: Position, limit: int
    ) -> list[Recorded]:
        """Same as ``read``, on the given connection."""
        return self._decode_all(
            connection.execute(
                f"{_SELECT} WHERE position > ? ORDER BY position LIMIT ?", (after, limit)
            )
        )

    def read_ledger(
        self, ledger: LedgerId, after_version: int = 0, limit: int = 1000
    ) -> Sequence[Recorded]:
        """See ``AuditLog.read_ledger``."""
        with self._database.reader() as connection:
            return self._decode_all(
                connection.execute(
                    f"{_SELECT} WHERE event.ledger_id = (SELECT id FROM ledger WHERE name = ?) "
                    "AND event.version > ? ORDER BY event.version LIMIT ?",
                    (ledger, after_version, limit),
                )
            )

    def read_correlation(self, correlation_id: CorrelationId) -> Sequence[Recorded]:
        """See ``AuditLog.read_correlation``."""
        with self._database.reader() as connection:
            return self._decode_all(
                connection.execute(
                    f"{_SELECT} WHERE correlation_id = ? ORDER BY position",
                    (bytes.fromhex(correlation_id),),
                )
            )

    def find_request(self, ledger: LedgerId, idempotency_key: str) -> Sequence[Recorded]:
        """See ``AuditLog.find_request``."""
        with self._database.reader() as connection:
            ledger_id, head = run_script(connection, find_head(ledger, bytes.hex))
            return self._request(connection, ledger_id, head, idempotency_key)

    def ledgers(self, after: LedgerId | None = None, limit: int = 1000) -> Sequence[LedgerId]:
        """See ``AuditLog.ledgers``."""
        with self._database.reader() as connection:
            return run_script(connection, list_ledgers(after, limit))

    def _decode_all(self, rows: Iterable[Row]) -> list[Recorded]:
        return decoded(list(rows), self._codec, bytes.hex)


def _move_head(connection: sqlite3.Connection, ledger_id: int | None, newest: Recorded) -> int:
    moved = (newest.version, newest.hash, to_microseconds(newest.recorded_at))
    if ledger_id is not None:
        connection.execute(
            "UPDATE ledger SET version = ?, hash = ?, recorded_at = ? WHERE id = ?",
            (*moved, ledger_id),
        )
        return ledger_id
    created = connection.execute(
        "INSERT INTO ledger (version, hash, recorded_at, name, handle, requests) "
        "VALUES (?, ?, ?, ?, ?, ?)",
        (*moved, newest.ledger, bytes.fromhex(newest.handle), GENESIS),
    )
    assert created.lastrowid is not None
    return created.lastrowid


def _keep_request(
    connection: sqlite3.Connection, ledger_id: int, key: str, chain: Sequence[Recorded]
) -> None:
    digest = key_digest(chain[0].handle, key)
    connection.execute(
        "INSERT INTO request VALUES (?, ?, ?, ?)",
        (ledger_id, digest, chain[0].position, chain[-1].position),
    )
    ((before,),) = connection.execute("SELECT requests FROM ledger WHERE id = ?", (ledger_id,))
    connection.execute(
        "UPDATE ledger SET requests = ? WHERE id = ?",
        (requests_hash(before, digest, chain[0].version, chain[-1].version), ledger_id),
    )


def _last_position(connection: sqlite3.Connection) -> Position:
    row = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'event'").fetchone()
    return Position(row[0] if row else 0)


def _row(ledger_id: int, item: Recorded) -> tuple[object, ...]:
    return (
        item.position,
        ledger_id,
        item.version,
        bytes.fromhex(item.event_id),
        to_microseconds(item.recorded_at),
        bytes.fromhex(item.correlation_id),
        bytes.fromhex(item.causation_id) if item.causation_id else None,
        item.actor,
        item.type_name,
        item.schema_version,
        item.payload,
        item.salt,
        item.payload_digest,
        item.previous_hash,
        item.hash,
    )
