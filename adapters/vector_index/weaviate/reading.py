"""Reads with protobuf messages, over the client's own connection.

The client's query API converts every result by testing each value for every type: more than half
of the time of a search in this process. This module reads only the requested fields from the
reply. Sending, headers, retries and errors are still the client's.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from remembrancer.adapters.index_scoring.hit_order import DIGITS
from remembrancer.adapters.vector_index.weaviate.connection import Connection
from remembrancer.adapters.vector_index.weaviate.settings import Consistency

if TYPE_CHECKING:
    from weaviate import WeaviateAsyncClient


class FoundObject(NamedTuple):
    """One object of a reply.

    ``rank`` is the similarity, or the server's own BM25. ``texts`` are the requested properties.
    ``vector`` is float32, little-endian; empty if it was not requested or does not exist.
    """

    id: bytes
    rank: float
    texts: dict[str, str]
    vector: bytes


class Reader:
    """Reader of one collection, or of one tenant of it.

    Args:
        connection: awaits the calls.
        client: the connected client.
        collection: name of the collection.
        tenant: ``None`` for a collection without tenants.
        consistency: consistency level of reads.

    All methods raise the errors of ``Connection.ask``.
    """

    def __init__(
        self,
        connection: Connection,
        client: WeaviateAsyncClient,
        collection: str,
        tenant: str | None,
        consistency: Consistency,
    ) -> None:
        self._connection = connection
        self._wire: Any = client._connection  # pyright: ignore[reportPrivateUsage]
        self._collection = collection
        self._tenant = tenant or ""
        self._consistency = consistency

    async def nearest(
        self, vector: bytes, condition: Any, limit: int, properties: Sequence[str]
    ) -> list[FoundObject]:
        """Return the nearest to ``vector`` (format as in ``FoundObject``), with similarities."""
        from weaviate.proto.v1 import base_pb2, base_search_pb2

        single = base_pb2.Vectors(
            vector_bytes=vector, type=base_pb2.Vectors.VECTOR_TYPE_SINGLE_FP32
        )
        near = base_search_pb2.NearVector(vectors=[single])
        return await self._search("searching", condition, limit, properties, near_vector=near)

    async def worded(
        self,
        terms: Sequence[str],
        field: str,
        condition: Any,
        limit: int,
        properties: Sequence[str],
        *,
        vectors: bool,
    ) -> list[FoundObject]:
        """Return the best by the server's own BM25 in one property, optionally with vectors."""
        from weaviate.proto.v1 import base_search_pb2

        asked = base_search_pb2.BM25(query=" ".join(terms), properties=[field])
        return await self._search(
            "searching",
            condition,
            limit,
            properties,
            bm25_search=asked,
            vectors=vectors,
        )

    async def listed(
        self, what: str, condition: Any, limit: int, properties: Sequence[str]
    ) -> list[FoundObject]:
        """Return up to ``limit`` objects that match. ``what`` names the call in errors."""
        return await self._search(what, condition, limit, properties)

    async def count(self, what: str, condition: Any) -> int:
        """Return the number of objects that match. ``what`` names the call in errors."""
        return (await self.sums(what, condition, []))[0]

    async def sums(
        self, what: str, condition: Any, properties: Sequence[str]
    ) -> tuple[int, dict[str, int]]:
        """Return the number of objects that match, and the sums of their integer properties."""
        from weaviate.proto.v1 import aggregate_pb2

        asked = aggregate_pb2.AggregateRequest
        number = asked.Aggregation.Integer(sum=True)
        request = asked(
            collection=self._collection,
            tenant=self._tenant,
            filters=condition,
            objects_count=True,
            aggregations=[asked.Aggregation(property=name, int=number) for name in properties],
        )
        reply = await self._connection.ask(what, self._wire.grpc_aggregate(request))
        found = reply.single_result
        sums = {each.property: each.int.sum for each in found.aggregations.aggregations}
        return found.objects_count, {name: sums.get(name, 0) for name in properties}

    async def _search(
        self,
        what: str,
        condition: Any,
        limit: int,
        properties: Sequence[str],
        *,
        vectors: bool = False,
        **kind: Any,
    ) -> list[FoundObject]:
        from weaviate.proto.v1 import search_get_pb2

        request = search_get_pb2.SearchRequest(
            uses_123_api=True,
            uses_125_api=True,
            uses_127_api=True,
            collection=self._collection,
            tenant=self._tenant,
            consistency_level=f"CONSISTENCY_LEVEL_{self._consistency.value}",
            limit=limit,
            filters=condition,
            properties=search_get_pb2.PropertiesRequest(non_ref_properties=properties),
            metadata=search_get_pb2.MetadataRequest(
                uuid=True,
                vector=vectors,
                distance="near_vector" in kind,
                score="bm25_search" in kind,
            ),
            **kind,
        )
        reply = await self._connection.ask(what, self._wire.grpc_search(request))
        return [_found(each) for each in reply.results]


def _found(result: Any) -> FoundObject:
    metadata = result.metadata
    fields = result.properties.non_ref_props.fields
    vectors = metadata.vectors
    return FoundObject(
        metadata.id_as_bytes,
        round(1.0 - metadata.distance, DIGITS) if metadata.distance_present else metadata.score,
        {name: value.text_value for name, value in fields.items()},
        vectors[0].vector_bytes if vectors else b"",
    )
