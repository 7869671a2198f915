"""Vector index on a Weaviate server; see ``VectorIndex`` for the contract.

The index is fed from the log and can be rebuilt from it. It connects at the first call.
"""

from __future__ import annotations

import asyncio
from array import array
from collections import defaultdict
from collections.abc import Coroutine, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import UUID, uuid4

import numpy as np
import numpy.typing as npt
from attrs import frozen

from remembrancer.adapters.damage import decoding
from remembrancer.adapters.index_scoring.argument_checks import (
    check_query,
    checked_vectors,
    components,
)
from remembrancer.adapters.vector_index.remote.prefilter import in_ledger
from remembrancer.adapters.vector_index.remote.rows import digest, row_of
from remembrancer.adapters.vector_index.remote.tokens import object_id
from remembrancer.adapters.vector_index.weaviate.collections import Collections
from remembrancer.adapters.vector_index.weaviate.connection import (
    NAME,
    AbsentTenant,
    Connection,
    is_of_another_size,
    other_vectors,
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
from remembrancer.application.background_loop import BackgroundLoop
from remembrancer.domain.errors import AdapterUnavailable
from remembrancer.domain.facts.fact import FactKey
from remembrancer.domain.ports.embedder import Vector
from remembrancer.domain.ports.external_engine import LogId
from remembrancer.domain.ports.vector_index import Document, Hit, IndexQuery
from remembrancer.domain.scope import LedgerId

if TYPE_CHECKING:
    from weaviate import WeaviateAsyncClient

    from remembrancer.adapters.vector_index.weaviate.collections import Collection

T = TypeVar("T")

LARGEST_REQUEST = 8 << 20
"""Maximum characters of text in one batch; a server accepts about 100 MB per request."""

BATCHES = 4
"""Maximum batches in flight."""

IDS = 1000
"""Maximum ids per query or delete."""

CLAIM = UUID("5a1c9d0e-6f0b-5b57-9d53-0c2f4f7c3b1a")
"""Id of the directory's row that names the log, in ``ledger``; a UUID that no name leads to."""


@frozen(kw_only=True)
class _Location:
    """The ledger of a document, and the digest of its text."""

    ledger: LedgerId
    digest: str


class WeaviateVectorIndex:
    """See ``VectorIndex``. Can be shared between threads and event loops.

    Args:
        settings: the settings.
        model: name of the embedder; a collection made for another one is refused.
        dimension: components per vector.

    Attributes:
        fingerprint: identifies the layout of the rows, without the embedder; an index with another
            fingerprint must be rebuilt.

    Raises:
        InvalidRequest: the client is not installed.
    """

    def __init__(self, settings: WeaviateSettings, model: str, dimension: int) -> None:
        require_weaviate()
        self._settings = settings
        self._dimension = dimension
        self._collections = Collections(settings=settings, model=model, dimension=dimension)
        self.fingerprint = self._collections.fingerprint
        self._loop = BackgroundLoop(NAME)
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
        await self._run(self._put(latest))

    async def remove(self, keys: Sequence[FactKey]) -> None:
        """See ``VectorIndex.remove``."""
        await self._run(self._remove(list(dict.fromkeys(map(object_id, keys)))))

    async def search(self, query: IndexQuery) -> list[Hit]:
        """See ``VectorIndex.search``."""
        check_query(query)
        vector = None
        if query.vector is not None:
            vector = scaled(components(query.vector, self._dimension, "vector"))[0]
        return await self._run(self._search(query, vector))

    async def speakers(self, ledger: LedgerId) -> Sequence[str]:
        """See ``VectorIndex.speakers``."""
        return await self._run(self._speakers(ledger))

    async def vectors_for(self, texts: Sequence[str]) -> Mapping[str, Vector]:
        """See ``VectorIndex.vectors_for``."""
        return await self._run(self._vectors_for({digest(text): text for text in texts}))

    async def claim(self, log: LogId, *, bind: bool) -> LogId | None:
        """See ``Claimable``. Two logs that bind a new index at once may both be told that it is
        theirs; the next call corrects one of them.
        """
        return await self._run(self._claim(log, bind=bind))

    async def count(self, ledger: LedgerId) -> int:
        """See ``VectorIndex.count``."""
        return await self._run(self._count(ledger))

    async def keys(self) -> list[FactKey]:
        """Return the keys of all documents of all ledgers, sorted."""
        return await self._run(self._keys())

    async def clear(self) -> None:
        """Drop the collections and create them for the configured embedder and layout."""
        await self._run(self._clear())

    async def ping(self) -> str:
        """Check both ports and the collections; return name and version of the server."""
        return await self._run(self._ping())

    async def close(self) -> None:
        """Close the connection. Idempotent."""
        left = await self._loop.close_async(last=self._connection.close())
        if left:
            raise AdapterUnavailable(NAME, f"did not end while it was closed: {', '.join(left)}")

    async def _run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run work in the loop of the client; answers that can't be read are ``IntegrityError``."""
        with decoding(f"{NAME}, collection {self._settings.collection}"):
            return await self._loop.run_async(work)

    async def _client(self) -> WeaviateAsyncClient:
        """Return the client, after creating or checking the collections."""
        client = await self._connection.client()
        if not self._prepared:
            await self._collections.prepare(self._connection)
            self._prepared = True
        return client

    async def _ask(self, what: str, call: Any, seconds: float | None = None) -> Any:
        try:
            return await self._connection.ask(what, call, seconds)
        except AdapterUnavailable:
            # The collections may have been dropped or recreated: the next call checks them again.
            self._prepared = False
            raise

    async def _put(
        self, latest: Mapping[UUID, tuple[Document, npt.NDArray[np.float32] | None]]
    ) -> None:
        if not latest:
            return
        client = await self._client()
        locations = await self._locations(client, list(latest))
        moved = {
            each: location.ledger
            for each, location in locations.items()
            if location.ledger != latest[each][0].scope.ledger
        }
        # This order keeps every document in one tenant only, with a directory row, at all times.
        await self._delete(client, moved)
        if self._settings.tenancy is not Tenancy.NONE:
            await self._write_locations(client, latest, locations)
        by_tenant: dict[str | None, list[Any]] = defaultdict(list)
        for each, (document, vector) in latest.items():
            tenant = self._collections.tenant(document.scope.ledger)
            by_tenant[tenant].append(_object(each, document, vector))
        await self._insert(
            (self._collections.documents(client, tenant), objects)
            for tenant, objects in by_tenant.items()
        )
        ledgers = {document.scope.ledger for document, _ in latest.values()}
        await self._touch(client, ledgers | set(moved.values()))

    async def _remove(self, ids: Sequence[UUID]) -> None:
        if not ids:
            return
        client = await self._client()
        locations = await self._locations(client, ids)
        ledgers = {each: location.ledger for each, location in locations.items()}
        await self._delete(client, ledgers)
        if self._settings.tenancy is not Tenancy.NONE:
            await self._delete_from(self._collections.directory(client), list(ledgers))
        await self._touch(client, set(ledgers.values()))

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
                # One query per text: many documents of one text would fill a shared page.
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
        """Return, by tenant, the digests of texts that it contains."""
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

    async def _claim(self, log: LogId, *, bind: bool) -> LogId | None:
        from weaviate.classes.data import DataObject

        directory = self._collections.directory(await self._client())
        held = await self._held(directory)
        if held is None and bind:
            row: Any = DataObject(uuid=CLAIM, properties={"ledger": log})
            await self._insert([(directory, [row])])
            held = await self._held(directory)
        return held

    async def _held(self, directory: Collection) -> LogId | None:
        from weaviate.classes.query import Filter

        page = await self._ask(
            "reading the directory",
            directory.query.fetch_objects(
                filters=Filter.by_id().contains_any([CLAIM]),
                limit=1,
                return_properties=["ledger"],
            ),
        )
        return LogId(page.objects[0].properties["ledger"]) if page.objects else None

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

    async def _locations(
        self, client: WeaviateAsyncClient, ids: Sequence[UUID]
    ) -> dict[UUID, _Location]:
        """Return the locations of the documents with these ids, if the index has them."""
        from weaviate.classes.query import Filter

        tenants = self._settings.tenancy is not Tenancy.NONE
        collection = (
            self._collections.directory(client)
            if tenants
            else self._collections.documents(client, None)
        )
        locations: dict[UUID, _Location] = {}
        for part in _parts(ids, IDS):
            page = await self._ask(
                "reading the directory",
                collection.query.fetch_objects(
                    filters=Filter.by_id().contains_any(part),
                    limit=IDS,
                    return_properties=["digest", "ledger" if tenants else "owner"],
                ),
            )
            for each in page.objects:
                ledger = each.properties["ledger" if tenants else "owner"]
                locations[UUID(int=each.uuid.int)] = _Location(
                    ledger=LedgerId(ledger), digest=each.properties["digest"]
                )
        return locations

    async def _write_locations(
        self,
        client: WeaviateAsyncClient,
        latest: Mapping[UUID, tuple[Document, Any]],
        known: Mapping[UUID, _Location],
    ) -> None:
        from weaviate.classes.data import DataObject

        rows: list[Any] = []
        for each, (document, _) in latest.items():
            location = _Location(ledger=document.scope.ledger, digest=digest(document.text))
            if known.get(each) != location:
                kept = {"ledger": location.ledger, "digest": location.digest}
                rows.append(DataObject(uuid=each, properties=kept))
        await self._insert([(self._collections.directory(client), rows)])

    async def _touch(self, client: WeaviateAsyncClient, ledgers: set[LedgerId]) -> None:
        """Give ledgers a new generation, which invalidates their cached statistics."""
        from weaviate.classes.data import DataObject

        rows: list[Any] = [
            DataObject(uuid=ledger_id(ledger), properties={"generation": uuid4().hex})
            for ledger in sorted(ledgers)
        ]
        await self._insert([(self._collections.directory(client), rows)])

    async def _insert(self, parts: Iterable[tuple[Collection, Sequence[Any]]]) -> None:
        """Write objects to collections in batches, several at once; no object is in two batches."""
        slots = asyncio.Semaphore(BATCHES)

        async def write(collection: Collection, batch: list[Any]) -> None:
            async with slots:
                result = await self._ask(
                    "writing a batch",
                    collection.data.insert_many(batch),
                    self._settings.write_timeout,
                )
            if result.has_errors:
                place, error = min(result.errors.items())
                if is_of_another_size(error.message):
                    raise other_vectors(error.message)
                raise AdapterUnavailable(
                    NAME,
                    f"the server refused {len(result.errors)} of {len(batch)} objects of a batch, "
                    f"the first at {place}: {error.message}",
                )

        await together(
            write(collection, batch)
            for collection, objects in parts
            for batch in _batches(objects, self._settings.batch)
        )

    async def _delete(self, client: WeaviateAsyncClient, ledgers: Mapping[UUID, LedgerId]) -> None:
        by_tenant: dict[str | None, list[UUID]] = defaultdict(list)
        for each, ledger in ledgers.items():
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
                    NAME, f"did not delete {result.failed} of {result.matches} documents"
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
    """Yield objects in batches of bounded number and size."""
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
