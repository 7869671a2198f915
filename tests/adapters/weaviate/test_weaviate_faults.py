"""Faults of the Weaviate server: errors are reported, and calls succeed again after recovery."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from time import monotonic
from typing import Any

import pytest
import weaviate
from attrs import evolve, frozen
from weaviate.classes.data import DataObject

from remembrancer.adapters.vector_index.weaviate import (
    Tenancy,
    WeaviateSettings,
    WeaviateVectorIndex,
)
from remembrancer.domain.errors import AdapterUnavailable, InvalidRequest, SettingsError
from remembrancer.domain.ports.vector_index import IndexQuery
from remembrancer.domain.scope import LedgerId, Scope
from remembrancer.testing.driving import Driven
from remembrancer.testing.unreliable_wire import UnreliableWire
from remembrancer.testing.vector_index import DIMENSION, LATER, document, vector
from remembrancer.testing.weaviate import WeaviateServer
from tests.adapters.weaviate.making import MakeIndex

ALICE = LedgerId("user:alice")
TEA = IndexQuery(scope=Scope(user_id="alice"), text="tea", vector=vector(1), now=LATER)


@frozen
class Wires:
    """Proxies to the server's two ports, which can be cut."""

    http: UnreliableWire
    grpc: UnreliableWire

    def ports(self) -> dict[str, Any]:
        return {"host": "127.0.0.1", "port": self.http.port, "grpc_port": self.grpc.port}

    def up(self) -> None:
        self.http.mend()
        self.grpc.mend()

    def down(self) -> None:
        self.http.cut()
        self.grpc.cut()

    def silence(self) -> None:
        self.http.silence()
        self.grpc.silence()


@pytest.fixture
def wires(settings: WeaviateSettings) -> Iterator[Wires]:
    host, port, grpc_port = settings.host, settings.port, settings.grpc_port
    with UnreliableWire(host, port) as http, UnreliableWire(host, grpc_port) as grpc:
        wires = Wires(http, grpc)
        wires.down()
        yield wires


def test_first_call_waits_for_an_absent_server_and_later_calls_fail_at_once(
    wires: Wires, make_index: MakeIndex
) -> None:
    index = make_index(**wires.ports(), startup_wait=1.0)
    began = monotonic()
    with pytest.raises(AdapterUnavailable, match="after waiting 1 s; check that the server") as one:
        index.search(TEA)
    assert monotonic() - began >= 0.7
    assert one.value.adapter == "weaviate"
    assert f"127.0.0.1:{wires.ports()['port']}" in str(one.value)
    with pytest.raises(AdapterUnavailable, match="check that the server is running") as two:
        index.put([document("tea")])
    assert "after waiting" not in str(two.value)


def test_first_call_uses_a_server_that_starts_during_the_wait(
    wires: Wires, make_index: MakeIndex
) -> None:
    index = make_index(**wires.ports(), startup_wait=30.0)
    starting = threading.Timer(0.5, wires.up)
    starting.start()
    index.put([document("tea")])
    starting.join()
    assert index.count(ALICE) == 1


def test_calls_fail_while_the_server_is_down_and_succeed_after_it_is_back(
    wires: Wires, make_index: MakeIndex
) -> None:
    wires.up()
    index = make_index(**wires.ports(), timeout=2.0, write_timeout=2.0)
    first, second = document("tea"), document("green tea")
    index.put([first])
    wires.down()
    for call in (
        lambda: index.search(TEA),
        lambda: index.put([second]),
        lambda: index.remove([first.key]),
        lambda: index.count(ALICE),
        lambda: index.speakers(ALICE),
        lambda: index.vectors_for(["tea"]),
        lambda: index.ping(),
        lambda: index.keys(),
        lambda: index.clear(),
    ):
        with pytest.raises(AdapterUnavailable, match="weaviate"):
            call()
    wires.up()
    assert index.ping().startswith("weaviate ")
    index.put([first, second])
    assert {hit.key for hit in index.search(TEA)} == {first.key, second.key}
    index.remove([first.key])
    assert index.count(ALICE) == 1


def test_search_times_out_on_a_silent_connection_and_then_reconnects(
    wires: Wires, make_index: MakeIndex
) -> None:
    wires.up()
    index = make_index(**wires.ports(), timeout=1.0, write_timeout=1.0)
    tea = document("tea")
    index.put([tea])
    wires.silence()
    began = monotonic()
    with pytest.raises(AdapterUnavailable, match=r"no answer from .* within 1 s"):
        index.search(TEA)
    assert monotonic() - began < 5
    assert [hit.key for hit in index.search(TEA)] == [tea.key]


def test_put_reports_a_refused_object_of_a_batch_and_can_be_repeated(
    settings: WeaviateSettings, raw: weaviate.WeaviateClient, make_index: MakeIndex
) -> None:
    index = make_index(tenancy=Tenancy.NONE)
    index.ping()
    collection = raw.collections.use(settings.collection)
    wrong_dimension = DataObject(properties={}, vector=[1.0] * (DIMENSION + 1))
    collection.data.insert_many([wrong_dimension])
    without, tea = document("water", vector=None), document("tea")
    for documents in ([without, tea], [tea]):
        with pytest.raises(SettingsError, match=r"vector_index\.collection: .*another size"):
            index.put(documents)
    index.clear()
    index.put([without, tea])
    assert [hit.key for hit in index.search(TEA)] == [tea.key]


def test_wrong_api_key_is_refused_without_waiting_and_repr_hides_the_key() -> None:
    with WeaviateServer(api_key="sesame") as server:
        right = WeaviateSettings(
            port=server.port, grpc_port=server.grpc_port, api_key="sesame", startup_wait=30.0
        )
        assert "sesame" not in repr(right)
        for key in ("", "simsalabim"):
            index = WeaviateVectorIndex(evolve(right, api_key=key), "m", DIMENSION)
            began = monotonic()
            with pytest.raises(SettingsError, match=r"check vector_index\.api_key"):
                asyncio.run(index.ping())
            assert monotonic() - began < 10
            asyncio.run(index.close())
        index = WeaviateVectorIndex(right, "m", DIMENSION)
        assert asyncio.run(index.ping()) == "weaviate 1.39.0"
        asyncio.run(index.close())


def test_revoked_api_key_is_reported_as_a_wrong_key() -> None:
    with WeaviateServer(api_key="old") as server:
        settings = WeaviateSettings(port=server.port, grpc_port=server.grpc_port, api_key="old")
        index = Driven(WeaviateVectorIndex(settings, "m", DIMENSION))
        index.put([document("tea")])
        server.require("new")
        with pytest.raises(SettingsError, match=r"check vector_index\.api_key"):
            index.search(TEA)
        server.require("old")
        assert len(index.search(TEA)) == 1
        index.close()


def test_headers_are_sent_with_every_call() -> None:
    with WeaviateServer(api_key="sesame") as server:
        settings = WeaviateSettings(
            port=server.port,
            grpc_port=server.grpc_port,
            headers=("Authorization: Bearer sesame",),
        )
        index = Driven(WeaviateVectorIndex(settings, "m", DIMENSION))
        index.put([document("tea")])
        assert len(index.search(TEA)) == 1
        index.close()


def test_too_old_server_is_refused_with_its_version() -> None:
    with WeaviateServer(version="1.32.4") as server:
        settings = WeaviateSettings(port=server.port, grpc_port=server.grpc_port)
        index = WeaviateVectorIndex(settings, "m", DIMENSION)
        with pytest.raises(SettingsError, match=r"version 1\.32\.4; at least 1\.33"):
            asyncio.run(index.ping())
        asyncio.run(index.close())


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"model": "n"}, "embedder 'm', the settings need 'n'"),
        ({"dimension": 5}, "dimension 4, the settings need 5"),
        ({"tenancy": Tenancy.NONE}, "tenancy 'bucket of 2', the settings need 'none'"),
        ({"buckets": 3}, "tenancy 'bucket of 2', the settings need 'bucket of 3'"),
    ],
)
def test_collection_made_with_other_settings_is_refused_until_it_is_cleared(
    make_index: MakeIndex, changes: dict[str, Any], named: str
) -> None:
    tea = document("tea")
    old = make_index()
    old.put([tea])
    new = make_index(**changes)
    for call in (lambda: new.search(IndexQuery(scope=tea.scope, text="tea", now=LATER)), new.ping):
        with pytest.raises(SettingsError, match=named):
            call()
    assert old.count(ALICE) == 1
    new.clear()
    assert new.count(ALICE) == 0
    assert new.ping().startswith("weaviate ")


def test_collection_not_made_by_remembrancer_is_never_changed(
    settings: WeaviateSettings, raw: weaviate.WeaviateClient, make_index: MakeIndex
) -> None:
    theirs = raw.collections.create(settings.collection, description="Cats")
    theirs.data.insert_many([DataObject(properties={"name": "Minka"})])
    index = make_index()
    for call in (index.ping, index.clear, lambda: index.put([document("tea")])):
        with pytest.raises(SettingsError, match="was not made by remembrancer"):
            call()
    assert len(theirs.query.fetch_objects(limit=2).objects) == 1


def test_collection_made_by_auto_schema_from_a_late_write_is_replaced(
    settings: WeaviateSettings, raw: weaviate.WeaviateClient, make_index: MakeIndex
) -> None:
    late = raw.collections.use(f"{settings.collection}Directory")
    late.data.insert_many([DataObject(properties={"generation": "x"})])
    index = make_index()
    index.put([document("tea")])
    assert index.count(ALICE) == 1


def test_dropped_collections_are_created_again(
    settings: WeaviateSettings, raw: weaviate.WeaviateClient, make_index: MakeIndex
) -> None:
    index = make_index()
    index.put([document("tea")])
    raw.collections.delete([settings.collection, f"{settings.collection}Directory"])
    with pytest.raises(AdapterUnavailable, match="dropped in the meantime"):
        index.search(TEA)
    assert index.search(TEA) == []
    index.put([document("tea")])
    assert len(index.search(TEA)) == 1


def test_closed_index_raises_adapter_unavailable(make_index: MakeIndex) -> None:
    index = make_index()
    index.put([document("tea")])
    index.close()
    index.close()
    with pytest.raises(AdapterUnavailable, match="has been closed"):
        index.search(TEA)
    never_used = make_index()
    never_used.close()


def test_invalid_settings_are_refused() -> None:
    for bad in (
        {"port": 0},
        {"grpc_port": 70_000},
        {"timeout": 0.0},
        {"collection": "lower"},
        {"buckets": 0},
        {"headers": ("no colon",)},
    ):
        with pytest.raises(ValueError):
            WeaviateSettings(**bad)  # pyright: ignore[reportArgumentType]


def test_document_larger_than_a_request_is_refused() -> None:
    with WeaviateServer(largest_message=1 << 20) as server:
        settings = WeaviateSettings(port=server.port, grpc_port=server.grpc_port)
        index = Driven(WeaviateVectorIndex(settings, "m", DIMENSION))
        huge = document("tea", attributes={"metadata": {"huge": "x" * (2 << 20)}})
        with pytest.raises(InvalidRequest, match="documents"):
            index.put([huge])
        index.put([document("tea")])
        assert len(index.search(TEA)) == 1
        index.close()


@pytest.mark.parametrize(
    ("host", "options"),
    [
        ("weaviate.internal", {}),
        ("10.0.0.7", {"tls": True}),
        ("127.0.0.1", {"grpc_host": "weaviate.internal"}),
    ],
)
def test_key_and_headers_are_not_sent_to_another_machine_without_tls(
    host: str, options: dict[str, Any]
) -> None:
    for secret in ({"api_key": "sesame"}, {"headers": ("X-Key: sesame",)}):
        given: dict[str, Any] = {"host": host, **options, **secret}
        with pytest.raises(ValueError, match="plain_secrets") as refused:
            WeaviateSettings(**given)
        assert "sesame" not in str(refused.value)
        WeaviateSettings(**given, plain_secrets=True)
        WeaviateSettings(**{**given, "tls": True, "grpc_tls": True})


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "::1", "[::1]"])
def test_key_is_sent_to_this_machine_without_tls(host: str) -> None:
    assert WeaviateSettings(host=host, api_key="sesame").api_key == "sesame"
