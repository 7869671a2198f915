"""Contract tests of the Qdrant index in local mode, over HTTP, and on a real server."""

from __future__ import annotations

import asyncio
import gc
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from qdrant_client import models

from remembrancer.adapters.vector_index.qdrant import QdrantSettings, QdrantVectorIndex
from remembrancer.domain.errors import AdapterUnavailable, InvalidRequest, SettingsError
from remembrancer.testing.driving import Driven
from remembrancer.testing.external_index import ExternalIndexContract
from remembrancer.testing.vector_index import DIMENSION, document, vector
from tests.engines import qdrant_server
from tests.engines.qdrant_server import API_KEY, StandIn
from tests.helpers.waiting import until

ALICE = "user:alice"

# No TLS is needed on the loopback interface.
pytestmark = [
    pytest.mark.filterwarnings("ignore:Api key is used with an insecure connection"),
    pytest.mark.slow,
]


class TestLocalMode(ExternalIndexContract):
    compares = True

    def make_index(self, tmp_path: Path) -> QdrantVectorIndex:
        return QdrantVectorIndex(QdrantSettings(), "m", DIMENSION)

    def make_neighbour(self, tmp_path: Path) -> Any:
        pytest.skip("declared: in local mode each index has its own engine")


class OnServer(ExternalIndexContract):
    compares = True

    def make_worker(self, tmp_path: Path) -> Any:
        return self.made()

    def make_neighbour(self, tmp_path: Path) -> Any:
        return self.made(f"{self.collection}-neighbour")

    def opened(self, url: str, api_key: str) -> Iterator[None]:
        """Create collections for one test, and drop them after it."""
        self.collection = f"test-{uuid.uuid4().hex}"
        made: list[Any] = []

        def make(collection: str = self.collection) -> Any:
            made.append(index_at(url, api_key=api_key, collection=collection))
            return made[-1]

        self.made = make
        self.index = make()
        yield
        for each in (make(), make(f"{self.collection}-neighbour")):
            each.clear()
        for each in made:
            each.close()


class TestOverHttp(OnServer):
    @pytest.fixture(autouse=True)
    def _index(self, server: tuple[str, StandIn]) -> Iterator[None]:
        yield from self.opened(server[0], API_KEY)


@pytest.mark.skipif(qdrant_server.real_url() is None, reason="QDRANT_URL is not set")
class TestRealServer(OnServer):
    @pytest.fixture(autouse=True)
    def _index(self) -> Iterator[None]:
        yield from self.opened(qdrant_server.real_url() or "", "")


@pytest.fixture
def server() -> Iterator[tuple[str, StandIn]]:
    with qdrant_server.running() as running:
        yield running


def index_at(url: str, **changes: Any) -> Any:
    settings = QdrantSettings(**{"url": url, "api_key": API_KEY, **changes})
    return Driven(QdrantVectorIndex(settings, "m", DIMENSION))


def test_local_folder_keeps_documents_after_close(tmp_path: Path) -> None:
    tea = document("green tea")
    first = index_at("", path=str(tmp_path), api_key="")
    first.put([tea])
    first.close()
    again = index_at("", path=str(tmp_path), api_key="")
    assert again.count(ALICE) == 1
    assert dict(again.vectors_for(["green tea"])) == {"green tea": vector(1)}
    again.close()


# The refused client does not close its lock file; the garbage collector does.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_local_folder_in_use_raises_adapter_unavailable(tmp_path: Path) -> None:
    first = index_at("", path=str(tmp_path), api_key="")
    first.put([document("tea")])
    second = index_at("", path=str(tmp_path), api_key="")
    with pytest.raises(AdapterUnavailable, match="qdrant"):
        second.count(ALICE)
    first.close()
    # A file that the client left open would fail here as a ResourceWarning
    del second
    gc.collect()


def test_two_clients_of_a_server_share_documents(server: tuple[str, StandIn]) -> None:
    one, two = index_at(server[0]), index_at(server[0])
    one.put([document("green tea")])
    assert two.count(ALICE) == 1
    one.close()
    two.close()


def test_cleared_index_is_empty_and_usable(server: tuple[str, StandIn]) -> None:
    index = index_at(server[0])
    index.put([document("green tea")])
    index.clear()
    assert index.count(ALICE) == 0
    index.put([document("tea")])
    assert index.count(ALICE) == 1
    index.close()


def test_collection_of_another_embedder_is_refused_until_it_is_cleared(
    server: tuple[str, StandIn],
) -> None:
    index = index_at(server[0])
    index.put([document("green tea")])
    index.close()
    settings = QdrantSettings(url=server[0], api_key=API_KEY)
    other: Any = Driven(QdrantVectorIndex(settings, "another", DIMENSION))
    with pytest.raises(InvalidRequest, match=r"vector_index\.collection: .*'m'.*'another'"):
        other.count(ALICE)
    other.clear()
    assert other.count(ALICE) == 0
    other.close()


def test_collection_of_another_application_is_refused(server: tuple[str, StandIn]) -> None:
    server[1].engine.create_collection("theirs", vectors_config={})
    index = index_at(server[0], collection="theirs")
    with pytest.raises(InvalidRequest, match=r"was made for another application"):
        index.put([document("tea")])
    index.close()


@pytest.mark.parametrize("host", ["qdrant", "10.0.0.7:6333", "localhost.example.org"])
def test_key_is_not_sent_to_another_machine_without_tls(host: str) -> None:
    with pytest.raises(ValueError, match="plain_secrets") as refused:
        QdrantSettings(url=f"http://{host}", api_key="sesame")
    assert "sesame" not in str(refused.value)
    QdrantSettings(url=f"http://{host}", api_key="sesame", plain_secrets=True)
    QdrantSettings(url=f"https://{host}", api_key="sesame")
    QdrantSettings(url=f"http://{host}")


@pytest.mark.parametrize("host", ["localhost:6333", "127.0.0.1:6333", "[::1]:6333"])
def test_key_is_sent_to_this_machine_without_tls(host: str) -> None:
    assert QdrantSettings(url=f"http://{host}", api_key="sesame").api_key == "sesame"


def test_put_into_a_collection_of_another_size_names_the_collection(
    server: tuple[str, StandIn],
) -> None:
    index = index_at(server[0])
    index.put([document("green tea")])
    # When the collection is made again behind the back of the index
    made = server[1].engine.get_collection("remembrancer").config
    server[1].engine.delete_collection("remembrancer")
    server[1].engine.create_collection(
        "remembrancer",
        vectors_config={
            "text": models.VectorParams(size=DIMENSION + 1, distance=models.Distance.DOT)
        },
        sparse_vectors_config=made.params.sparse_vectors,
        metadata=made.metadata,
    )
    # Then the first refusal may be about the document, and the next one tells
    with pytest.raises((InvalidRequest, AdapterUnavailable)):
        index.put([document("black tea")])
    with pytest.raises(SettingsError, match=r"^vector_index\.collection: .*components"):
        index.put([document("black tea")])
    index.clear()
    index.put([document("black tea")])
    index.close()


def test_wrong_api_key_raises_settings_error(server: tuple[str, StandIn]) -> None:
    index = index_at(server[0], api_key="wrong")
    with pytest.raises(SettingsError, match=r"vector_index\.api_key"):
        index.count(ALICE)
    index.close()


@pytest.mark.parametrize("status", [500, 503, 429])
def test_failing_server_raises_adapter_unavailable_until_it_recovers(
    server: tuple[str, StandIn], status: int
) -> None:
    index = index_at(server[0])
    index.put([document("green tea")])
    server[1].fail_with = status
    with pytest.raises(AdapterUnavailable, match=f"qdrant: status {status}"):
        index.put([document("black tea")])
    server[1].fail_with = None
    assert index.count(ALICE) == 1
    index.close()


def test_absent_server_raises_adapter_unavailable() -> None:
    with qdrant_server.running() as (url, _):
        pass
    index = index_at(url)
    with pytest.raises(AdapterUnavailable, match="qdrant: no answer"):
        index.count(ALICE)
    index.close()


def test_dropped_collection_is_created_again(
    server: tuple[str, StandIn],
) -> None:
    index = index_at(server[0])
    index.put([document("green tea")])
    server[1].engine.delete_collection("remembrancer")
    with pytest.raises(AdapterUnavailable, match="404"):
        index.count(ALICE)
    assert index.count(ALICE) == 0
    index.close()


def test_ping_returns_name_and_version(server: tuple[str, StandIn]) -> None:
    index = index_at(server[0])
    assert index.ping() == f"qdrant {qdrant_server.VERSION}"
    index.close()
    local = index_at("", api_key="")
    assert local.ping().endswith("(local)")
    local.close()


def test_closed_index_raises_adapter_unavailable(server: tuple[str, StandIn]) -> None:
    index = index_at(server[0])
    index.put([document("green tea")])
    index.close()
    index.close()
    with pytest.raises(AdapterUnavailable, match="closed"):
        index.count(ALICE)


def check_threads(*settings: QdrantSettings) -> None:
    """Check that indexes which are open at the same time have threads, and none after closing."""

    async def use() -> None:
        indexes = [QdrantVectorIndex(each, "m", DIMENSION) for each in settings]
        for index in indexes:
            await index.put([document("green tea")])
        assert len(set(threading.enumerate()) - before) >= len(indexes)
        for index in indexes:
            await index.close()

    before = set(threading.enumerate())
    # Not ``Driven``: its loop, and the threads of its loop, live on.
    asyncio.run(use())
    until(lambda: set(threading.enumerate()) <= before)


@pytest.mark.parametrize("folder", ["", "index"], ids=["in memory", "in a folder"])
def test_closed_local_index_leaves_no_thread(tmp_path: Path, folder: str) -> None:
    check_threads(QdrantSettings(path=str(tmp_path / folder) if folder else ""))


def test_several_closed_indexes_leave_no_thread(
    server: tuple[str, StandIn], tmp_path: Path
) -> None:
    on_server = QdrantSettings(url=server[0], api_key=API_KEY)
    in_folders = [QdrantSettings(path=str(tmp_path / name)) for name in ("a", "b")]
    check_threads(QdrantSettings(), QdrantSettings(), *in_folders, on_server, on_server)
