"""The read models in the log's own schema: fed in the append's transaction, rebuilt from the log.

Every append takes in its own events, so that read models always stand where each *ledger* ends; a
position for all of them would be one row that every writer waits for. The ledgers of which that is
not true, because they were written without read models or have to be rebuilt, are listed in the
table ``lagging``, each with the version that was taken in last.

Appends share a lock that a rebuild has to itself: it waits for those that are open, and holds up
new ones until it is done. Whoever reads meanwhile sees what was there before.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Protocol, TypeAlias

from psycopg import errors

from remembrancer.adapters.stores.postgres.advisory_locks import advisory_key
from remembrancer.adapters.stores.postgres.conversations import PostgresConversations
from remembrancer.adapters.stores.postgres.existing_tables import are_there
from remembrancer.adapters.stores.postgres.fact_store import PostgresFactStore
from remembrancer.adapters.stores.postgres.failures import ADAPTER
from remembrancer.adapters.stores.postgres.position_assignment import Unnumbered, numbered, waiting
from remembrancer.adapters.stores.postgres.sessions import Connection, Reader, Sessions
from remembrancer.adapters.stores.shared.sealing import NEWEST
from remembrancer.domain.errors import AdapterUnavailable, IntegrityError, InvalidRequest
from remembrancer.domain.facts.evolve import fact_id_of
from remembrancer.domain.facts.fact import Fact, FactKey
from remembrancer.domain.ports.embedder import Vector
from remembrancer.domain.ports.vector_index import Document
from remembrancer.domain.recall.documents import context_for, document_of, to_index, touched
from remembrancer.domain.recorded import Recorded

FACTS = "facts"
INDEX = "index"
FACTS_FINGERPRINT = "1"
PAGE = 500

Progress: TypeAlias = Callable[[str, int, int], None]
"""Called while a rebuild runs: with what is being done, how much is done, and how much there is."""

Embed: TypeAlias = Callable[[Sequence[str]], Mapping[str, Vector]]
"""The vectors that are at hand for texts; a text without one is embedded later."""


def create_checkpoints(schema: str, _partitions: int) -> list[str]:
    """The table of what made the read models, and the function that takes part in a transaction."""
    key = advisory_key(schema, "read models")
    return [
        f"""
        CREATE TABLE {schema}.projection (
            name text COLLATE "C" PRIMARY KEY,
            fingerprint text NOT NULL
        )
        """,
        # Two statements, so that the second sees what was committed while the first one waited.
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
        """Make the tables, where they are missing."""
        ...

    async def clear(self, connection: Connection) -> None:
        """Drop all rows."""
        ...


class EmbeddedIndex(_Tables, Protocol):
    """A vector index that lives in the log's own schema."""

    @property
    def fingerprint(self) -> str:
        """Changes whenever documents would be stored differently, as with another embedder."""
        ...

    async def put_in(self, connection: Connection, documents: Sequence[Document]) -> None:
        """``put`` inside a transaction."""
        ...

    async def vectors_in(
        self, connection: Connection, texts: Sequence[str]
    ) -> Mapping[str, Vector]:
        """``vectors_for`` inside a transaction."""
        ...

    async def without_vector(self, connection: Reader, limit: int) -> Sequence[tuple[FactKey, str]]:
        """Documents that wait to be embedded, with their texts."""
        ...

    async def forget_unused_in(self, connection: Connection) -> None:
        """Delete the vectors that no document has, at the end of a rebuild."""
        ...


class Projection(_Tables, Protocol):
    """A read model in the log's own schema that follows from the log alone."""

    @property
    def name(self) -> str:
        """What it goes by."""
        ...

    @property
    def fingerprint(self) -> str:
        """Changes whenever its rows would be others."""
        ...

    async def apply_in(
        self, connection: Connection, ledger_id: int, chain: Sequence[Recorded]
    ) -> None:
        """Take in events of one ledger inside the append's transaction."""
        ...


class LogReader(Protocol):
    """What a rebuild reads."""

    async def read_ledger_in(
        self, connection: Connection, ledger_id: int, after_version: int, limit: int
    ) -> Sequence[Recorded]:
        """``AuditLog.read_ledger`` inside a transaction."""
        ...


class PostgresReadModels:
    """Facts and index together, since the index follows from the facts; and whatever else follows
    the log.

    Args:
        sessions: where the log is.
        opening: the same place, for what is done while the memory is being opened.
        facts: the facts read model.
        index: the index.
        embed: vectors for texts, quickly and without waiting for anybody.
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
        """Take part in a transaction, before anything else is done in it.

        Raises:
            InvalidRequest: another process has rebuilt a read model with other settings.
            AdapterUnavailable: they are being rebuilt.
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
                raise InvalidRequest(
                    "embedder",
                    f"another process has rebuilt the {name} read model with other settings; "
                    "open the database again with those",
                )

    async def apply(
        self, connection: Connection, ledger_id: int, chain: Sequence[Recorded]
    ) -> None:
        """Take in events of one ledger inside the append's transaction."""
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
        await self._index.put_in(
            connection,
            [
                document_of(fact, context=context, vector=vectors.get(fact.text))
                for fact, context in versions
            ],
        )

    async def documents(self, chain: Sequence[Recorded]) -> Sequence[tuple[Fact, str]]:
        """See ``ReadModels.documents``."""
        ids = {fact_id for item in chain if (fact_id := fact_id_of(item.event)) is not None}
        async with self._sessions.reader() as connection:
            versions = await self._facts.versions_in(connection, sorted(ids))
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
            # Writers of these ledgers are kept out: what they change must not be overwritten.
            await connection.execute(
                "SELECT id FROM ledger WHERE id IN "
                "(SELECT ledger_id FROM fact WHERE fact_id = ANY(%s)) ORDER BY id FOR UPDATE",
                ([fact_id for fact_id, _ in waits],),
            )
            facts = await self._facts.load_in(connection, waits)
            conversations = PostgresConversations(connection, self._facts)
            contexts = await conversations.settled(
                lambda: [context_for(fact, conversations) for fact in facts]
            )
            await self._index.put_in(
                connection,
                [
                    document_of(fact, context=context, vector=vectors[fact.text])
                    for fact, context in zip(facts, contexts, strict=True)
                ],
            )
        return len(facts)

    def _fingerprints(self) -> dict[str, str]:
        """What makes each read model, by its name."""
        return {
            FACTS: FACTS_FINGERPRINT,
            INDEX: self._index.fingerprint,
            **{other.name: other.fingerprint for other in self._others},
        }

    async def catch_up(self, log: LogReader, progress: Progress | None = None) -> None:
        """Bring the read models up to the log: take in what is missing where they can be trusted,
        start from nothing where they can't. It never suspends.

        Other processes that open the database meanwhile wait for it; those that write wait until
        their statement timeout.

        Raises:
            InvalidRequest: events are sealed, and there is no vault.
            Erased: there is one, without their key.
        """
        async with self._opening.reader() as connection:
            if await self._trusted(connection) and not await _lagging(connection):
                for ledger_id, last in await _newest(connection):
                    # What is damaged is for verify to tell.
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

    async def state(self) -> str:
        """``current``; ``behind``, if there is more in the log; ``damaged``, if they were made by
        other software or for another embedder, or a table is missing. ``catch_up`` mends both.
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
        """Whether the read models were made by what would make them now, and are all there."""
        cursor = await connection.execute("SELECT name, fingerprint FROM projection")
        if dict(await cursor.fetchall()) != self._fingerprints():
            return False
        return await are_there(
            connection, [table for model in self._models() for table in model.tables]
        )

    def _models(self) -> tuple[_Tables, ...]:
        return (self._facts, self._index, *self._others)

    async def positions(self) -> Mapping[str, int]:
        """See ``ReadModels.positions``: up to it no ledger has an event that was not taken in."""

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
    """The ledger that was written last, and its last version by then; nothing in a new log."""
    cursor = await connection.execute(
        "SELECT ledger_id, last_version FROM place ORDER BY last_position DESC LIMIT 1"
    )
    return [(ledger_id, last) for ledger_id, last in await cursor.fetchall()]


async def _lagging(connection: Connection) -> list[tuple[int, int, int]]:
    """The ledgers that are behind: id, the version that was taken in last, the last version."""
    cursor = await connection.execute(
        "SELECT id, lagging.version, ledger.version FROM lagging "
        "JOIN ledger ON id = ledger_id ORDER BY id"
    )
    return [(ledger_id, version, last) for ledger_id, version, last in await cursor.fetchall()]
