"""Connection to the server: opened at first use, reconnects, translates errors."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterator
from importlib import import_module
from importlib.util import find_spec
from time import monotonic
from typing import TYPE_CHECKING, Any, TypeVar

from remembrancer.adapters.redaction import Secrets
from remembrancer.adapters.tls_failures import tls_mistake
from remembrancer.adapters.vector_index.weaviate.settings import WeaviateSettings
from remembrancer.domain.errors import (
    AdapterUnavailable,
    InvalidRequest,
    RemembrancerError,
    SettingsError,
)

if TYPE_CHECKING:
    from weaviate import WeaviateAsyncClient

T = TypeVar("T")

NAME = "weaviate"

OLDEST_SERVER = (1, 33)
"""The first version with the filter operators ``Not`` and ``ContainsNone``."""

_BETWEEN_TRIES = 0.2
_CONNECT_SECONDS = 5
_NO_ANSWER = "DEADLINE_EXCEEDED"
_CHANNEL = (
    # Otherwise a new channel reuses the broken connection of the previous one.
    ("grpc.use_local_subchannel_pool", 1),
    # Milliseconds; by default the backoff grows to two minutes.
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.max_reconnect_backoff_ms", 2000),
)


class AbsentTenant(RemembrancerError):
    """The tenant does not exist: nothing was written to it yet."""


def require_weaviate() -> None:
    """Check that the client is installed, without importing it.

    Raises:
        InvalidRequest: the client is not installed.
    """
    if find_spec("weaviate") is None:
        raise InvalidRequest(
            "vector_index.provider", "needs weaviate-client; pip install 'remembrancer[weaviate]'"
        )


class Connection:
    """One client of one server. All calls must come from one event loop."""

    def __init__(self, settings: WeaviateSettings) -> None:
        self._settings = settings
        self._secrets = Secrets.of(settings)
        self._client: WeaviateAsyncClient | None = None
        self._retired: set[asyncio.Task[None]] = set()
        self._opening = asyncio.Lock()
        self._waited = False

    async def client(self) -> WeaviateAsyncClient:
        """Return the connected client.

        Raises:
            SettingsError: the server is too old, or refuses the key, or is not trusted.
            AdapterUnavailable: the server did not become ready.
        """
        if self._client is not None:
            return self._client
        async with self._opening:
            if self._client is None:
                self._client = await self._connected()
            return self._client

    async def close(self) -> None:
        """Close the client, and clients that were replaced."""
        retired, self._retired = list(self._retired), set()
        for task in retired:
            task.cancel()
        await asyncio.gather(*retired, return_exceptions=True)
        if self._client is not None:
            client, self._client = self._client, None
            await client.close()

    async def ask(self, what: str, call: Awaitable[T], seconds: float | None = None) -> T:
        """Await a call of the client with a timeout, and translate its exceptions.

        Args:
            what: name of the call in errors.
            call: the call.
            seconds: timeout; ``timeout`` of the settings by default. It also ends the client's own
                retries, which could take a minute.

        Raises:
            SettingsError: the server refuses the key, or its certificate is not trusted.
            AdapterUnavailable: no answer, or an error; a later try may succeed.
            InvalidRequest: the request is too large for the server.
            AbsentTenant: the tenant does not exist.
        """
        limit = self._settings.timeout if seconds is None else seconds
        client = self._client
        try:
            async with asyncio.timeout(limit):
                return await call
        except TimeoutError as error:
            self._retire(client)
            raise self._no_answer(what, limit) from error
        except _failures() as error:
            if _NO_ANSWER in _codes(error):
                self._retire(client)
                raise self._no_answer(what, limit) from self._secrets.cause(error)
            raise self._translated(what, error) from self._secrets.cause(error)

    def _retire(self, client: WeaviateAsyncClient | None) -> None:
        """Make the next call reconnect. A connection that was cut silently looks open forever, and
        the server does not allow keepalive pings. Calls in flight may complete.
        """
        if client is None or client is not self._client:
            return
        self._client = None
        task = asyncio.ensure_future(_close_after(client, self._settings.write_timeout))
        self._retired.add(task)
        task.add_done_callback(self._retired.discard)

    def _no_answer(self, what: str, limit: float) -> AdapterUnavailable:
        return AdapterUnavailable(
            NAME, f"{what}: no answer from {self._address} within {limit:g} s"
        )

    async def _connected(self) -> WeaviateAsyncClient:
        patience = 0.0 if self._waited else self._settings.startup_wait
        self._waited = True
        deadline = monotonic() + patience
        while True:
            try:
                return await self._connect_once()
            except AdapterUnavailable as error:
                if monotonic() + _BETWEEN_TRIES >= deadline:
                    waited = f" after waiting {patience:g} s" if patience else ""
                    raise AdapterUnavailable(
                        NAME, f"{error.problem}{waited}; check that the server is running there"
                    ) from error
                await asyncio.sleep(_BETWEEN_TRIES)

    async def _connect_once(self) -> WeaviateAsyncClient:
        client = self._made()
        try:
            await self.ask("connecting", client.connect(), _CONNECT_SECONDS)
            ready = await self.ask("asking whether it is ready", client.is_ready())
            version = (await self.ask("asking for the version", client.get_meta()))["version"]
            self._check(version, ready=ready)
        except BaseException:
            await client.close()
            raise
        return client

    def _made(self) -> WeaviateAsyncClient:
        import weaviate
        from weaviate.classes.init import AdditionalConfig, Auth, Timeout
        from weaviate.config import GrpcConfig

        settings = self._settings
        return weaviate.use_async_with_custom(
            http_host=settings.host,
            http_port=settings.port,
            http_secure=settings.tls,
            grpc_host=settings.grpc_host or settings.host,
            grpc_port=settings.grpc_port,
            grpc_secure=settings.grpc_tls,
            headers=settings.named_headers(),
            additional_config=AdditionalConfig(
                timeout=Timeout(
                    init=_CONNECT_SECONDS, query=settings.timeout, insert=settings.write_timeout
                ),
                grpc_config=GrpcConfig(channel_options=list(_CHANNEL)),
            ),
            auth_credentials=Auth.api_key(settings.api_key) if settings.api_key else None,
            # The client's init checks ask PyPI for newer versions of the client.
            skip_init_checks=True,
        )

    def _check(self, version: str, *, ready: bool) -> None:
        if not ready:
            raise AdapterUnavailable(NAME, f"{self._address} is not ready")
        if tuple(int(part) for part in version.split(".")[:2]) < OLDEST_SERVER:
            oldest = ".".join(map(str, OLDEST_SERVER))
            raise SettingsError(
                "vector_index.host",
                f"{NAME}: the server at {self._address} is version {version}; at least {oldest} is "
                "needed",
            )

    @property
    def _address(self) -> str:
        settings = self._settings
        return f"{settings.host}:{settings.port} (gRPC {settings.grpc_port})"

    def _translated(self, what: str, error: Exception) -> RemembrancerError:
        message = " ".join(self._secrets.cut_from(error).split())[:500]
        code = next(_codes(error), "")
        if "tenant not found" in message:
            return AbsentTenant(message)
        if "could not find class" in message or "class not found" in message:
            return AdapterUnavailable(
                NAME, f"{what}: the collection was dropped in the meantime; try again"
            )
        # Over gRPC the server returns no code for a wrong key (seen with 1.39.0).
        if code in ("UNAUTHENTICATED", "PERMISSION_DENIED", "401", "403") or (
            "extract auth: " in message
        ):
            return SettingsError(
                "vector_index.api_key",
                f"{NAME}: {what}: access refused; check vector_index.api_key ({code}: {message})",
            )
        if (mistake := tls_mistake(error)) is not None:
            return SettingsError(
                "vector_index.tls", f"{NAME}: {what} at {self._address}: {mistake} ({message})"
            )
        if is_of_another_size(message):
            return other_vectors(message)
        if code == "RESOURCE_EXHAUSTED" and "larger than max" in message:
            return InvalidRequest("documents", f"too large for the server: {message}")
        return AdapterUnavailable(NAME, f"{what} at {self._address}: {message}")


def is_of_another_size(message: str) -> bool:
    """Whether a server refuses a vector because the collection holds vectors of another size."""
    return "vector with length" in message or "vector lengths don't match" in message


def other_vectors(message: str) -> SettingsError:
    """The error for such a refusal: the vectors of an embedder have one size."""
    return SettingsError(
        "vector_index.collection",
        f"{NAME}: the collection holds vectors of another size ({message}); rebuild the index, or "
        "set another collection",
    )


async def _close_after(client: WeaviateAsyncClient, seconds: float) -> None:
    try:
        await asyncio.sleep(seconds)
    finally:
        await client.close()


def _failures() -> tuple[type[Exception], ...]:
    import httpx
    from weaviate.exceptions import WeaviateBaseError

    # The package has no type hints.
    grpc: Any = import_module("grpc.aio")
    return (WeaviateBaseError, httpx.HTTPError, grpc.AioRpcError, OSError)


def _codes(error: BaseException | None) -> Iterator[str]:
    """Yield the status codes in a chain of exceptions, outermost first."""
    while error is not None:
        code: Any = getattr(error, "code", None)
        if callable(code):
            yield str(getattr(code(), "name", code()))
        elif isinstance(status := getattr(error, "status_code", None), int):
            yield str(status)
        error = error.__cause__ or error.__context__
