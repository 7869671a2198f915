"""The vector index on a Weaviate server: see ``VectorIndex`` for what it promises.

It keeps a copy that is fed from the log and can be rebuilt from it. Nothing of the server is
needed until the first call.
"""

from __future__ import annotations

import asyncio
from array import array
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import UUID, uuid4

import numpy as np
import numpy.typing as npt
from attrs import frozen

from remembrancer.adapters.index_scoring.argument_checks import (
    check_query,
    checked_vectors,
    components,
)
from remembrancer.adapters.vector_index.remote.own_loop import OwnLoop
from remembrancer.adapters.vector_index.remote.prefilter import in_ledger
from remembrancer.adapters.vector_index.remote.rows import digest, row_of
from remembrancer.adapters.vector_index.remote.tokens import object_id
from remembrancer.adapters.vector_index.weaviate.collections import Collections
from remembrancer.adapters.vector_index.weaviate.connection import (
    NAME,
    AbsentTenant,
    Connection,
    require_weaviate,
)
from remembrancer.adapters.vector_index.weaviate.gather import together
from remembrancer.adapters.vector_index.weaviate.reading import Reader
from remembrancer.adapters.vector_index.weaviate.rendering import rendered
from remembrancer.adapters.vector_index.weaviate.rows import (
    ledger_id,
    properties,
    scaled,
    unscaled,
)
from remembrancer.adapters.vector_index.weaviate.search import Search
from remembrancer.adapters.vector_index.weaviate.settings import Tenancy, WeaviateSettings
from remembrancer.adapters.vector_index.weaviate.statistics import LedgerStatistics, Statistics
from remembrancer.domain.errors import AdapterUnavailable
from remembrancer.domain.facts.fact import FactKey
from remembrancer.domain.ports.embedder import Vector
from remembrancer.domain.ports.vector_index import Document, Hit, IndexQuery
from remembrancer.domain.scope import LedgerId

if TYPE_CHECKING:
    from weaviate import WeaviateAsyncClient

    from remembrancer.adapters.vector_index.weaviate.collections import Collection

T = TypeVar("T")

LARGEST_REQUEST = 8 << 20
"""Characters of text in one batch; a server takes about 100 MB in one request."""

BATCHES = 4
"""Batches that are on their way at once."""

IDS = 1000
"""Ids that are asked for, or deleted, at once."""


@frozen(kw_only=True)
class _Home:
    """Where a document is, and the digest of its text."""

    ledger: LedgerId
    digest: str


class WeaviateVectorIndex:
    """See ``VectorIndex``. Safe to share between threads and event loops.

    Args:
        settings: where the server is.
        model: the embedder whose vectors it holds; another one's are refused.
        dimension: components per vector.

    Attributes:
        fingerprint: what its rows depend on besides the embedder; an index with another one has
            to be fed from the beginning.

    Raises:
        InvalidRequest: the client is not installed.
    """

    def __init__(self, settings: WeaviateSettings, model: str, dimension: int) -> None:
        require_weaviate()
        self._settings = settings
        self._dimension = dimension
        self._collections = Collections(settings=settings, model=model, dimension=dimension)
        self.fingerprint = self._collections.fingerprint
        self._loop = OwnLoop(NAME)
        self._connection = Connection(settings)
        self._statistics = Statistics()
        self._prepared = False

    async def put(self, documents: Sequence[Document]) -> None:
        """See ``VectorIndex.put``."""
        vectors = checked_vectors(documents, self._dimension)
        latest = {
            object_id(document.key): (document, vector)
            for document, vector in zip(documents, vectors, strict=True)
        }
        await self._loop.run(self._put(latest))

    async def remove(self, keys: Sequence[FactKey]) -> None:
        """See ``VectorIndex.remove``."""
        await self._loop.run(self._remove(list(dict.fromkeys(map(object_id, keys)))))

    async def search(self, query: IndexQuery) -> list[Hit]:
        """See ``VectorIndex.search``."""
        check_query(query)
        vector = None
        if query.vector is not None:
            vector = scaled(components(query.vector, self._dimension, "vector"))[0]
        return await self._loop.run(self._search(query, vector))

    async def speakers(self, ledger: LedgerId) -> Sequence[str]:
        """See ``VectorIndex.speakers``."""
        return await self._loop.run(self._speakers(ledger))

    async def vectors_for(self, texts: Sequence[str]) -> Mapping[str, Vector]:
        """See ``VectorIndex.vectors_for``."""
        return await self._loop.run(self._vectors_for({digest(text): text for text in texts}))

    async def count(self, ledger: LedgerId) -> int:
        """See ``VectorIndex.count``."""
        return await self._loop.run(self._count(ledger))

    async def keys(self) -> list[FactKey]:
        """The keys of all documents, of all ledgers, in order."""
        return await self._loop.run(self._keys())

    async def clear(self) -> None:
        """Drop everything and begin anew, for the embedder and the layout of the settings."""
        await self._loop.run(self._clear())

    async def ping(self) -> str:
        """The name and version of the server, once it has answered on both of its ports and the
        collections are found to be fit.
        """
        return await self._loop.run(self._ping())

    async def close(self) -> None:
        """Close the connection. Again, it does nothing."""
        await self._loop.close(self._connection.close())

    async def _client(self) -> WeaviateAsyncClient:
        """The client, once the collections are there."""
        client = await self._connection.client()
        if not self._prepared:
            await self._collections.prepare(self._connection)
            self._prepared = True
        return client

    async def _ask(self, what: str, call: Any, seconds: float | None = None) -> Any:
        try:
            return await self._connection.ask(what, call, seconds)
        except AdapterUnavailable:
            # The collections may have been dropped, or made anew by other settings: look again.
            self._prepared = False
            raise

    async def _put(
        self, latest: Mapping[UUID, tuple[Document, npt.NDArray[np.float32] | None]]
    ) -> None:
        if not latest:
            return
        client = await self._client()
        homes = await self._homes(client, list(latest))
        left = {
            each: home.ledger
            for each, home in homes.items()
            if home.ledger != latest[each][0].scope.ledger
        }
        # In this order, a document is in one place only, and known to be there, at every moment.
        await self._delete(client, left)
        if self._settings.tenancy is not Tenancy.NONE:
            await self._write_homes(client, latest, homes)
        by_tenant: dict[str | None, list[Any]] = defaultdict(list)
        for each, (document, vector) in latest.items():
            tenant = self._collections.tenant(document.scope.ledger)
            by_tenant[tenant].append(_object(each, document, vector))
        await self._insert(
            (self._collections.documents(client, tenant), objects)
            for tenant, objects in by_tenant.items()
        )
        ledgers = {document.scope.ledger for document, _ in latest.values()}
        await self._touch(client, ledgers | set(left.values()))

    async def _remove(self, ids: Sequence[UUID]) -> None:
        if not ids:
            return
        client = await self._client()
        homes = {each: home.ledger for each, home in (await self._homes(client, ids)).items()}
        await self._delete(client, homes)
        if self._settings.tenancy is not Tenancy.NONE:
            await self._delete_from(self._collections.directory(client), list(homes))
        await self._touch(client, set(homes.values()))

    async def _search(self, query: IndexQuery, vector: npt.NDArray[np.float32] | None) -> list[Hit]:
        client = await self._client()
        ledger = query.scope.ledger
        search = Search(self._reader(client, ledger), query, vector)
        try:
            return await search(lambda: self._statistics_of(client, ledger))
        except AbsentTenant:
            return []
        except AdapterUnavailable:
            self._prepared = False
            raise

    async def _speakers(self, ledger: LedgerId) -> Sequence[str]:
        client = await self._client()
        return await (await self._statistics_of(client, ledger)).speakers()

    async def _count(self, ledger: LedgerId) -> int:
        client = await self._client()
        try:
            return await self._reader(client, ledger).count(
                "counting documents", rendered(in_ledger(ledger))
            )
        except AbsentTenant:
            return 0
        except AdapterUnavailable:
            self._prepared = False
            raise

    async def _vectors_for(self, texts: Mapping[str, str]) -> dict[str, Vector]:
        from weaviate.classes.query import Filter

        client = await self._client()
        found: dict[str, Vector] = {}
        for tenant, digests in (await self._tenants_with(client, list(texts))).items():
            for each in digests:
                # One a text: of a text that many say, a page would hold no other.
                page = await self._ask(
                    "reading vectors",
                    self._collections.documents(client, tenant).query.fetch_objects(
                        filters=Filter.by_property("digest").equal(each),
                        limit=1,
                        include_vector=True,
                        return_properties=["scale"],
                    ),
                )
                for document in page.objects:
                    if "default" in document.vector:
                        scale = document.properties["scale"]
                        vector = unscaled(document.vector["default"], scale)
                        found[texts[each]] = array("f", vector)
        return found

    async def _tenants_with(
        self, client: WeaviateAsyncClient, digests: Sequence[str]
    ) -> dict[str | None, list[str]]:
        """Where the texts of digests are said."""
        from weaviate.classes.query import Filter

        if self._settings.tenancy is Tenancy.NONE:
            return {None: list(digests)}
        places: dict[str | None, list[str]] = defaultdict(list)
        for each in digests:
            page = await self._ask(
                "reading the directory",
                self._collections.directory(client).query.fetch_objects(
                    filters=Filter.by_property("digest").equal(each),
                    limit=1,
                    return_properties=["ledger"],
                ),
            )
            for row in page.objects:
                places[self._collections.tenant(row.properties["ledger"])].append(each)
        return places

    async def _keys(self) -> list[FactKey]:
        client = await self._client()
        tenants: Iterable[str | None] = [None]
        if self._settings.tenancy is not Tenancy.NONE:
            collection = client.collections.use(self._settings.collection)
            tenants = list(await self._ask("listing tenants", collection.tenants.get()))
        found: list[FactKey] = []
        for tenant in tenants:
            documents, after = self._collections.documents(client, tenant), None
            while True:
                page = await self._ask(
                    "listing documents",
                    documents.query.fetch_objects(
                        limit=IDS, after=after, return_properties=["row"]
                    ),
                )
                found += [row_of(each.properties).key for each in page.objects]
                if len(page.objects) < IDS:
                    break
                after = page.objects[-1].uuid
        return sorted(found)

    async def _clear(self) -> None:
        self._prepared = False
        await self._collections.drop(self._connection)
        self._statistics.forget()
        await self._client()

    async def _ping(self) -> str:
        client = await self._connection.client()
        version = (await self._ask("asking for the version", client.get_meta()))["version"]
        await self._collections.prepare(self._connection)
        await self._ask(
            "asking over gRPC", self._collections.directory(client).query.fetch_objects(limit=1)
        )
        return f"{NAME} {version}"

    def _reader(self, client: WeaviateAsyncClient, ledger: LedgerId) -> Reader:
        return self._collections.reader(self._connection, client, ledger)

    async def _statistics_of(
        self, client: WeaviateAsyncClient, ledger: LedgerId
    ) -> LedgerStatistics:
        directory = self._collections.directory_reader(self._connection, client)
        return await self._statistics.of(directory, self._reader(client, ledger), ledger)

    async def _homes(self, client: WeaviateAsyncClient, ids: Sequence[UUID]) -> dict[UUID, _Home]:
        """Where those documents are that the index holds."""
        from weaviate.classes.query import Filter

        apart = self._settings.tenancy is not Tenancy.NONE
        collection = (
            self._collections.directory(client)
            if apart
            else self._collections.documents(client, None)
        )
        homes: dict[UUID, _Home] = {}
        for part in _parts(ids, IDS):
            page = await self._ask(
                "reading the directory",
                collection.query.fetch_objects(
                    filters=Filter.by_id().contains_any(part),
                    limit=IDS,
                    return_properties=["digest", "ledger" if apart else "owner"],
                ),
            )
            for each in page.objects:
                ledger = each.properties["ledger" if apart else "owner"]
                homes[UUID(int=each.uuid.int)] = _Home(
                    ledger=LedgerId(ledger), digest=each.properties["digest"]
                )
        return homes

    async def _write_homes(
        self,
        client: WeaviateAsyncClient,
        latest: Mapping[UUID, tuple[Document, Any]],
        homes: Mapping[UUID, _Home],
    ) -> None:
        from weaviate.classes.data import DataObject

        rows: list[Any] = []
        for each, (document, _) in latest.items():
            home = _Home(ledger=document.scope.ledger, digest=digest(document.text))
            if homes.get(each) != home:
                kept = {"ledger": home.ledger, "digest": home.digest}
                rows.append(DataObject(uuid=each, properties=kept))
        await self._insert([(self._collections.directory(client), rows)])

    async def _touch(self, client: WeaviateAsyncClient, ledgers: set[LedgerId]) -> None:
        """Give ledgers a new generation: what was counted of them is void."""
        from weaviate.classes.data import DataObject

        rows: list[Any] = [
            DataObject(uuid=ledger_id(ledger), properties={"generation": uuid4().hex})
            for ledger in sorted(ledgers)
        ]
        await self._insert([(self._collections.directory(client), rows)])

    async def _insert(self, parts: Iterable[tuple[Collection, Sequence[Any]]]) -> None:
        """Write objects to collections, some batches at a time; no object is in two of them."""
        at_once = asyncio.Semaphore(BATCHES)

        async def write(collection: Collection, batch: list[Any]) -> None:
            async with at_once:
                result = await self._ask(
                    "writing a batch",
                    collection.data.insert_many(batch),
                    self._settings.write_timeout,
                )
            if result.has_errors:
                place, error = min(result.errors.items())
                raise AdapterUnavailable(
                    NAME,
                    f"refused {len(result.errors)} of a batch of {len(batch)}, the first one at "
                    f"{place}: {error.message}",
                )

        await together(
            write(collection, batch)
            for collection, objects in parts
            for batch in _batches(objects, self._settings.batch)
        )

    async def _delete(self, client: WeaviateAsyncClient, homes: Mapping[UUID, LedgerId]) -> None:
        by_tenant: dict[str | None, list[UUID]] = defaultdict(list)
        for each, ledger in homes.items():
            by_tenant[self._collections.tenant(ledger)].append(each)
        await together(
            self._delete_from(self._collections.documents(client, tenant), ids)
            for tenant, ids in by_tenant.items()
        )

    async def _delete_from(self, collection: Collection, ids: Sequence[UUID]) -> None:
        from weaviate.classes.query import Filter

        for part in _parts(ids, IDS):
            try:
                result = await self._ask(
                    "deleting",
                    collection.data.delete_many(where=Filter.by_id().contains_any(part)),
                    self._settings.write_timeout,
                )
            except AbsentTenant:
                return
            if result.failed:
                raise AdapterUnavailable(
                    NAME, f"could not delete {result.failed} of {result.matches} documents"
                )


def _object(each: UUID, document: Document, vector: npt.NDArray[np.float32] | None) -> Any:
    from weaviate.classes.data import DataObject

    held, scale = (None, 0) if vector is None else scaled(vector)
    return DataObject(
        uuid=each,
        properties=properties(document, scale),
        vector=None if held is None else held.tolist(),
    )


def _parts(ids: Sequence[UUID], size: int) -> Iterator[list[UUID]]:
    for start in range(0, len(ids), size):
        yield list(ids[start : start + size])


def _batches(objects: Sequence[Any], most: int) -> Iterator[list[Any]]:
    """Objects in batches of bounded number and size."""
    batch: list[Any] = []
    size = 0
    for each in objects:
        length = sum(len(value) for value in each.properties.values() if isinstance(value, str))
        if batch and (len(batch) == most or size + length > LARGEST_REQUEST):
            yield batch
            batch, size = [], 0
        batch.append(each)
        size += length
    if batch:
        yield batch
