"""One client of one Qdrant: its settings, its collection, and every failure translated."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from contextlib import suppress
from importlib import import_module
from importlib.util import find_spec
from typing import Any, TypeVar

from attrs import field, frozen
from attrs.validators import ge, gt, min_len

from remembrancer.adapters.vector_index.remote.rows import FIELDS
from remembrancer.adapters.vector_index.remote.translation import MARKS, time_property
from remembrancer.domain.errors import AdapterUnavailable, InvalidRequest
from remembrancer.domain.filters.ast import TIME_FIELDS

T = TypeVar("T")

NAME = "qdrant"
LAYOUT = 1
"""Of the payload; a collection of another one has to be rebuilt."""

KEYWORDS = (MARKS, "digest", "names", "speaker", *FIELDS)
NUMBERS = (
    "visible_from",
    "visible_to",
    "holds_from",
    "holds_to",
    *(f"{name}_length" for name in FIELDS),
    *(time_property(name) for name in sorted(TIME_FIELDS)),
)


@frozen(kw_only=True)
class QdrantSettings:
    """Where Qdrant is.

    Args:
        url: of the server; empty for the client's local mode, which is for one process alone and
            compares a query with every point.
        path: the folder of the local mode; empty to keep it in memory.
        api_key: of the server.
        collection: the name of the collection.
        timeout: seconds that one request may take.
        shards: of a new collection, 0 for the server's choice.
        replicas: copies of every point of a new collection, 0 for the server's choice.
        batch: points per request.

    Raises:
        ValueError: a number out of range, or both ``url`` and ``path``.
    """

    url: str = ""
    path: str = ""
    api_key: str = field(default="", repr=False)
    collection: str = field(default="remembrancer", validator=min_len(1))
    timeout: float = field(default=10.0, validator=gt(0))
    shards: int = field(default=0, validator=ge(0))
    replicas: int = field(default=0, validator=ge(0))
    batch: int = field(default=256, validator=ge(1))

    def __attrs_post_init__(self) -> None:
        if self.url and self.path:
            raise ValueError("url and path: name a server or a folder, not both")


class Connection:
    """A client and its collection. All calls must come from one event loop.

    Args:
        settings: where.
        model: the embedder whose vectors it holds.
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
        self._dimension = dimension
        self._made_for = {"model": model, "dimension": dimension, "layout": LAYOUT}
        self._client: Any = None
        self._ready = False
        self._preparing = asyncio.Lock()

    async def client(self) -> Any:
        """The client, once its collection is there and fits.

        Raises:
            InvalidRequest: the collection was made for another embedder, or by someone else.
            AdapterUnavailable: Qdrant does not answer.
        """
        if not self._ready:
            async with self._preparing:
                if not self._ready:
                    await self._prepare()
                    self._ready = True
        return self._client

    def opened(self) -> Any:
        """The client, whatever it will find."""
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
                else:
                    where = {"path": settings.path} if settings.path else {"location": ":memory:"}
                    self._client = kind(**where)
            except RuntimeError as error:
                # Another process has the folder.
                raise AdapterUnavailable(NAME, str(error)) from error
        return self._client

    async def ask(self, call: Awaitable[T]) -> T:
        """Wait for a call of the client.

        Raises:
            AdapterUnavailable: no answer, or one that says to come back.
            InvalidRequest: the key is wrong, or the request is.
        """
        from qdrant_client.http.exceptions import (
            ApiException,
            ResponseHandlingException,
            UnexpectedResponse,
        )

        try:
            return await call
        except UnexpectedResponse as error:
            status = error.status_code or 500
            said = f"status {status}: {error.content.decode(errors='replace')[:300]}"
            if status in (401, 403):
                raise InvalidRequest("vector_index.api_key", f"qdrant: {said}") from error
            if status == 404:
                # Somebody dropped the collection: it is looked for again the next time.
                self._ready = False
            elif 400 <= status < 500 and status not in (408, 429):
                raise InvalidRequest("vector_index", f"qdrant: {said}") from error
            raise AdapterUnavailable(NAME, said) from error
        except (ApiException, ResponseHandlingException, OSError) as error:
            raise AdapterUnavailable(NAME, f"no answer: {error}") from error

    async def drop(self) -> None:
        """Drop the collection; the next call makes it anew."""
        self._ready = False
        await self.ask(self.opened().delete_collection(self._settings.collection))

    async def close(self) -> None:
        """Let go of the client."""
        client, self._client, self._ready = self._client, None, False
        if client is not None:
            await client.close()

    async def _prepare(self) -> None:
        client, name = self.opened(), self._settings.collection
        if not await self.ask(client.collection_exists(name)):
            # Another process may make it at this very moment; whose it is, is looked at below.
            with suppress(InvalidRequest):
                await self._create(client, name)
        found = await self.ask(client.get_collection(name))
        made_for = (found.config.metadata or {}).get("remembrancer")
        if made_for != self._made_for:
            raise InvalidRequest(
                "vector_index.collection",
                f"qdrant: {name} was made for {made_for or 'something else'}, not for "
                f"{self._made_for}; rebuild the index, or name another collection",
            )

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
            # The local mode has no use for indexes.
            return
        owner = models.KeywordIndexParams(type=models.KeywordIndexType.KEYWORD, is_tenant=True)
        await self.ask(client.create_payload_index(name, "ledger", owner))
        for kind, names in (
            (models.PayloadSchemaType.KEYWORD, KEYWORDS),
            (models.PayloadSchemaType.INTEGER, NUMBERS),
        ):
            for each in names:
                await self.ask(client.create_payload_index(name, each, kind))
