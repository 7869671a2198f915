"""Read models in the log's schema: updated in the append's transaction, rebuilt from the log.

Each append applies its own events, so read models are current for each *ledger*; one checkpoint
for all ledgers would be a row that every writer waits for. Ledgers that lag, because they were
written without read models or need a rebuild, are listed in the table ``lagging`` with the last
version that was applied.

Appends hold a shared lock, a rebuild the exclusive one: it waits for open appends and blocks new
ones until it is done. Readers see the old rows meanwhile.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Protocol

from psycopg import errors

from remembrancer.adapters.stores.postgres.advisory_locks import advisory_key
from remembrancer.adapters.stores.postgres.conversations import PostgresConversations
from remembrancer.adapters.stores.postgres.existing_tables import are_there
from remembrancer.adapters.stores.postgres.fact_store import PostgresFactStore
from remembrancer.adapters.stores.postgres.failures import ADAPTER
from remembrancer.adapters.stores.postgres.position_assignment import Unnumbered, numbered, waiting
from remembrancer.adapters.stores.postgres.sessions import Connection, Reader, Sessions
from remembrancer.adapters.stores.shared.read_model_parts import (
    PAGE,
    Embed,
    Fingerprinted,
    Named,
    documents_of,
    fingerprints_of,
    rebuilt_elsewhere,
)
from remembrancer.adapters.stores.shared.sealing import NEWEST
from remembrancer.domain.errors import AdapterUnavailable, IntegrityError
from remembrancer.domain.facts.evolve import fact_ids_of
from remembrancer.domain.facts.fact import Fact, FactId, FactKey
from remembrancer.domain.ports.embedder import Vector
from remembrancer.domain.ports.read_models import OnRebuild, ReadModelsState
from remembrancer.domain.ports.vector_index import Document
from remembrancer.domain.recall.documents import context_for, to_index, touched
from remembrancer.domain.recorded import Recorded


def create_checkpoints(schema: str, _partitions: int) -> list[str]:
    """DDL of the table of fingerprints, and of the functions that take the lock."""
    key = advisory_key(schema, "read models")
    return [
        f"""
        CREATE TABLE {schema}.projection (
            name text COLLATE "C" PRIMARY KEY,
            fingerprint text NOT NULL
        )
        """,
        # Two statements, so that the second sees what was committed while the first waited.
        f"""
        CREATE FUNCTION {schema}.follow() RETURNS SETOF {schema}.projection LANGUAGE plpgsql AS $$
        BEGIN
            PERFORM pg_advisory_xact_lock_shared({key});
            RETURN QUERY SELECT * FROM {schema}.projection;
        END $$
        """,
        f"""
        CREATE FUNCTION {schema}.stop_following() RETURNS void LANGUAGE plpgsql AS $$
        BEGIN
            PERFORM pg_advisory_xact_lock({key});
        END $$
        """,
    ]


class _Tables(Protocol):
    @property
    def tables(self) -> Sequence[str]:
        """The names of the tables."""
        ...

    async def create(self, connection: Connection) -> None:
        """Create missing tables."""
        ...

    async def clear(self, connection: Connection) -> None:
        """Delete all rows."""
        ...


class EmbeddedIndex(_Tables, Fingerprinted, Protocol):
    """A vector index in the log's schema."""

    async def put_in(self, connection: Connection, documents: Sequence[Document]) -> None:
        """``put`` in the caller's transaction."""
        ...

    async def vectors_in(
        self, connection: Connection, texts: Sequence[str]
    ) -> Mapping[str, Vector]:
        """``vectors_for`` in the caller's transaction."""
        ...

    async def without_vector(self, connection: Reader, limit: int) -> Sequence[tuple[FactKey, str]]:
        """Keys and texts of documents that have no vector yet."""
        ...

    async def forget_unused_in(self, connection: Connection) -> None:
        """Delete vectors that no document uses, at the end of a rebuild."""
        ...


class Projection(_Tables, Named, Protocol):
    """A read model in the log's schema that is derived from the log alone."""

    async def apply_in(
        self, connection: Connection, ledger_id: int, chain: Sequence[Recorded]
    ) -> None:
        """Apply events of one ledger in the append's transaction."""
        ...


class LogReader(Protocol):
    """The part of the audit log that a rebuild reads."""

    async def read_ledger_in(
        self, connection: Connection, ledger_id: int, after_version: int, limit: int
    ) -> Sequence[Recorded]:
        """``AuditLog.read_ledger`` in the caller's transaction."""
        ...


class PostgresReadModels:
    """Facts, the vector index, which is derived from them, and further projections of the log.

    Args:
        sessions: database of the log.
        opening: blocking sessions on the same database, used while the memory is opened.
        facts: the facts read model.
        index: the vector index.
        embed: returns vectors for texts without waiting for other services.
        others: further read models, such as the knowledge graph.
    """

    def __init__(
        self,
        sessions: Sessions,
        opening: Sessions,
        facts: PostgresFactStore,
        index: EmbeddedIndex,
        embed: Embed,
        others: Sequence[Projection] = (),
    ) -> None:
        self._sessions = sessions
        self._opening = opening
        self._facts = facts
        self._index = index
        self._embed = embed
        self._others = others
        self.never_suspends = sessions.never_suspends

    async def begin(self, connection: Connection) -> None:
        """Join a transaction, before any other statement in it: take the shared lock and check the
        fingerprints.

        Raises:
            InvalidRequest: another process has rebuilt a read model with other settings.
            AdapterUnavailable: a rebuild is running.
        """
        try:
            cursor = await connection.execute("SELECT name, fingerprint FROM follow()")
        except errors.QueryCanceled as error:
            raise AdapterUnavailable(
                ADAPTER, "another process is rebuilding the read models; try again"
            ) from error
        found: dict[str, str] = dict(await cursor.fetchall())
        for name, fingerprint in self._fingerprints().items():
            if found.get(name) != fingerprint:
                raise rebuilt_elsewhere(name)

    async def apply(
        self, connection: Connection, ledger_id: int, chain: Sequence[Recorded]
    ) -> None:
        """Apply events of one ledger in the append's transaction."""
        changes = await self._facts.apply(connection, ledger_id, chain)
        conversations = PostgresConversations(connection, self._facts)
        versions = await conversations.settled(lambda: to_index(chain, changes, conversations))
        await self._index_all(connection, versions)
        for other in self._others:
            await other.apply_in(connection, ledger_id, chain)

    async def _index_all(
        self, connection: Connection, versions: Sequence[tuple[Fact, str]]
    ) -> None:
        if not versions:
            return
        texts = [fact.text for fact, _ in versions]
        vectors = dict(self._embed(texts))
        missing = [text for text in texts if text not in vectors]
        if missing:
            vectors.update(await self._index.vectors_in(connection, missing))
        await self._index.put_in(connection, documents_of(versions, vectors))

    async def documents(self, chain: Sequence[Recorded]) -> Sequence[tuple[Fact, str]]:
        """See ``ReadModels.documents``."""
        ids = {fact_id for item in chain for fact_id in fact_ids_of(item.event)}
        versions: dict[FactId, Sequence[Fact]] = {}
        async with self._sessions.reader() as connection:
            while ids:
                found = await self._facts.versions_in(connection, sorted(ids))
                versions |= found
                rivals = {r for all_ in found.values() for fact in all_ for r in fact.rivals}
                ids = rivals - versions.keys()
            conversations = PostgresConversations(connection, self._facts)
            return await conversations.settled(
                lambda: touched(chain, conversations, lambda fact_id: versions.get(fact_id, ()))
            )

    async def unembedded(self, limit: int) -> Sequence[str]:
        """See ``ReadModels.unembedded``."""
        async with self._sessions.glance() as connection:
            return [text for _, text in await self._index.without_vector(connection, limit)]

    async def supply(self, vectors: Mapping[str, Vector]) -> int:
        """See ``ReadModels.supply``."""
        async with self._sessions.transaction() as connection:
            await self.begin(connection)
            waits = [
                key
                for key, text in await self._index.without_vector(connection, len(vectors))
                if text in vectors
            ]
            # Lock these ledgers, so that no concurrent change is overwritten.
            await connection.execute(
                "SELECT id FROM ledger WHERE id IN "
                "(SELECT ledger_id FROM fact WHERE fact_id = ANY(%s)) ORDER BY id FOR UPDATE",
                ([fact_id for fact_id, _ in waits],),
            )
            facts = await self._facts.load_in(connection, waits)
            conversations = PostgresConversations(connection, self._facts)
            versions = await conversations.settled(
                lambda: [(fact, context_for(fact, conversations)) for fact in facts]
            )
            await self._index.put_in(connection, documents_of(versions, vectors))
        return len(facts)

    def _fingerprints(self) -> dict[str, str]:
        return fingerprints_of(self._index, self._others)

    async def catch_up(self, log: LogReader, progress: OnRebuild | None = None) -> None:
        """Catch up with the log: apply missing events if the read models can be trusted, rebuild
        them if not. Never suspends.

        Other processes that open the database meanwhile wait until it is done; writers wait until
        their statement timeout.

        Raises:
            InvalidRequest: events are sealed, and there is no key vault.
            Erased: the key vault has no key for them.
        """
        async with self._opening.reader() as connection:
            if await self._trusted(connection) and not await _lagging(connection):
                for ledger_id, last in await _newest(connection):
                    # Damaged events are reported by verify.
                    with suppress(IntegrityError):
                        after = max(0, last - NEWEST)
                        await log.read_ledger_in(connection, ledger_id, after, NEWEST)
                return
        async with self._opening.transaction(patient=True) as connection:
            await connection.execute("SELECT stop_following()")
            trusted = await self._trusted(connection)
            if not trusted:
                await self._start_over(connection)
            behind = await _lagging(connection)
            total = sum(last - version for _, version, last in behind)
            done = 0
            for ledger_id, version, last in behind:
                after = version
                while after < last:
                    page = await log.read_ledger_in(connection, ledger_id, after, PAGE)
                    await self.apply(connection, ledger_id, page)
                    done += len(page)
                    after = page[-1].version
                    if progress is not None:
                        progress("rebuilding read models", done, total)
            await connection.execute("DELETE FROM lagging")
            if not trusted:
                await self._index.forget_unused_in(connection)

    async def state(self) -> ReadModelsState:
        """``current``; ``behind`` if the log has more events; ``damaged`` if the read models were
        built by another version or for another embedder, or a table is missing. ``catch_up``
        repairs both.
        """
        async with self._sessions.reader() as connection:
            if not await self._trusted(connection):
                return "damaged"
            return "behind" if await _lagging(connection) else "current"

    async def _start_over(self, connection: Connection) -> None:
        for model in self._models():
            await model.create(connection)
            await model.clear(connection)
        await connection.execute("DELETE FROM projection")
        await connection.executemany(
            "INSERT INTO projection VALUES (%s, %s)", self._fingerprints().items()
        )
        await connection.execute(
            "INSERT INTO lagging SELECT id, 0 FROM ledger "
            "ON CONFLICT (ledger_id) DO UPDATE SET version = 0"
        )

    async def _trusted(self, connection: Connection) -> bool:
        """Whether all fingerprints are equal to the current ones and all tables exist."""
        cursor = await connection.execute("SELECT name, fingerprint FROM projection")
        if dict(await cursor.fetchall()) != self._fingerprints():
            return False
        return await are_there(
            connection, [table for model in self._models() for table in model.tables]
        )

    def _models(self) -> tuple[_Tables, ...]:
        return (self._facts, self._index, *self._others)

    async def positions(self) -> Mapping[str, int]:
        """See ``ReadModels.positions``: up to it every event of every ledger was applied."""

        async def read(connection: Connection) -> int:
            if await waiting(connection):
                raise Unnumbered
            cursor = await connection.execute(
                "SELECT coalesce((SELECT min(known_position(id, lagging.version + 1)) - 1 "
                "FROM lagging JOIN ledger ON id = ledger_id "
                "WHERE lagging.version < ledger.version), max(last_position), 0) FROM place"
            )
            row = await cursor.fetchone()
            return int(row[0]) if row else 0

        return dict.fromkeys(self._fingerprints(), await numbered(self._sessions, read))


async def _newest(connection: Connection) -> Sequence[tuple[int, int]]:
    """Id and last version of the ledger that was written last; empty for a new log."""
    cursor = await connection.execute(
        "SELECT ledger_id, last_version FROM place ORDER BY last_position DESC LIMIT 1"
    )
    return [(ledger_id, last) for ledger_id, last in await cursor.fetchall()]


async def _lagging(connection: Connection) -> list[tuple[int, int, int]]:
    """Ledgers that lag: id, last version that was applied, last version in the log."""
    cursor = await connection.execute(
        "SELECT id, lagging.version, ledger.version FROM lagging "
        "JOIN ledger ON id = ledger_id ORDER BY id"
    )
    return [(ledger_id, version, last) for ledger_id, version, last in await cursor.fetchall()]
