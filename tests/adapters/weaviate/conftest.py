"""Weaviate server for the tests: a real one if ``WEAVIATE_URL`` is set, else the fake server."""

from __future__ import annotations

import asyncio
import os
import uuid
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
import weaviate
from attrs import evolve

from remembrancer.adapters.vector_index.weaviate import WeaviateSettings, WeaviateVectorIndex
from remembrancer.testing.driving import Driven
from remembrancer.testing.vector_index import DIMENSION
from remembrancer.testing.weaviate import WeaviateServer
from tests.adapters.weaviate.making import MakeIndex


@pytest.fixture(scope="session")
def server() -> Iterator[WeaviateSettings]:
    """Settings with the address of the server."""
    if "WEAVIATE_URL" in os.environ:
        url = urlsplit(os.environ["WEAVIATE_URL"])
        yield WeaviateSettings(
            host=url.hostname or "127.0.0.1",
            port=url.port or 8080,
            grpc_port=int(os.environ.get("WEAVIATE_GRPC_PORT", "50051")),
        )
        return
    with WeaviateServer() as fake:
        yield WeaviateSettings(port=fake.port, grpc_port=fake.grpc_port)


@pytest.fixture
def raw(server: WeaviateSettings) -> Iterator[weaviate.WeaviateClient]:
    """A plain Weaviate client, without the index."""
    with weaviate.connect_to_custom(
        http_host=server.host,
        http_port=server.port,
        http_secure=False,
        grpc_host=server.host,
        grpc_port=server.grpc_port,
        grpc_secure=False,
        skip_init_checks=True,
    ) as client:
        yield client


@pytest.fixture
def settings(server: WeaviateSettings, raw: weaviate.WeaviateClient) -> Iterator[WeaviateSettings]:
    """Settings with collections for one test; they and a neighbour's are dropped after it."""
    own = evolve(server, collection=f"T{uuid.uuid4().hex}", buckets=2)
    yield own
    names = (own.collection, f"{own.collection}Neighbour")
    raw.collections.delete([*names, *(f"{name}Directory" for name in names)])


@pytest.fixture
def make_index(settings: WeaviateSettings) -> Iterator[MakeIndex]:
    """Creates indexes on the test's collections, and closes them."""
    made: list[WeaviateVectorIndex] = []

    def make(model: str = "m", dimension: int = DIMENSION, **changes: Any) -> Any:
        made.append(WeaviateVectorIndex(evolve(settings, **changes), model, dimension))
        return Driven(made[-1])

    yield make
    for each in made:
        asyncio.run(each.close())
