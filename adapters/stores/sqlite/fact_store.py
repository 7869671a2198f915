"""The fact store on SQLite: its tables, and the statements that only SQLite has.

``shared.fact_scripts`` has all else.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, ClassVar, TypeVar

import msgspec

from remembrancer.adapters.stores.shared.fact_scripts import (
    FACT_INDEXES,
    FILTER_COLUMNS,
    FactScripts,
)
from remembrancer.adapters.stores.shared.scripts import Row, Script, Statement
from remembrancer.adapters.stores.sqlite.database import Database
from remembrancer.adapters.stores.sqlite.filters import to_sql
from remembrancer.adapters.stores.sqlite.ledger_parts import by_ledger
from remembrancer.adapters.stores.sqlite.run_script import run_script
from remembrancer.adapters.stores.sqlite.schema_sql import create
from remembrancer.domain.conversation import Message
from remembrancer.domain.facts.evolve import FactChange
from remembrancer.domain.facts.fact import Fact, FactId, FactKey, MessageId
from remembrancer.domain.filters.ast import Filter
from remembrancer.domain.ports.codec import Codec
from remembrancer.domain.ports.fact_store import FactQuery, Tally
from remembrancer.domain.recorded import CorrelationId, Recorded
from remembrancer.domain.scope import LedgerId, Scope

if TYPE_CHECKING:
    import sqlite_utils

T = TypeVar("T")

_FILTER_COLUMNS = {
    **FILTER_COLUMNS,
    **{name: f"json_extract(body, '$.{name}')" for name in ("kind", "speaker", "text", "entities")},
}

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
            "ending": bytes,
            "slot": str,
            "occurred_at": int,
            "created_at": int,
            "valid_from": int,
            "valid_to": int,
            "gaps": str,
            "recorded_from": int,
            "recorded_to": int,
            "expires_at": int,
            "rivals": int,
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
    "pipeline": ({"ledger_id": int, "digest": str}, ("ledger_id", "digest")),
    "evidence": ({"message_id": str, "fact_id": str}, ("message_id", "fact_id")),
}

_BLOCKED = "recorded_to IS NULL AND status = 'retracted' AND json_extract(body, '$.blocked')"

_INDEXES = (
    *FACT_INDEXES,
    f"INDEX IF NOT EXISTS fact_blocked ON fact (ledger_id) WHERE {_BLOCKED}",
    "UNIQUE INDEX IF NOT EXISTS message_id ON message (message_id)",
    "INDEX IF NOT EXISTS message_neighbours ON message (ledger_id, conversation, position)",
    "INDEX IF NOT EXISTS message_pending ON message (ledger_id, position) WHERE pending",
)


def _define(schema: sqlite_utils.Database) -> None:
    for name, (columns, key) in _TABLES.items():
        schema.table(name).create(columns, pk=key, if_not_exists=True)
    for index in _INDEXES:
        schema.execute(f"CREATE {index}")


class SqliteFactScripts(FactScripts):
    """The scripts of the fact store on SQLite."""

    body: ClassVar[str] = "body"
    place: ClassVar[str] = "position"
    events: ClassVar[str] = "message JOIN event USING (position)"
    position: ClassVar[str] = "position"
    bounds: ClassVar[str] = "json_each(gaps)"
    is_blocked: ClassVar[str] = _BLOCKED

    @staticmethod
    def id_of(stored: bytes) -> str:
        return stored.hex()

    def any_of(self, column: str, values: Sequence[object]) -> Iterator[tuple[str, object]]:
        return ((f"{column} = %s", value) for value in values)

    def newest(self, ledger_id: int, ids: Sequence[FactId]) -> Iterator[Statement]:
        return (
            Statement(
                "SELECT body FROM fact WHERE fact_id = %s AND ledger_id = %s "
                "ORDER BY version DESC LIMIT 1",
                (fact_id, ledger_id),
            )
            for fact_id in ids
        )

    def loading(self, keys: Sequence[FactKey]) -> Statement:
        return Statement(
            "SELECT body FROM json_each(%s) AS wanted CROSS JOIN fact "
            "ON fact_id = json_extract(wanted.value, '$[0]') "
            "AND version = json_extract(wanted.value, '$[1]') ORDER BY wanted.key",
            (msgspec.json.encode(keys).decode(),),
        )

    @staticmethod
    def listed(numbers: Sequence[int]) -> str:
        return msgspec.json.encode(numbers).decode()

    def condition(self, where: Filter) -> tuple[str, list[object]]:
        # Its parameters are marked ``?``, which SQLite accepts as well.
        return to_sql(where, _FILTER_COLUMNS, "json_extract(body, '$.metadata')")


class SqliteFactStore:
    """``FactStore`` on a ``Database``; ``SqliteReadModels`` applies events to it."""

    def __init__(self, database: Database, codec: Codec) -> None:
        self._database = database
        self._scripts = SqliteFactScripts(codec)

    def apply(self, connection: sqlite3.Connection, chain: Sequence[Recorded]) -> list[FactChange]:
        """Apply events inside the append's transaction.

        Returns:
            The changes of facts, for the read models that depend on them.
        """
        return [
            change
            for ledger_id, part in by_ledger(connection, chain)
            for change in run_script(connection, self._scripts.apply(ledger_id, part))
        ]

    def create(self, connection: sqlite3.Connection) -> None:
        """Create the tables and indexes that are missing. A table of another release is replaced,
        because its rows come from the log.
        """
        for table, (columns, _) in _TABLES.items():
            held = {name for _, name, *_ in connection.execute(f"PRAGMA table_info({table})")}
            if held != columns.keys():
                connection.execute(f"DROP TABLE IF EXISTS {table}")
        create(connection, _define)

    def count_in(self, connection: sqlite3.Connection) -> int:
        """The number of fact versions. Raises ``OperationalError`` if a table is missing."""
        count: int = connection.execute(
            "SELECT (SELECT count(*) FROM fact), EXISTS (SELECT 1 FROM message), "
            "EXISTS (SELECT 1 FROM evidence), EXISTS (SELECT 1 FROM pipeline)"
        ).fetchone()[0]
        return count

    def clear(self, connection: sqlite3.Connection) -> None:
        """Delete all rows, before a rebuild."""
        for table in _TABLES:
            connection.execute(f"DELETE FROM {table}")

    def message(self, row: Row) -> Message | None:
        """See ``FactScripts.message``."""
        return self._scripts.message(row)

    def versions_in(self, connection: sqlite3.Connection, fact_id: FactId) -> list[Fact]:
        """Same as ``versions``, on the given connection."""
        return run_script(connection, self._scripts.versions([fact_id]))

    def citing_in(self, connection: sqlite3.Connection, message_id: MessageId) -> list[Fact]:
        """All versions of the facts whose evidence names a message."""
        return [fact for _, fact in run_script(connection, self._scripts.citing([message_id]))]

    def load_in(self, connection: sqlite3.Connection, keys: Sequence[FactKey]) -> list[Fact]:
        """Same as ``load``, on the given connection."""
        return run_script(connection, self._scripts.load(keys))

    def _read(self, script: Script[T]) -> T:
        with self._database.reader() as connection:
            return run_script(connection, script)

    def versions(self, fact_id: FactId) -> Sequence[Fact]:
        """See ``FactStore.versions``."""
        return self._read(self._scripts.versions([fact_id]))

    def load(self, keys: Sequence[FactKey]) -> Sequence[Fact]:
        """See ``FactStore.load``."""
        return self._read(self._scripts.load(keys)) if keys else []

    def find(self, query: FactQuery) -> Sequence[Fact]:
        """See ``FactStore.find``."""
        return self._read(self._scripts.find(query))

    def count(self, query: FactQuery) -> int:
        """See ``FactStore.count``."""
        return self._read(self._scripts.count(query))

    def active(
        self, ledger: LedgerId, texts: Sequence[str], slots: Sequence[str]
    ) -> Sequence[Fact]:
        """See ``FactStore.active``."""
        return self._read(self._scripts.active(ledger, texts, slots))

    def endings(self, ledger: LedgerId, keys: Sequence[str]) -> Sequence[Fact]:
        """See ``FactStore.endings``."""
        return self._read(self._scripts.endings(ledger, keys))

    def in_slots(self, ledger: LedgerId, slots: Sequence[str]) -> Sequence[Fact]:
        """See ``FactStore.in_slots``."""
        return self._read(self._scripts.in_slots(ledger, slots))

    def blocked(self, ledger: LedgerId) -> Sequence[Fact]:
        """See ``FactStore.blocked``."""
        return self._read(self._scripts.blocked(ledger))

    def active_in(self, scope: Scope) -> Sequence[Fact]:
        """See ``FactStore.active_in``."""
        return self._read(self._scripts.active_in(scope))

    def due(self, ledger: LedgerId, now: datetime) -> Sequence[Fact]:
        """See ``FactStore.due``."""
        return self._read(self._scripts.due(ledger, now))

    def pending(self, ledger: LedgerId | None, limit: int = 1000) -> Sequence[Message]:
        """See ``FactStore.pending``."""
        return self._read(self._scripts.pending(ledger, limit))

    def unfinished(self, ledger: LedgerId | None, limit: int = 1000) -> Sequence[CorrelationId]:
        """See ``FactStore.unfinished``."""
        return self._read(self._scripts.unfinished(ledger, limit))

    def messages(self, ledger: LedgerId, ids: Sequence[MessageId]) -> Sequence[Message]:
        """See ``FactStore.messages``."""
        return self._read(self._scripts.messages(ledger, ids))

    def has_pipeline(self, ledger: LedgerId, digest: str) -> bool:
        """See ``FactStore.has_pipeline``."""
        return self._read(self._scripts.has_pipeline(ledger, digest))

    def tally(self, ledger: LedgerId | None) -> Tally:
        """See ``FactStore.tally``."""
        return self._read(self._scripts.tally(ledger))
