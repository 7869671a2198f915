"""pgvector as an external index, in a PostgreSQL that may differ from the log's.

It wraps ``adapters.stores.postgres.vector_index`` with its own connection pool. Its methods are
sync and block; under ``AsyncMemory`` they run in threads.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Coroutine, Mapping, Sequence
from typing import Any, TypeVar

import psycopg_pool
from attrs import field, frozen
from psycopg import conninfo

from remembrancer.adapters.stores.postgres.connection_string import parsed_dsn
from remembrancer.adapters.stores.postgres.existing_tables import are_there
from remembrancer.adapters.stores.postgres.failures import translating
from remembrancer.adapters.stores.postgres.grants import check_grants
from remembrancer.adapters.stores.postgres.read_timeout import SyncConnection
from remembrancer.adapters.stores.postgres.sessions import Connection
from remembrancer.adapters.stores.postgres.sync_sessions import SyncSessions
from remembrancer.adapters.stores.postgres.transaction_scripts import (
    TransactionScripts,
    search_path,
)
from remembrancer.adapters.stores.postgres.vector_index import PostgresVectorIndex
from remembrancer.adapters.stores.postgres.vector_index.graphs import LARGE, exploring
from remembrancer.adapters.stores.postgres.vector_index.schema import (
    LONGEST_PREFIX,
    check_name,
    find_extension,
)
from remembrancer.adapters.stores.postgres.vector_index.searching import PLANNED_ONCE
from remembrancer.application.inline import run_inline
from remembrancer.domain.errors import AdapterUnavailable, InvalidRequest, SettingsError
from remembrancer.domain.facts.fact import FactKey
from remembrancer.domain.ports.embedder import Vector
from remembrancer.domain.ports.external_engine import LogId
from remembrancer.domain.ports.vector_index import Document, Hit, IndexQuery
from remembrancer.domain.scope import LedgerId

ADAPTER = "pgvector"
SCHEMA = "vector_index.schema"

PRESET = {**PLANNED_ONCE, **exploring(200)}
"""Session settings of this index, for searches with a limit of 100."""

T = TypeVar("T")


def _positive(_: object, attribute: Any, value: float) -> None:
    if not 0 < value <= 86_400:
        raise ValueError(f"{attribute.name}: expected more than 0, at most 86400, got {value}")


@frozen(kw_only=True)
class PgvectorSettings:
    """Settings of the pgvector index.

    Args:
        dsn: a libpq connection string or URI; missing parts come from ``PG*`` variables.
        schema: schema of the tables; created if missing.
        table: prefix of the table names: 1 to 30 of a-z, 0-9 and _.
        max_connections: maximum size of the pool; at least one connection stays open.
        connect_timeout: timeout for getting a connection, in seconds.
        statement_timeout: timeout of one statement, in seconds.

    Raises:
        ValueError: a number out of range.
        InvalidRequest: a name that would need quotes in SQL.
    """

    dsn: str = field(default="", repr=False)
    schema: str = "remembrancer_pgvector"
    table: str = "index"
    max_connections: int = field(default=10, validator=_positive)
    connect_timeout: float = field(default=10.0, validator=_positive)
    statement_timeout: float = field(default=30.0, validator=_positive)

    def __attrs_post_init__(self) -> None:
        check_name(self.schema, SCHEMA)
        check_name(self.table, "vector_index.table", LONGEST_PREFIX)


class PgvectorIndex:
    """See ``ExternalIndex``. Thread-safe; several processes can share the tables.

    Args:
        settings: the settings. It connects at the first call.
        model: name of the embedder, as ``Embedder.model``.
        dimension: components per vector.
        large: documents from which a ledger gets an HNSW graph.

    Attributes:
        fingerprint: identifies the tables and the layout of their rows; an index with another
            fingerprint must be rebuilt.
    """

    def __init__(
        self, settings: PgvectorSettings, model: str, dimension: int, *, large: int = LARGE
    ) -> None:
        self._frame = TransactionScripts.of(
            settings.schema, settings.statement_timeout, settings.connect_timeout, PRESET
        )
        self._login: dict[str, Any] = {
            "autocommit": True,
            "connect_timeout": math.ceil(settings.connect_timeout),
        }
        self._conninfo = _conninfo(settings.dsn, self._frame)
        self._pool = psycopg_pool.ConnectionPool(
            self._conninfo,
            connection_class=SyncConnection,
            kwargs=self._login,
            min_size=1,
            max_size=settings.max_connections,
            timeout=settings.connect_timeout,
            reconnect_timeout=settings.connect_timeout,
            name=f"remembrancer-{ADAPTER}",
            open=False,
        )
        self._sessions = SyncSessions(self._pool.connection, self._frame)
        self._index = PostgresVectorIndex(
            self._sessions,
            model=model,
            dimension=dimension,
            prefix=settings.table,
            large=large,
        )
        self.fingerprint = f"{settings.schema}.{settings.table}/{self._index.fingerprint}"
        self._schema = settings.schema
        self._claims = f"{settings.table}_claim"
        self._revisions = f"{settings.table}_revision"
        self._lock = threading.Lock()
        self._ready = False
        self._closed = False

    def put(self, documents: Sequence[Document]) -> None:
        """See ``VectorIndex.put``."""
        self._run(self._put(documents))

    async def _put(self, documents: Sequence[Document]) -> None:
        async with self._sessions.transaction() as connection:
            newest = await self._newest(connection, {each.key: each for each in documents})
            await self._index.put_in(connection, newest)

    async def _newest(
        self, connection: Connection, documents: Mapping[FactKey, Document]
    ) -> list[Document]:
        """The documents that no put of a higher revision has preceded; locks their keys."""
        keys = sorted(key for key, document in documents.items() if document.revision)
        cursor = await connection.execute(
            f"INSERT INTO {self._revisions} AS r "
            "SELECT * FROM unnest(%s::text[], %s::int[], %s::bigint[]) "
            "ON CONFLICT (fact_id, version) DO UPDATE SET revision = excluded.revision "
            "WHERE r.revision <= excluded.revision RETURNING fact_id, version",
            (
                [fact_id for fact_id, _ in keys],
                [version for _, version in keys],
                [documents[key].revision for key in keys],
            ),
        )
        written = {(fact_id, version) for fact_id, version in await cursor.fetchall()}
        return [
            document
            for key, document in documents.items()
            if key in written or not document.revision
        ]

    def compact(self, ledger: LedgerId | None = None) -> int:
        """See ``Compactable.compact``."""
        return self._run(self._index.compact(ledger))

    def remove(self, keys: Sequence[FactKey]) -> None:
        """See ``VectorIndex.remove``."""
        self._run(self._index.remove(keys))

    def search(self, query: IndexQuery) -> list[Hit]:
        """See ``VectorIndex.search``."""
        return self._run(self._index.search(query))

    def speakers(self, ledger: LedgerId) -> Sequence[str]:
        """See ``VectorIndex.speakers``."""
        return self._run(self._index.speakers(ledger))

    def vectors_for(self, texts: Sequence[str]) -> Mapping[str, Vector]:
        """See ``VectorIndex.vectors_for``."""
        return self._run(self._index.vectors_for(texts))

    def count(self, ledger: LedgerId) -> int:
        """See ``VectorIndex.count``."""
        return self._run(self._index.count(ledger))

    def claim(self, log: LogId, *, bind: bool) -> LogId | None:
        """See ``Claimable``."""
        return self._run(self._claim(log, bind=bind))

    async def _claim(self, log: LogId, *, bind: bool) -> LogId | None:
        read = f"SELECT log FROM {self._claims}"
        if not bind:
            async with self._sessions.glance() as connection:
                rows = await (await connection.execute(read)).fetchall()
        else:
            async with self._sessions.transaction() as connection:
                await connection.execute(
                    f"INSERT INTO {self._claims} (log) VALUES (%s) ON CONFLICT DO NOTHING", (log,)
                )
                rows = await (await connection.execute(read)).fetchall()
        return LogId(rows[0][0]) if rows else None

    def clear(self) -> None:
        """See ``Engine.clear``: drops and recreates the tables."""
        self._run(self._cleared())

    async def _cleared(self) -> None:
        async with self._sessions.transaction(patient=True) as connection:
            await self._index.start_over(connection)
            await connection.execute(f"DELETE FROM {self._claims}")
            await connection.execute(f"TRUNCATE {self._revisions}")

    def ping(self) -> str:
        """See ``Engine.ping``."""
        return self._run(self._versions())

    async def _versions(self) -> str:
        async with self._sessions.glance() as connection:
            cursor = await connection.execute("SELECT current_setting('server_version')")
            ((server,),) = await cursor.fetchall()
            extension = await find_extension(connection)
            version = ".".join(map(str, extension.version)) if extension else "none"
            return f"{ADAPTER} {version} on PostgreSQL {server.split()[0]}"

    def close(self) -> None:
        """See ``Engine.close``."""
        with self._lock:
            self._closed = True
            self._pool.close()

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        try:
            self._prepare()
            return run_inline(work)
        except AdapterUnavailable as error:
            if isinstance(error.__cause__, psycopg_pool.PoolTimeout):
                self._require_login()
            raise AdapterUnavailable(ADAPTER, error.problem) from error
        except InvalidRequest as error:
            raise _renamed(error) from error
        finally:
            work.close()

    def _require_login(self) -> None:
        """Connect once: a pool reports a refused login as a timeout.

        Raises:
            SettingsError: the server refuses the login, the database or the certificates.
        """
        try:
            with translating():
                SyncConnection.connect(self._conninfo, **self._login).close()
        except SettingsError as error:
            raise _renamed(error) from error
        except AdapterUnavailable:
            return

    def _prepare(self) -> None:
        if self._ready:
            return
        with self._lock:
            if self._ready:
                return
            # A closed pool that was never opened could still be opened.
            if self._closed:
                raise AdapterUnavailable(ADAPTER, "the index has been closed; open it again")
            self._require_login()
            with translating():
                self._pool.open()
            run_inline(self._made())
            self._ready = True

    async def _made(self) -> None:
        async with self._sessions.transaction(patient=True) as connection:
            if not await check_grants(connection, self._schema, SCHEMA):
                await check_grants(connection, self._schema, SCHEMA, creates=True)
                # Several processes may start at once, and "IF NOT EXISTS" alone has a race.
                await connection.execute("SELECT pg_advisory_xact_lock(hashtext(%s))", (ADAPTER,))
                await connection.execute(f"CREATE SCHEMA IF NOT EXISTS {self._frame.schema}")
            await self._index.create(connection)
            if not await are_there(connection, [self._claims, self._revisions]):
                await connection.execute(
                    f"CREATE TABLE IF NOT EXISTS {self._claims} ("
                    "one boolean PRIMARY KEY DEFAULT true CHECK (one), "
                    'log text COLLATE "C" NOT NULL); '
                    f"CREATE TABLE IF NOT EXISTS {self._revisions} ("
                    'fact_id text COLLATE "C", version int, revision bigint NOT NULL, '
                    "PRIMARY KEY (fact_id, version))"
                )
            if await find_extension(connection) is None:
                raise SettingsError(
                    "vector_index.provider",
                    "the extension pgvector is missing, and this user may not install it; "
                    "run CREATE EXTENSION vector in the database as a superuser",
                )


def _renamed(error: InvalidRequest) -> InvalidRequest:
    """The code shared with the store names settings by the path of the log."""
    return type(error)(error.path.replace("audit_log.", "vector_index."), error.problem)


def _conninfo(dsn: str, frame: TransactionScripts) -> str:
    """Return the connection string with the session settings of this index."""
    given = parsed_dsn(dsn, "vector_index.dsn")
    options = (
        f"-c search_path={search_path(frame.schema).replace(' ', '')} "
        f"-c statement_timeout={frame.statement_timeout} "
        + " ".join(f"-c {name}={value}" for name, value in PRESET.items())
    )
    return conninfo.make_conninfo(dsn, options=f"{given.get('options') or ''} {options}".strip())
