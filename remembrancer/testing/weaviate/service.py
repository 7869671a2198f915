"""The gRPC service of the stand-in, with the protobuf messages of the client."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from importlib import import_module
from typing import Any
from uuid import UUID

import numpy as np
from weaviate.proto.v1 import (
    aggregate_pb2,
    base_pb2,
    batch_delete_pb2,
    batch_pb2,
    properties_pb2,
    search_get_pb2,
    tenants_pb2,
    weaviate_pb2_grpc,
)

from remembrancer.testing.weaviate.filtering import Test, test_of
from remembrancer.testing.weaviate.ranking import Ranked, best, best_worded, nearest
from remembrancer.testing.weaviate.stored import (
    Refusal,
    Shard,
    Store,
    StoredCollection,
    StoredObject,
)

# grpc has no types.
grpc: Any = import_module("grpc")

MOST = 10_000
"""``QUERY_MAXIMUM_RESULTS``: offset and limit of a search together."""

_DEFAULT_LIMIT = 10


class Service(weaviate_pb2_grpc.WeaviateServicer):
    """Answers one call at a time.

    Args:
        store: the collections.
        lock: held during each call.
        api_key: returns the key that clients must send; empty for no authentication.
        counted: called with the name of every call.
    """

    def __init__(
        self,
        store: Store,
        lock: threading.Lock,
        api_key: Callable[[], str],
        counted: Callable[[str], None],
    ) -> None:
        self._store = store
        self._lock = lock
        self._api_key = api_key
        self._counted = counted

    def Search(self, request: Any, context: Any) -> Any:  # noqa: N802
        return self._answer("Search", context, lambda: self._search(request))

    def Aggregate(self, request: Any, context: Any) -> Any:  # noqa: N802
        return self._answer("Aggregate", context, lambda: self._aggregate(request))

    def BatchObjects(self, request: Any, context: Any) -> Any:  # noqa: N802
        return self._answer("BatchObjects", context, lambda: self._batch(request))

    def BatchDelete(self, request: Any, context: Any) -> Any:  # noqa: N802
        return self._answer("BatchDelete", context, lambda: self._delete(request))

    def TenantsGet(self, request: Any, context: Any) -> Any:  # noqa: N802
        return self._answer("TenantsGet", context, lambda: self._tenants(request))

    def _answer(self, name: str, context: Any, answer: Callable[[], Any]) -> Any:
        self._counted(name)
        given = dict(context.invocation_metadata()).get("authorization", "")
        wanted = self._api_key()
        if wanted and given != f"Bearer {wanted}":
            context.abort(grpc.StatusCode.UNKNOWN, "extract auth: unauthorized: invalid api key")
        try:
            with self._lock:
                return answer()
        except Refusal as refusal:
            # The real server uses this code for all refusals.
            return context.abort(grpc.StatusCode.UNKNOWN, str(refusal))

    def _search(self, request: Any) -> Any:
        collection = self._store.get(request.collection)
        shard = collection.shard(request.tenant)
        limit, offset = request.limit or _DEFAULT_LIMIT, request.offset
        if limit + offset > MOST:
            raise Refusal(
                "query maximum results exceeded: the total limit calculated from the provided "
                f"offset '{offset}' and limit '{limit}' exceeds the configured value for "
                f"QUERY_MAXIMUM_RESULTS '{MOST}'"
            )
        found = self._found(request, collection, shard, offset + limit)[offset:]
        reply = search_get_pb2.SearchReply()
        for stored, rank in found:
            reply.results.append(_result(request, collection, stored, rank))
        return reply

    def _found(
        self, request: Any, collection: StoredCollection, shard: Shard, count: int
    ) -> Ranked:
        test = _test(request, collection)
        if request.HasField("near_vector"):
            packed = request.near_vector.vectors[0].vector_bytes
            return best(nearest(shard, np.frombuffer(packed, dtype="<f4"), test), count)
        if request.HasField("bm25_search"):
            asked = request.bm25_search
            ranked = best_worded(collection, shard, asked.query, asked.properties, test)
            negative = best([(stored, -score) for stored, score in ranked], count)
            return [(stored, -score) for stored, score in negative]
        if request.after:
            if request.HasField("filters"):
                raise Refusal(
                    "cursor api: invalid 'after' parameter: where cannot be set with after and "
                    "limit parameters"
                )
            after = UUID(request.after)
            later = sorted(each for each in shard.objects if each > after)
            return [(shard.objects[each], 0.0) for each in later[:count]]
        if request.HasField("filters"):
            return [(each, 0.0) for each in shard.objects.values() if test(each)][:count]
        return [(shard.objects[each], 0.0) for each in sorted(shard.objects)[:count]]

    def _aggregate(self, request: Any) -> Any:
        collection = self._store.get(request.collection)
        shard = collection.shard(request.tenant)
        test = _test(request, collection)
        found = [each for each in shard.objects.values() if test(each)]
        reply = aggregate_pb2.AggregateReply()
        reply.single_result.objects_count = len(found)
        for asked in request.aggregations:
            values = [
                int(value)
                for each in found
                if (value := each.properties.get(asked.property)) is not None
            ]
            made = reply.single_result.aggregations.aggregations.add(property=asked.property)
            made.int.count = len(values)
            if values:
                made.int.sum = sum(values)
        return reply

    def _batch(self, request: Any) -> Any:
        reply = batch_pb2.BatchObjectsReply()
        for place, each in enumerate(request.objects):
            try:
                self._put(each)
            except Refusal as refusal:
                reply.errors.append(
                    batch_pb2.BatchObjectsReply.BatchError(index=place, error=str(refusal))
                )
        return reply

    def _put(self, each: Any) -> None:
        properties = _properties(each.properties)
        collection = self._store.to_write(each.collection, properties)
        collection.check(properties)
        packed = each.vector_bytes or (each.vectors[0].vector_bytes if each.vectors else b"")
        vector = np.frombuffer(packed, dtype="<f4") if packed else None
        collection.shard(each.tenant, writing=True).put(UUID(each.uuid), properties, vector)

    def _delete(self, request: Any) -> Any:
        collection = self._store.to_write(request.collection, {})
        shard = collection.shard(request.tenant)
        test = _test(request, collection)
        gone = [each.uuid for each in shard.objects.values() if test(each)]
        for uuid in gone:
            del shard.objects[uuid]
        return batch_delete_pb2.BatchDeleteReply(matches=len(gone), successful=len(gone))

    def _tenants(self, request: Any) -> Any:
        collection = self._store.get(request.collection)
        if not collection.has_tenants:
            raise Refusal(f'multi-tenancy is not enabled for class "{request.collection}"')
        hot: Any = tenants_pb2.TENANT_ACTIVITY_STATUS_HOT
        return tenants_pb2.TenantsGetReply(
            tenants=[
                tenants_pb2.Tenant(name=name, activity_status=hot) for name in collection.shards
            ]
        )


def _test(request: Any, collection: StoredCollection) -> Test:
    if not request.HasField("filters"):
        return lambda _: True
    return test_of(request.filters, collection)


def _properties(packed: Any) -> dict[str, Any]:
    """The properties of a written object; protobuf numbers are doubles."""
    found: dict[str, Any] = {}
    for name, value in packed.non_ref_properties.fields.items():
        kind = value.WhichOneof("kind")
        if kind != "null_value":
            found[name] = getattr(value, kind)
    for array in packed.text_array_properties:
        found[array.prop_name] = list(array.values)
    return found


def _result(request: Any, collection: StoredCollection, stored: StoredObject, rank: float) -> Any:
    result = search_get_pb2.SearchResult()
    metadata: Any = result.metadata
    metadata.id = str(stored.uuid)
    metadata.id_as_bytes = stored.uuid.bytes
    if request.HasField("near_vector") and request.metadata.distance:
        metadata.distance, metadata.distance_present = rank, True
    if request.HasField("bm25_search") and request.metadata.score:
        metadata.score, metadata.score_present = rank, True
    if request.metadata.creation_time_unix:
        metadata.creation_time_unix = metadata.last_update_time_unix = stored.written_at
        metadata.creation_time_unix_present = metadata.last_update_time_unix_present = True
    if request.metadata.vector and stored.vector is not None:
        metadata.vectors.add(
            name="default",
            vector_bytes=stored.vector.tobytes(),
            type=base_pb2.Vectors.VECTOR_TYPE_SINGLE_FP32,
        )
    names = request.properties.non_ref_properties
    if request.properties.return_all_nonref_properties:
        names = [each["name"] for each in collection.config["properties"]]
    result.properties.target_collection = collection.name
    _return(result.properties.non_ref_props, names, stored.properties, collection)
    return result


def _return(
    reply: Any, names: Iterable[str], values: Mapping[str, Any], collection: StoredCollection
) -> None:
    for name in names:
        config, value = collection.property(name), values.get(name)
        field: Any = reply.fields[name]
        if value is None:
            field.null_value = 0
        elif isinstance(value, list):
            field.list_value.CopyFrom(
                properties_pb2.ListValue(text_values=properties_pb2.TextValues(values=value))
            )
        elif config["dataType"] == ["int"]:
            field.int_value = int(value)
        elif isinstance(value, float):
            field.number_value = value
        else:
            field.text_value = value
