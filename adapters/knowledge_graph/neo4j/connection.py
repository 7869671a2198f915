"""Connection to Neo4j: drivers, transactions, retries, translation of errors.

The driver's connections belong to the event loop that opened them, so there is one driver per
calling loop: the background loop under ``Memory``, the host's loop under ``AsyncMemory``. The
driver's telemetry is disabled.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, LiteralString, TypeVar
from urllib.parse import urlsplit

from remembrancer.adapters.damage import DAMAGE, damaged
from remembrancer.adapters.knowledge_graph.neo4j.settings import Neo4jSettings
from remembrancer.adapters.redaction import Secrets
from remembrancer.adapters.tls_failures import tls_mistake
from remembrancer.domain.errors import (
    AdapterUnavailable,
    InvalidRequest,
    RemembrancerError,
    SettingsError,
)

if TYPE_CHECKING:
    from neo4j import AsyncDriver, AsyncManagedTransaction, AsyncSession

ADAPTER = "neo4j"

T = TypeVar("T")


class Connection:
    """Transactions on one database.

    Args:
        settings: server, database and credentials.

    Raises:
        InvalidRequest: the driver is not installed.
    """

    def __init__(self, settings: Neo4jSettings) -> None:
        if find_spec("neo4j") is None:
            raise InvalidRequest(
                "knowledge_graph.provider", "needs the driver; pip install 'remembrancer[neo4j]'"
            )
        self._neo4j: Any = import_module("neo4j")
        self._settings = settings
        self._secrets = Secrets.of(settings)
        self._lock = threading.Lock()
        self._drivers: dict[asyncio.AbstractEventLoop, AsyncDriver] = {}
        self._closed = False
        # Read-your-writes on every member of a cluster.
        self._bookmarks = self._neo4j.AsyncGraphDatabase.bookmark_manager()

    async def read(self, work: Callable[[AsyncManagedTransaction], Awaitable[T]]) -> T:
        """Run ``work`` in a read transaction; retries may run it more than once.

        Raises:
            SettingsError: the server refused the login, the database or the right to use it, or
                is none of Neo4j's.
            AdapterUnavailable: the server did not answer.
        """
        with self._translated():
            async with asyncio.timeout(self._settings.timeout), self._session() as session:
                return await session.execute_read(work)

    async def write(self, work: Callable[[AsyncManagedTransaction], Awaitable[T]]) -> T:
        """Run ``work`` in a write transaction.

        ``work`` must be idempotent: retries may run it again, even after a commit whose answer was
        lost.

        Raises:
            SettingsError: the server refused the login, the database or the right to use it, or
                is none of Neo4j's.
            AdapterUnavailable: the server did not answer.
        """
        clock = asyncio.get_running_loop()
        until = clock.time() + self._settings.retry_for
        with self._translated():
            async with asyncio.timeout(self._settings.timeout):
                while True:
                    try:
                        async with self._session() as session:
                            return await session.execute_write(work)
                    except self._neo4j.exceptions.IncompleteCommit:
                        # The driver does not retry this, because it cannot know that ``work`` is
                        # idempotent.
                        if clock.time() >= until:
                            raise

    async def define(self, statements: tuple[LiteralString, ...]) -> None:
        """Run schema statements (``IF NOT EXISTS``).

        Raises:
            SettingsError: the server refused the login, the database or the right to use it, or
                is none of Neo4j's.
            AdapterUnavailable: the server did not answer.
        """
        for statement in statements:
            try:
                await self.write(_running(statement))
            except AdapterUnavailable as error:
                # Another process created it at the same time.
                code = getattr(error.__cause__, "code", None) or ""
                if not code.endswith("AlreadyExists"):
                    raise

    async def close(self) -> None:
        """Close all drivers, each on its own loop. Closing twice does nothing."""
        here = asyncio.get_running_loop()
        with self._lock:
            drivers, self._drivers, self._closed = self._drivers, {}, True
        for loop, driver in drivers.items():
            if loop is here:
                await driver.close()
            elif loop.is_running():
                await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(driver.close(), loop))

    def _session(self) -> AsyncSession:
        return self._driver().session(
            database=self._settings.database or None, bookmark_manager=self._bookmarks
        )

    def _driver(self) -> AsyncDriver:
        loop = asyncio.get_running_loop()
        with self._lock:
            if self._closed:
                raise AdapterUnavailable(ADAPTER, "the graph has been closed; open it again")
            for other in [other for other in self._drivers if other.is_closed()]:
                del self._drivers[other]
            if loop not in self._drivers:
                self._drivers[loop] = self._new_driver()
            return self._drivers[loop]

    def _new_driver(self) -> AsyncDriver:
        settings = self._settings
        uri, trust = settings.uri, {}
        if settings.certificates:
            # The driver accepts certificates only with a scheme that does not set encryption.
            scheme = urlsplit(uri).scheme
            uri = scheme.removesuffix("+s") + uri.removeprefix(scheme)
            authorities = self._neo4j.TrustCustomCAs(settings.certificates)
            trust = {"encrypted": True, "trusted_certificates": authorities}
        driver: AsyncDriver = self._neo4j.AsyncGraphDatabase.driver(
            uri,
            auth=(settings.user, settings.password) if settings.user else None,
            max_connection_pool_size=settings.connections,
            connection_timeout=settings.connect_timeout,
            connection_acquisition_timeout=settings.timeout,
            max_transaction_retry_time=settings.retry_for,
            notifications_min_severity="OFF",
            telemetry_disabled=True,
            user_agent="remembrancer",
            **trust,
        )
        return driver

    @contextmanager
    def _translated(self) -> Iterator[None]:
        errors = self._neo4j.exceptions
        settings = self._settings
        said, cause = self._secrets.cut_from, self._secrets.cause
        try:
            yield
        except errors.Neo4jError as error:
            problem = f"{settings.uri} refused: {said(_message(error))} ({error.code})"
            setting = _setting_in(error.code or "")
            if setting is None:
                raise AdapterUnavailable(ADAPTER, problem) from cause(error)
            user = settings.user or "an anonymous user"
            raise SettingsError(
                setting, f"{ADAPTER}: {problem}; check {setting}, and what {user} may do there"
            ) from cause(error)
        except (errors.DriverError, OSError) as error:
            if (mistake := _wrong_server(error)) is not None:
                raise SettingsError(
                    "knowledge_graph.uri",
                    f"{ADAPTER}: {settings.uri}: {mistake} ({said(error)}); check the scheme, the "
                    "port, and knowledge_graph.certificates",
                ) from cause(error)
            # TimeoutError is an OSError.
            raise AdapterUnavailable(
                ADAPTER,
                f"no answer from {settings.uri}: "
                f"{said(error) or f'nothing within {settings.timeout:g} s'}; "
                "is it running, and is knowledge_graph.uri right?",
            ) from cause(error)
        except RemembrancerError:
            raise
        except DAMAGE as error:
            raise damaged(f"neo4j at {settings.uri}", error) from error


def _setting_in(code: str) -> str | None:
    """The setting that a server's refusal is about, ``None`` if trying again may help."""
    if code == "Neo.ClientError.Security.AuthenticationRateLimit":
        # Too many wrong logins, perhaps of others: the server accepts right ones later.
        return None
    if code.startswith("Neo.ClientError.Security."):
        denied = code.endswith((".Forbidden", ".TransactionRequired"))
        return "knowledge_graph.user" if denied else "knowledge_graph.password"
    if code.startswith("Neo.ClientError.Database."):
        return "knowledge_graph.database"
    return None


def _wrong_server(error: BaseException) -> str | None:
    """Why an address is not one of a Neo4j server, ``None`` if it may just not answer now."""
    at: BaseException | None = error
    while at is not None:
        # The class is private to the driver.
        if type(at).__name__ == "BoltHandshakeError":
            return "this port does not speak Bolt, or only with TLS"
        at = at.__cause__ or at.__context__
    return tls_mistake(error)


def _message(error: Any) -> str:
    return str(error.message or error)


def _running(statement: LiteralString) -> Callable[[AsyncManagedTransaction], Awaitable[None]]:
    async def run(tx: AsyncManagedTransaction) -> None:
        await (await tx.run(statement)).consume()

    return run
