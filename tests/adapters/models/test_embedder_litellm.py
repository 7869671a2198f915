"""Contract tests of the litellm embedder, with a fake server on the loopback interface."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest

from remembrancer.adapters.models.litellm.embedder import LitellmEmbedder, LitellmEmbedderSettings
from remembrancer.domain.errors import AdapterUnavailable, InvalidRequest, ModelError, SettingsError
from remembrancer.testing.driving import Driven
from remembrancer.testing.embedder import EmbedderContract
from remembrancer.testing.model_server import Hang, ModelServer, Status

pytestmark = pytest.mark.slow


async def at_once(_seconds: float) -> None:
    """Replaces the sleep between retries."""


@pytest.fixture
def server() -> Iterator[ModelServer]:
    with ModelServer() as server:
        yield server


def embedder_at(server: ModelServer, **settings: Any) -> Any:
    settings = {"model": "openai/local", "dimension": 256, **settings}
    return Driven(
        LitellmEmbedder(LitellmEmbedderSettings(base_url=server.url, **settings), sleep=at_once)
    )


def vectors_saying(*vectors: Any) -> Status:
    rows = [{"index": index, "embedding": vector} for index, vector in enumerate(vectors)]
    return Status(code=200, body=json.dumps({"object": "list", "data": rows, "model": "local"}))


class TestLitellmEmbedder(EmbedderContract):
    @pytest.fixture(autouse=True)
    def serving(self, server: ModelServer) -> None:
        self.server = server

    def make_embedder(self) -> LitellmEmbedder:
        settings = LitellmEmbedderSettings(
            model="openai/local", base_url=self.server.url, dimension=256
        )
        return LitellmEmbedder(settings, sleep=at_once)


def test_texts_are_sent_in_batches_and_vectors_returned_in_order(server: ModelServer) -> None:
    texts = [f"text number {number}" for number in range(25)]
    batched = embedder_at(server, batch=10).embed(texts, "document")
    assert [len(asked.body["input"]) for asked in server.asked] == [10, 10, 5]
    assert batched == [embedder_at(server).embed([text], "document")[0] for text in texts]


def test_vectors_are_matched_by_their_index(server: ModelServer) -> None:
    rows = [{"index": 1, "embedding": [0.0, 1.0]}, {"index": 0, "embedding": [1.0, 0.0]}]
    server.script(Status(code=200, body=json.dumps({"object": "list", "data": rows})))
    vectors = embedder_at(server, dimension=2).embed(["first", "second"], "document")
    assert [list(vector) for vector in vectors] == [[1.0, 0.0], [0.0, 1.0]]


def test_blank_text_gets_a_zero_vector_and_is_not_sent(server: ModelServer) -> None:
    vectors = embedder_at(server).embed(["", "word", " \n"], "document")
    assert not any(vectors[0])
    assert any(vectors[1])
    assert not any(vectors[2])
    assert [asked.body["input"] for asked in server.asked] == [["word"]]


def test_vectors_are_normalised_to_length_one(server: ModelServer) -> None:
    server.script(vectors_saying([3.0, 4.0], [3e300, 4e300]))
    for vector in embedder_at(server, dimension=2).embed(["a", "b"], "document"):
        assert list(vector) == pytest.approx([0.6, 0.8])


@pytest.mark.parametrize(
    ("vectors", "problem"),
    [
        ([[1.0, 0.0], [0.0, 1.0]], "2 vectors for 1 texts"),
        ([[1.0, float("nan")]], "not finite"),
        ([[]], "vectors of 0 components"),
    ],
)
def test_wrong_vectors_raise_model_error(server: ModelServer, vectors: Any, problem: str) -> None:
    server.script(vectors_saying(*vectors))
    with pytest.raises(ModelError, match=problem):
        embedder_at(server, dimension=2).embed(["a"], "document")


def test_another_dimension_is_a_mistake_in_the_settings(server: ModelServer) -> None:
    server.script(vectors_saying([1.0, 0.0, 0.0]))
    with pytest.raises(SettingsError, match=r"^embedder\.dimension: .* 2 components, .* 3;"):
        embedder_at(server, dimension=2).embed(["a"], "document")


def test_request_to_an_overloaded_server_is_retried(server: ModelServer) -> None:
    server.script(Status(code=429, headers={"Retry-After": "1"}), Status(code=500))
    assert len(embedder_at(server).embed(["a"], "query")) == 1
    assert len(server.asked) == 3


def test_server_that_stays_down_raises_adapter_unavailable(server: ModelServer) -> None:
    server.script(*[Status(code=503)] * 9)
    with pytest.raises(AdapterUnavailable, match="litellm: openai/local"):
        embedder_at(server, retries=2).embed(["a"], "query")
    assert len(server.asked) == 3


def test_request_to_a_hanging_server_times_out(server: ModelServer) -> None:
    embedder_at(server).embed(["warm"], "query")
    server.script(Hang())
    with pytest.raises(AdapterUnavailable):
        embedder_at(server, retries=0, timeout=0.2).embed(["a"], "query")


def test_unknown_model_raises_invalid_request(server: ModelServer) -> None:
    server.script(Status(code=404))
    with pytest.raises(InvalidRequest, match=r"embedder\.model"):
        embedder_at(server).embed(["a"], "query")


def test_model_name_includes_the_dimension(server: ModelServer) -> None:
    names = {embedder_at(server, dimension=size).model for size in (256, 512)}
    assert len(names) == 2


def test_purpose_is_sent_to_providers_that_use_it(server: ModelServer) -> None:
    rows = {"response_type": "embeddings_floats", "id": "1", "embeddings": {"float": [[1.0, 0.0]]}}
    server.script(*[Status(code=200, body=json.dumps(rows))] * 2)
    embedder = LitellmEmbedder(
        LitellmEmbedderSettings(
            model="cohere/embed-english-v3.0",
            base_url=server.url,
            api_key="none",
            dimension=2,
            retries=0,
        ),
        sleep=at_once,
    )
    asyncio.run(embedder.embed(["a"], "document"))
    asyncio.run(embedder.embed(["a"], "query"))
    sent = [asked.body["input_type"] for asked in server.asked]
    assert sent == ["search_document", "search_query"]
