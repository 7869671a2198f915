"""The fact store on PostgreSQL: its tables, and the statements that only PostgreSQL has.

``shared.fact_scripts`` has all else. Events have no position yet when they are applied, so their
version gives the order within a ledger.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import ClassVar, TypeVar
from uuid import UUID

from remembrancer.adapters.stores.postgres.filters import searchable, to_sql
from remembrancer.adapters.stores.postgres.run_script import run_script
from remembrancer.adapters.stores.postgres.sessions import Connection, Reader, Sessions
from remembrancer.adapters.stores.shared.fact_scripts import (
    COLUMNS,
    FACT_INDEXES,
    FILTER_COLUMNS,
    FactScripts,
)
from remembrancer.adapters.stores.shared.scripts import Row, Script, Statement
from remembrancer.domain.conversation import Message
from remembrancer.domain.facts.evolve import FactChange
from remembrancer.domain.facts.fact import Fact, FactId, FactKey, MessageId
from remembrancer.domain.filters.ast import Filter
from remembrancer.domain.ports.codec import Codec
from remembrancer.domain.ports.fact_store import FactQuery, Tally
from remembrancer.domain.recorded import CorrelationId, Recorded
from remembrancer.domain.scope import LedgerId, Scope

T = TypeVar("T")

_FILTER_COLUMNS = {
    **FILTER_COLUMNS,
    **{name: f"body ->> '{name}'" for name in ("kind", "speaker", "text")},
    "entities": "(body -> 'entities')::jsonb",
}

_BLOCKED = "recorded_to IS NULL AND status = 'retracted' AND (body ->> 'blocked') = 'true'"

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
        ending bytea,
        slot text,
        occurred_at bigint NOT NULL,
        created_at bigint NOT NULL,
        valid_from bigint, valid_to bigint, gaps bigint[],
        recorded_from bigint, recorded_to bigint,
        expires_at bigint,
        rivals integer NOT NULL,
        metadata jsonb NOT NULL,
        body json NOT NULL
    )
    """,
    # Of an earlier release, whose rows are replaced. ``ADD COLUMN IF NOT EXISTS`` alone would lock
    # readers out until a rebuild ends, even where the column exists.
    """
    DO $$ BEGIN
        IF NOT EXISTS (
            SELECT 1 FROM pg_catalog.pg_attribute
            WHERE attrelid = 'fact'::regclass AND attname = 'ending' AND NOT attisdropped
        ) THEN
            ALTER TABLE fact ADD COLUMN ending bytea;
        END IF;
    END $$
    """,
    *(f"CREATE {index}" for index in FACT_INDEXES),
    f"CREATE INDEX IF NOT EXISTS fact_blocked ON fact (ledger_id) WHERE {_BLOCKED}",
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
    CREATE TABLE IF NOT EXISTS pipeline (
        ledger_id bigint, digest text COLLATE "C", PRIMARY KEY (ledger_id, digest)
    )
    """,
    """
    CREATE TABLE IF NOT EXISTS evidence (
        message_id text COLLATE "C", fact_id text COLLATE "C", PRIMARY KEY (message_id, fact_id)
    )
    """,
)


class PostgresFactScripts(FactScripts):
    """The scripts of the fact store on PostgreSQL."""

    body: ClassVar[str] = "body::text"
    columns: ClassVar[Sequence[str]] = (*COLUMNS, "metadata")
    place: ClassVar[str] = "version"
    events: ClassVar[str] = "message JOIN event USING (ledger_id, version)"
    position: ClassVar[str] = "known_position(event.ledger_id, event.version)"
    bounds: ClassVar[str] = "unnest(gaps) AS bound (value)"
    is_blocked: ClassVar[str] = _BLOCKED

    @staticmethod
    def id_of(stored: UUID) -> str:
        return stored.hex

    def row(self, ledger_id: int, fact: Fact) -> tuple[object, ...]:
        return (*super().row(ledger_id, fact), searchable(fact.metadata))

    def any_of(self, column: str, values: Sequence[object]) -> Iterator[tuple[str, object]]:
        if values:
            yield f"{column} = ANY(%s)", list(values)

    def newest(self, ledger_id: int, ids: Sequence[FactId]) -> Iterator[Statement]:
        if ids:
            yield Statement(
                "SELECT DISTINCT ON (fact_id) body::text FROM fact "
                "WHERE fact_id = ANY(%s) AND ledger_id = %s ORDER BY fact_id, version DESC",
                (list(ids), ledger_id),
            )

    def loading(self, keys: Sequence[FactKey]) -> Statement:
        return Statement(
            "SELECT body::text FROM unnest(%s::text[], %s::int[]) WITH ORDINALITY "
            "AS wanted (fact_id, version, place) JOIN fact USING (fact_id, version) "
            "ORDER BY wanted.place",
            ([fact_id for fact_id, _ in keys], [version for _, version in keys]),
        )

    @staticmethod
    def listed(numbers: Sequence[int]) -> list[int]:
        return list(numbers)

    def condition(self, where: Filter) -> tuple[str, list[object]]:
        return to_sql(where, _FILTER_COLUMNS, "metadata")


class PostgresFactStore:
    """``FactStore`` on sessions; the audit log's adapter applies events to it."""

    tables = ("fact", "message", "evidence", "pipeline")

    def __init__(self, sessions: Sessions, codec: Codec) -> None:
        self._sessions = sessions
        self._scripts = PostgresFactScripts(codec)
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
        """See ``FactScripts.apply``."""
        return await run_script(connection, self._scripts.apply(ledger_id, chain))

    def message(self, row: Row) -> Message | None:
        """See ``FactScripts.message``."""
        return self._scripts.message(row)

    async def versions_in(
        self, connection: Reader, fact_ids: Sequence[FactId]
    ) -> Mapping[FactId, Sequence[Fact]]:
        """``versions`` of several facts, in the caller's transaction."""
        found: dict[FactId, list[Fact]] = {}
        for fact in await run_script(connection, self._scripts.versions(fact_ids)):
            found.setdefault(fact.fact_id, []).append(fact)
        return found

    async def load_in(self, connection: Reader, keys: Sequence[FactKey]) -> list[Fact]:
        """``load`` in the caller's transaction."""
        return await run_script(connection, self._scripts.load(keys))

    async def citing_in(
        self, connection: Reader, message_ids: Sequence[MessageId]
    ) -> list[tuple[MessageId, Fact]]:
        """All versions of the facts whose evidence names one of the messages."""
        return await run_script(connection, self._scripts.citing(message_ids))

    async def _glance(self, script: Script[T]) -> T:
        """Run a script of one statement."""
        async with self._sessions.glance() as connection:
            return await run_script(connection, script)

    async def _read(self, script: Script[T]) -> T:
        async with self._sessions.reader() as connection:
            return await run_script(connection, script)

    async def versions(self, fact_id: FactId) -> Sequence[Fact]:
        """See ``FactStore.versions``."""
        return await self._glance(self._scripts.versions([fact_id]))

    async def load(self, keys: Sequence[FactKey]) -> Sequence[Fact]:
        """See ``FactStore.load``."""
        return await self._glance(self._scripts.load(keys)) if keys else []

    async def find(self, query: FactQuery) -> Sequence[Fact]:
        """See ``FactStore.find``."""
        return await self._glance(self._scripts.find(query))

    async def count(self, query: FactQuery) -> int:
        """See ``FactStore.count``."""
        return await self._glance(self._scripts.count(query))

    async def active(
        self, ledger: LedgerId, texts: Sequence[str], slots: Sequence[str]
    ) -> Sequence[Fact]:
        """See ``FactStore.active``."""
        return await self._read(self._scripts.active(ledger, texts, slots))

    async def endings(self, ledger: LedgerId, keys: Sequence[str]) -> Sequence[Fact]:
        """See ``FactStore.endings``."""
        return await self._read(self._scripts.endings(ledger, keys))

    async def in_slots(self, ledger: LedgerId, slots: Sequence[str]) -> Sequence[Fact]:
        """See ``FactStore.in_slots``."""
        return await self._read(self._scripts.in_slots(ledger, slots))

    async def blocked(self, ledger: LedgerId) -> Sequence[Fact]:
        """See ``FactStore.blocked``."""
        return await self._glance(self._scripts.blocked(ledger))

    async def active_in(self, scope: Scope) -> Sequence[Fact]:
        """See ``FactStore.active_in``."""
        return await self._glance(self._scripts.active_in(scope))

    async def due(self, ledger: LedgerId, now: datetime) -> Sequence[Fact]:
        """See ``FactStore.due``."""
        return await self._glance(self._scripts.due(ledger, now))

    async def pending(self, ledger: LedgerId | None, limit: int = 1000) -> Sequence[Message]:
        """See ``FactStore.pending``."""
        return await self._glance(self._scripts.pending(ledger, limit))

    async def unfinished(
        self, ledger: LedgerId | None, limit: int = 1000
    ) -> Sequence[CorrelationId]:
        """See ``FactStore.unfinished``."""
        return await self._glance(self._scripts.unfinished(ledger, limit))

    async def messages(self, ledger: LedgerId, ids: Sequence[MessageId]) -> Sequence[Message]:
        """See ``FactStore.messages``."""
        return await self._glance(self._scripts.messages(ledger, ids)) if ids else []

    async def has_pipeline(self, ledger: LedgerId, digest: str) -> bool:
        """See ``FactStore.has_pipeline``."""
        return await self._read(self._scripts.has_pipeline(ledger, digest))

    async def tally(self, ledger: LedgerId | None) -> Tally:
        """See ``FactStore.tally``."""
        return await self._read(self._scripts.tally(ledger))
