"""Qdrant client: settings, creation and check of the collection, translation of errors."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from contextlib import suppress
from importlib import import_module
from importlib.util import find_spec
from traceback import walk_tb
from typing import Any, TypeVar
from urllib.parse import urlsplit

from attrs import field, frozen
from attrs.validators import ge, gt, min_len

from remembrancer.adapters.redaction import Secrets
from remembrancer.adapters.server_address import is_loopback, server_url
from remembrancer.adapters.stores.sqlite.database_file import expanded
from remembrancer.adapters.tls_failures import tls_mistake
from remembrancer.adapters.vector_index.qdrant.local_folder import NAME, LocalFolder, unusable
from remembrancer.adapters.vector_index.qdrant.rendering import REVISION
from remembrancer.adapters.vector_index.remote.rows import FIELDS
from remembrancer.adapters.vector_index.remote.translation import MARKS, time_property
from remembrancer.domain.errors import AdapterUnavailable, InvalidRequest, SettingsError
from remembrancer.domain.filters.ast import TIME_FIELDS
from remembrancer.domain.recall.analysis import ANALYSIS_VERSION
from remembrancer.domain.text import EQUALITY_VERSION

T = TypeVar("T")

LAYOUT = f"1.{ANALYSIS_VERSION}.{EQUALITY_VERSION}"
"""Versions of the payload, of its terms and of its names; a collection with others must be rebuilt.
"""

KEYWORDS = (MARKS, "digest", "names", "speaker", *FIELDS)
NUMBERS = (
    "visible_from",
    "visible_to",
    "holds_from",
    "holds_to",
    REVISION,
    *(f"{name}_length" for name in FIELDS),
    *(time_property(name) for name in sorted(TIME_FIELDS)),
)


@frozen(kw_only=True)
class QdrantSettings:
    """Settings of the Qdrant index.

    Args:
        url: URL of the server; empty for the client's local mode, which supports one process only
            and compares a query with every point.
        path: folder of the local mode, made with mode 0700 if it is missing; a leading ``~`` is
            the home folder; empty to keep it in memory.
        api_key: API key of the server.
        plain_secrets: allow ``api_key`` without TLS to other machines.
        collection: name of the collection.
        timeout: timeout of one request, in seconds.
        shards: shards of a new collection; 0 for the server's default.
        replicas: replication factor of a new collection; 0 for the server's default.
        batch: points per request.

    Raises:
        ValueError: a number out of range, a URL that is none or contains credentials, both ``url``
            and ``path``, or a key that would be sent to another machine without TLS.
    """

    url: str = field(
        default="", validator=server_url("http", "https", credentials="vector_index.api_key")
    )
    path: str = field(default="", converter=expanded)
    api_key: str = field(default="", repr=False)
    plain_secrets: bool = False
    collection: str = field(default="remembrancer", validator=min_len(1))
    timeout: float = field(default=10.0, validator=gt(0))
    shards: int = field(default=0, validator=ge(0))
    replicas: int = field(default=0, validator=ge(0))
    batch: int = field(default=256, validator=ge(1))

    def __attrs_post_init__(self) -> None:
        if self.url and self.path:
            raise ValueError("url and path: set a server or a folder, not both")
        address = urlsplit(self.url)
        trusted = self.plain_secrets or address.scheme != "http"
        if self.api_key and not trusted and not is_loopback(address.hostname or ""):
            raise ValueError(
                f"url: api_key would be sent to {address.hostname} unencrypted; set an https:// "
                "URL, or plain_secrets to true if the network is trusted"
            )


class Connection:
    """A client and its collection. All calls must come from one event loop.

    Args:
        settings: the settings.
        model: name of the embedder.
        dimension: components per vector.

    Raises:
        InvalidRequest: the client is not installed.
    """

    def __init__(self, settings: QdrantSettings, model: str, dimension: int) -> None:
        if find_spec("qdrant_client") is None:
            raise InvalidRequest(
                "vector_index.provider", "needs qdrant-client; pip install 'remembrancer[qdrant]'"
            )
        self._settings = settings
        self._secrets = Secrets.of(settings)
        self._folder: LocalFolder | None = None
        if settings.path:
            self._folder = LocalFolder(settings.path, settings.collection)
        self._dimension = dimension
        self._made_for = {"model": model, "dimension": dimension, "layout": LAYOUT}
        self._client: Any = None
        self._ready = False
        self._preparing = asyncio.Lock()

    async def client(self) -> Any:
        """Return the client, after creating or checking the collection.

        Raises:
            SettingsError: the collection was made for another embedder, or not by remembrancer.
            AdapterUnavailable: Qdrant does not answer, or its local folder is another one.
        """
        if not self._ready:
            async with self._preparing:
                if not self._ready:
                    await self._prepare()
                    if self._folder is not None:
                        self._folder.pin()
                    self._ready = True
        self._check_folder()
        return self._client

    def _check_folder(self) -> None:
        if self._folder is not None:
            self._folder.check()

    def opened(self) -> Any:
        """Return the client, without checking the collection."""
        if self._client is None:
            settings = self._settings
            kind = import_module("qdrant_client").AsyncQdrantClient
            try:
                if settings.url:
                    self._client = kind(
                        url=settings.url,
                        api_key=settings.api_key or None,
                        timeout=max(1, round(settings.timeout)),
                        check_compatibility=False,
                    )
                elif self._folder is not None:
                    self._folder.make()
                    self._client = kind(path=self._folder.path)
                else:
                    self._client = kind(location=":memory:")
            except OSError as error:
                raise unusable(settings.path, error) from error
            except RuntimeError as error:
                # Another process has locked the folder.
                _close_lock_file(error)
                raise AdapterUnavailable(NAME, str(error)) from error
        return self._client

    async def ask(self, call: Awaitable[T]) -> T:
        """Await a call of the client and translate its exceptions.

        Raises:
            SettingsError: the API key or the address is wrong.
            InvalidRequest: the request is wrong.
            AdapterUnavailable: no answer, or a retryable error.
        """
        from qdrant_client.http.exceptions import (
            ApiException,
            ResponseHandlingException,
            UnexpectedResponse,
        )

        try:
            answer = await call
        except UnexpectedResponse as error:
            status = error.status_code or 500
            content = self._secrets.cut_from(error.content.decode(errors="replace"))
            problem, cause = f"status {status}: {content[:300]}", self._secrets.cause(error)
            if status in (401, 403):
                raise SettingsError("vector_index.api_key", f"qdrant: {problem}") from cause
            # The collection may have been dropped, or made again with other vectors: the next call
            # creates or checks it.
            self._ready = False
            if 400 <= status < 500 and status not in (404, 408, 429):
                raise InvalidRequest("vector_index", f"qdrant: {problem}") from cause
            raise AdapterUnavailable(NAME, problem) from cause
        except (ApiException, ResponseHandlingException, OSError) as error:
            problem = f"no answer: {self._secrets.cut_from(error)}"
            if (mistake := tls_mistake(error)) is not None:
                raise SettingsError(
                    "vector_index.url", f"qdrant: {mistake} ({problem})"
                ) from self._secrets.cause(error)
            raise AdapterUnavailable(NAME, problem) from self._secrets.cause(error)
        # Afterwards too: a write into a deleted folder must not be acknowledged.
        self._check_folder()
        return answer

    async def drop(self) -> None:
        """Drop the collection; the next call creates it again."""
        client = self.opened()
        self._check_folder()
        self._ready = False
        if self._folder is not None:
            self._folder.release()
        await self.ask(client.delete_collection(self._settings.collection))

    async def close(self) -> None:
        """Close the client."""
        client, self._client, self._ready = self._client, None, False
        if client is not None:
            await client.close()

    async def _prepare(self) -> None:
        client, name = self.opened(), self._settings.collection
        if not await self._exists(client, name):
            # Another process may create it at the same time; the check below covers this.
            with suppress(InvalidRequest):
                await self._create(client, name)
        found = await self.ask(client.get_collection(name))
        made_for = (found.config.metadata or {}).get("remembrancer")
        if made_for != self._made_for:
            raise SettingsError(
                "vector_index.collection",
                f"qdrant: {name} was made for {made_for or 'another application'}, not for "
                f"{self._made_for}; rebuild the index, or set another collection",
            )
        vectors = found.config.params.vectors
        size = vectors["text"].size if isinstance(vectors, dict) and "text" in vectors else None
        if size != self._dimension:
            raise SettingsError(
                "vector_index.collection",
                f"qdrant: the vectors of {name} have {size or 'no'} components, those of the "
                f"embedder {self._dimension}; rebuild the index, or set another collection",
            )

    async def _exists(self, client: Any, name: str) -> bool:
        try:
            found: bool = await self.ask(client.collection_exists(name))
        except AdapterUnavailable as error:
            # Qdrant answers this for every name: "not found" comes from another server.
            if getattr(error.__cause__, "status_code", None) == 404:
                raise SettingsError(
                    "vector_index.url", f"{error}; no Qdrant answers there, check the address"
                ) from error
            raise
        return found

    async def _create(self, client: Any, name: str) -> None:
        from qdrant_client import models

        settings = self._settings
        await self.ask(
            client.create_collection(
                name,
                vectors_config={
                    "text": models.VectorParams(size=self._dimension, distance=models.Distance.DOT)
                },
                sparse_vectors_config={each: models.SparseVectorParams() for each in FIELDS},
                shard_number=settings.shards or None,
                replication_factor=settings.replicas or None,
                metadata={"remembrancer": self._made_for},
            )
        )
        if not settings.url:
            # The local mode does not use payload indexes.
            return
        owner = models.KeywordIndexParams(type=models.KeywordIndexType.KEYWORD, is_tenant=True)
        await self.ask(client.create_payload_index(name, "ledger", owner))
        for kind, names in (
            (models.PayloadSchemaType.KEYWORD, KEYWORDS),
            (models.PayloadSchemaType.INTEGER, NUMBERS),
        ):
            for each in names:
                await self.ask(client.create_payload_index(name, each, kind))


def _close_lock_file(error: RuntimeError) -> None:
    """Close the file that qdrant-client leaves open where its local mode finds a locked folder."""
    for frame, _ in walk_tb(error.__traceback__):
        file = getattr(frame.f_locals.get("self"), "_flock_file", None)
        if file is not None:
            file.close()
