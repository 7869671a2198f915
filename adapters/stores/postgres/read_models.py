"""Read models in the log's schema: updated in the append's transaction, rebuilt from the log on
request.

Each append applies its own events, so read models are current for each *ledger*; one checkpoint
for all ledgers would be a row that every writer waits for. Ledgers that lag, because they were
written without read models or are being rebuilt, are listed in the table ``lagging`` with the last
version that was applied.

Appends hold a shared lock, a rebuild the exclusive one: it waits for open appends and blocks new
ones until it is done. Readers see the old rows meanwhile.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, Protocol, TypeAlias

from psycopg import errors

from remembrancer.adapters.index_scoring.line_analysis import LineAnalysis
from remembrancer.adapters.stores.postgres.advisory_locks import advisory_key
from remembrancer.adapters.stores.postgres.conversations import PostgresConversations
from remembrancer.adapters.stores.postgres.existing_tables import any_is_there, are_there
from remembrancer.adapters.stores.postgres.fact_store import PostgresFactStore
from remembrancer.adapters.stores.postgres.failures import ADAPTER
from remembrancer.adapters.stores.postgres.position_assignment import Unnumbered, numbered, waiting
from remembrancer.adapters.stores.postgres.sessions import Connection, Reader, Sessions
from remembrancer.adapters.stores.shared.read_model_parts import (
    LABEL,
    PAGE,
    Embed,
    Fingerprinted,
    Named,
    damaged,
    documents_of,
    fingerprints_of,
    refused,
)
from remembrancer.adapters.stores.shared.sealing import NEWEST
from remembrancer.domain.errors import AdapterUnavailable, IntegrityError, InvalidRequest
from remembrancer.domain.facts.evolve import fact_ids_of
from remembrancer.domain.facts.fact import Fact, FactId, FactKey
from remembrancer.domain.ports.embedder import Vector
from remembrancer.domain.ports.read_models import OnRebuild, ReadModelsState, Refusal
from remembrancer.domain.ports.vector_index import Document
from remembrancer.domain.recall.documents import (
    context_for,
    texts_to_analyse,
    to_index,
    touched,
)
from remembrancer.domain.recorded import Append, Recorded

Terms: TypeAlias = LineAnalysis[Any, Any]
"""The terms of texts, in the form in which the index stores them."""


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

    def terms(self) -> Terms:
        """The terms of texts for ``put_in``, which can be prepared before the transaction."""
        ...

    async def put_in(
        self,
        connection: Connection,
        documents: Sequence[Document],
        terms: Terms | None = None,
    ) -> None:
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
            InvalidRequest: another embedder or release made the read models.
            AdapterUnavailable: a rebuild is running.
        """
        try:
            cursor = await connection.execute("SELECT name, fingerprint FROM follow()")
        except errors.QueryCanceled as error:
            raise AdapterUnavailable(
                ADAPTER, "another process is rebuilding the read models; try again"
            ) from error
        refusal = refused(dict(await cursor.fetchall()), self.fingerprints())
        if refusal is not None:
            raise refusal

    async def claim(self) -> bool:
        """Take the read models of an empty log over, since it has nothing to lose: the first write
        decides on their fingerprints, not the first opening. Returns whether they were.
        """
        async with self._sessions.transaction(patient=True) as connection:
            await connection.execute("SELECT stop_following()")
            if await _holds_events(connection):
                return False
            await self._start_over(connection)
        return True

    async def prepare(self, append: Append) -> Terms:
        """Analyse the texts that the append will index, before it locks its ledger."""
        events = [new.event for new in append.events]
        async with self._sessions.glance() as connection:
            conversations = PostgresConversations(connection, self._facts)
            texts = await conversations.settled(lambda: texts_to_analyse(events, conversations))
        terms = self._index.terms()
        terms.prepare(texts)
        return terms

    async def apply(
        self,
        connection: Connection,
        ledger_id: int,
        chain: Sequence[Recorded],
        prepared: Terms | None = None,
    ) -> None:
        """Apply events of one ledger in the append's transaction.

        Args:
            connection: that of the transaction.
            ledger_id: the ledger.
            chain: the events.
            prepared: the result of ``prepare``; what is missing in it is analysed here.
        """
        changes = await self._facts.apply(connection, ledger_id, chain)
        conversations = PostgresConversations(connection, self._facts)
        versions = await conversations.settled(lambda: to_index(chain, changes, conversations))
        await self._index_all(connection, versions, prepared)
        for other in self._others:
            await other.apply_in(connection, ledger_id, chain)

    async def _index_all(
        self,
        connection: Connection,
        versions: Sequence[tuple[Fact, str]],
        terms: Terms | None,
    ) -> None:
        if not versions:
            return
        texts = [fact.text for fact, _ in versions]
        vectors = dict(self._embed(texts))
        missing = [text for text in texts if text not in vectors]
        if missing:
            vectors.update(await self._index.vectors_in(connection, missing))
        await self._index.put_in(connection, documents_of(versions, vectors), terms)

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
        """See ``ReadModels.supply``.

        Raises:
            InvalidRequest: another embedder or release made the read models.
        """
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

    def fingerprints(self) -> dict[str, str]:
        """The fingerprint of each read model of this memory, by name."""
        return fingerprints_of(self._index, self._others)

    async def catch_up(self, log: LogReader, progress: OnRebuild | None = None) -> Refusal | None:
        """See ``CatchesUp.catch_up``. Never suspends. The rest of the log is applied in bounded
        transactions; writers wait for one of them at most.

        Raises:
            InvalidRequest: events are sealed, and there is no key vault.
            Erased: the key vault has no key for them.
        """
        await self._create_missing()
        async with self._opening.reader() as connection:
            refusal = await self._refusal(connection)
            behind = [] if refusal is not None else await _lagging(connection)
            if not behind:
                for ledger_id, last in await _newest(connection):
                    # Damaged events are reported by verify.
                    with suppress(IntegrityError):
                        after = max(0, last - NEWEST)
                        await log.read_ledger_in(connection, ledger_id, after, NEWEST)
        done, total = 0, sum(last - version for _, version, last in behind)
        for ledger_id, _, _ in behind:
            while applied := await self._apply_next(log, ledger_id):
                done += applied
                if progress is not None:
                    progress(LABEL, done, total)
        return refusal

    async def _create_missing(self) -> None:
        async with self._opening.reader() as connection:
            absent = await self._absent(connection)
        if absent:
            async with self._opening.transaction(patient=True) as connection:
                await connection.execute("SELECT stop_following()")
                # Another process may have been faster.
                if await self._absent(connection):
                    await self._start_over(connection)

    async def _apply_next(self, log: LogReader, ledger_id: int) -> int:
        """Apply the next page of a ledger that lags; returns the number of events."""
        async with self._opening.transaction(patient=True) as connection:
            await connection.execute("SELECT stop_following()")
            refusal = await self._refusal(connection)
            if refusal is not None:
                raise refusal
            return await self._apply_page(connection, log, ledger_id)

    async def _apply_page(self, connection: Connection, log: LogReader, ledger_id: int) -> int:
        cursor = await connection.execute(
            "SELECT version FROM lagging WHERE ledger_id = %s", (ledger_id,)
        )
        # Another process may have applied the rest.
        for (version,) in await cursor.fetchall():
            page = await log.read_ledger_in(connection, ledger_id, version, PAGE)
            if page:
                await self.apply(connection, ledger_id, page)
                await connection.execute(
                    "UPDATE lagging SET version = %s WHERE ledger_id = %s",
                    (page[-1].version, ledger_id),
                )
            if len(page) < PAGE:
                await connection.execute("DELETE FROM lagging WHERE ledger_id = %s", (ledger_id,))
            return len(page)
        return 0

    async def rebuild(self, log: LogReader, progress: OnRebuild | None = None) -> None:
        """See ``Rebuildable.rebuild``. Writers wait until their statement timeout."""
        async with self._sessions.transaction(patient=True) as connection:
            await connection.execute("SELECT stop_following()")
            await self._start_over(connection)
            behind = await _lagging(connection)
            done, total = 0, sum(last - version for _, version, last in behind)
            for ledger_id, _, _ in behind:
                while applied := await self._apply_page(connection, log, ledger_id):
                    done += applied
                    if progress is not None:
                        progress(LABEL, done, total)
            await self._index.forget_unused_in(connection)

    async def state(self) -> ReadModelsState:
        """See ``HasState.state``."""
        async with self._sessions.reader() as connection:
            refusal = await self._refusal(connection)
            if refusal is not None:
                return "different" if isinstance(refusal, InvalidRequest) else "damaged"
            return "behind" if await _lagging(connection) else "current"

    async def refusal(self) -> Refusal | None:
        """See ``HasState.refusal``."""
        async with self._sessions.reader() as connection:
            return await self._refusal(connection)

    async def _refusal(self, connection: Connection) -> Refusal | None:
        if await self._absent(connection):
            return None
        refusal = refused(await _stored(connection), self.fingerprints())
        if refusal is not None:
            return refusal if await _holds_events(connection) else None
        there = await are_there(connection, self._tables())
        return None if there else damaged("a table is missing")

    async def _absent(self, connection: Connection) -> bool:
        """Whether there is no fingerprint, and no table with rows to lose."""
        return not await _stored(connection) and not await any_is_there(connection, self._tables())

    async def _start_over(self, connection: Connection) -> None:
        for model in self._models():
            await model.create(connection)
            await model.clear(connection)
        await connection.execute("DELETE FROM projection")
        await connection.executemany(
            "INSERT INTO projection VALUES (%s, %s)", self.fingerprints().items()
        )
        await connection.execute(
            "INSERT INTO lagging SELECT id, 0 FROM ledger "
            "ON CONFLICT (ledger_id) DO UPDATE SET version = 0"
        )

    def _tables(self) -> list[str]:
        return [table for model in self._models() for table in model.tables]

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

        return dict.fromkeys(self.fingerprints(), await numbered(self._sessions, read))


async def _stored(connection: Connection) -> dict[str, str]:
    """The fingerprints in the database, by name."""
    cursor = await connection.execute("SELECT name, fingerprint FROM projection")
    return dict(await cursor.fetchall())


async def _holds_events(connection: Connection) -> bool:
    cursor = await connection.execute("SELECT EXISTS (SELECT FROM ledger WHERE version > 0)")
    return await cursor.fetchall() == [(True,)]


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
