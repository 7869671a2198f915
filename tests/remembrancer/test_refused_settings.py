"""An engine that refuses the settings loses no event, and is not asked again and again."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from qdrant_client import models

from remembrancer import Memory, SettingsError, load_settings
from remembrancer.adapters.models.hashing import HashingEmbedder
from remembrancer.adapters.stores.postgres.settings import PostgresSettings
from remembrancer.adapters.vector_index.pgvector import PgvectorIndex, PgvectorSettings
from remembrancer.doctor import examine
from remembrancer.domain.errors import RemembrancerError
from remembrancer.domain.ports.embedder import Purpose, Vector
from tests.engines import qdrant_server
from tests.engines.bolt import PASSWORD, USER
from tests.engines.flapping import FlappingGraph, FlappingIndex
from tests.engines.neo4j_server import STAND_IN, settings_at
from tests.helpers.waiting import PATIENCE, until

pytestmark = pytest.mark.filterwarnings("ignore:Api key is used with an insecure connection")

ANN: dict[str, Any] = {"user_id": "ann"}
PROBLEM = "SettingsError: vector_index.api_key: refused"


class GuardedIndex(FlappingIndex):
    """An index that refuses the key while ``wrong`` is set."""

    def __init__(self) -> None:
        super().__init__()
        self.wrong = False
        self.asked = 0

    def _answer(self) -> None:
        super()._answer()
        self.asked += 1
        if self.wrong:
            raise SettingsError("vector_index.api_key", "refused")


class Unfitting:
    """A remote embedder of 64 components that returns vectors of ``size``."""

    model = "unfitting"
    dimension = 64
    local = False
    size = 8

    def embed(self, texts: Sequence[str], purpose: Purpose) -> list[Vector]:
        return HashingEmbedder(self.size).embed(texts, purpose)


Open = Callable[..., Memory]


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Open]:
    memories: list[Memory] = []

    def open_memory(
        index: object, graph: object = None, embedder: object = None, **projections: Any
    ) -> Memory:
        given = {"vector_index": index, "knowledge_graph": graph, "embedder": embedder}
        engines = {port: adapter for port, adapter in given.items() if adapter is not None}
        config = {"audit_log": {"path": str(tmp_path / "app.db")}, "projections": projections}
        settings = load_settings(config, environment={})
        memories.append(Memory(settings=settings, overrides=engines))
        return memories[-1]

    yield open_memory
    for memory in memories:
        memory.close()


def problems(memory: Memory) -> dict[str, str | None]:
    return {lag.projection: lag.problem for lag in memory.stats().lags}


def lags(memory: Memory) -> dict[str, int]:
    return {lag.projection: lag.events for lag in memory.stats().lags}


def test_write_reports_the_refusal_once_and_makes_no_dead_letter(opened: Open) -> None:
    index = GuardedIndex()
    index.wrong = True
    memory = opened(index)
    for number in range(3):
        assert memory.add(f"I like tea {number}.", **ANN).lagging == ("vector_index",)
    # Then
    assert memory.dead_letters() == []
    assert problems(memory) == {"vector_index": PROBLEM}
    # And the login was not repeated with every write: servers lock accounts
    assert index.asked == 1
    found = memory.search("tea", **ANN)
    assert len(found) == 3
    assert found.degraded == ("vector_index",)
    # When the settings are corrected, and the application starts again
    index.wrong = False
    again = opened(index)
    assert again.add("I like tea 3.", **ANN).lagging == ()
    assert lags(again) == {"vector_index": 0}
    assert problems(again) == {"vector_index": None}
    assert again.search("tea", **ANN).degraded == ()


def test_embedder_of_another_dimension_stops_the_deliveries_and_makes_no_dead_letter(
    opened: Open,
) -> None:
    # Given an embedder whose vectors are not of the size that is set
    embedder = Unfitting()
    index = FlappingIndex()
    memory = opened(index, embedder=embedder, wait=0)
    receipt = memory.add("I like tea.", **ANN)
    # Then the fact is stored and found by keyword
    assert receipt.lagging == ("vectors", "vector_index")
    assert [hit.fact.text for hit in memory.search("tea", **ANN)] == ["I like tea."]
    # And the worker stops, naming the setting with what it expected and found
    with pytest.raises(SettingsError, match=r"^embedder\.dimension: .* 64 components, .* 8;"):
        memory.run_worker(once=True)
    assert memory.dead_letters() == []
    assert lags(memory)["vector_index"] > 0
    # When the model is the right one again
    embedder.size = 64
    memory.run_worker(once=True)
    assert lags(memory) == {"vector_index": 0}
    assert len(index.delivered) == 1


def test_worker_stops_with_the_reason_and_a_later_one_goes_on(opened: Open) -> None:
    index = GuardedIndex()
    memory = opened(index, wait=0)
    memory.add("I like tea.", infer=False, **ANN)
    memory.run_worker(once=True)
    memory.add("I like mint.", infer=False, **ANN)
    index.wrong = True
    for once in (True, False):
        with pytest.raises(SettingsError, match=r"vector_index\.api_key"):
            memory.run_worker(once=once)
    assert memory.dead_letters() == []
    index.wrong = False
    memory.run_worker(once=True)
    assert lags(memory) == {"vector_index": 0}
    assert len(index.delivered) == 2


def test_worker_stops_when_the_key_is_withdrawn_while_it_runs(opened: Open) -> None:
    index = GuardedIndex()
    memory = opened(index, wait=0)
    errors: list[RemembrancerError] = []

    def work() -> None:
        try:
            memory.run_worker()
        except RemembrancerError as error:
            errors.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    memory.add("I like tea.", infer=False, **ANN)
    until(lambda: lags(memory) == {"vector_index": 0})
    index.wrong = True
    memory.add("I like mint.", infer=False, **ANN)
    thread.join(PATIENCE)
    assert [type(error) for error in errors] == [SettingsError]
    assert problems(memory) == {"vector_index": PROBLEM}
    assert memory.dead_letters() == []


def test_reason_is_told_of_an_engine_that_never_took_anything(opened: Open) -> None:
    index, graph = GuardedIndex(), FlappingGraph()
    index.wrong = True
    memory = opened(index, graph, wait=0)
    memory.add("I live in Paris.", **ANN)
    with pytest.raises(SettingsError):
        memory.run_worker(once=True)
    assert problems(memory) == {"vector_index": PROBLEM, "knowledge_graph": None}


def test_engine_that_refuses_does_not_hold_up_the_other_one(opened: Open) -> None:
    index, graph = GuardedIndex(), FlappingGraph()
    index.wrong = True
    memory = opened(index, graph, wait=0)
    ended = threading.Event()
    worker = threading.Thread(target=lambda: memory.run_worker(stop=ended.is_set))
    worker.start()
    memory.add("I live in Paris.", **ANN)
    until(lambda: lags(memory)["knowledge_graph"] == 0)
    until(lambda: problems(memory)["vector_index"] == PROBLEM)
    assert worker.is_alive()
    ended.set()
    worker.join(PATIENCE)
    # And a run to the end of the log feeds the other one before it fails
    memory.add("I live in Rome.", **ANN)
    with pytest.raises(SettingsError):
        memory.run_worker(once=True)
    assert lags(memory)["knowledge_graph"] == 0


def test_rebuild_names_the_refused_setting(opened: Open) -> None:
    index = GuardedIndex()
    memory = opened(index)
    memory.add("I like tea.", **ANN)
    index.wrong = True
    with pytest.raises(SettingsError, match=r"vector_index\.api_key"):
        memory.rebuild("vector_index")
    index.wrong = False
    memory.rebuild("vector_index")
    assert memory.search("tea", **ANN).degraded == ()


def test_retry_of_dead_letters_loses_none_of_them(opened: Open) -> None:
    index = GuardedIndex()
    index.bad = lambda document: "endless" in document.text
    memory = opened(index)
    memory.add("I like endless tea.", **ANN)
    letters = memory.dead_letters()
    assert letters
    index.wrong = True
    with pytest.raises(SettingsError):
        memory.retry_dead_letters()
    assert memory.dead_letters() == letters


def test_wrong_password_of_neo4j_waits_for_the_right_one(tmp_path: Path) -> None:
    with settings_at(STAND_IN) as server:

        def opened(password: str) -> Memory:
            graph = {"provider": "neo4j", "uri": server.uri, "user": USER, "password": password}
            config = {"audit_log": {"path": str(tmp_path / "app.db")}, "knowledge_graph": graph}
            return Memory(settings=load_settings(config, environment={}))

        with opened("mistyped") as memory:
            memory.add("I live in Paris.", **ANN)
            assert memory.dead_letters() == []
            assert "knowledge_graph.password" in str(problems(memory)["knowledge_graph"])
        with opened(PASSWORD) as memory:
            assert memory.add("I live in Rome.", **ANN).lagging == ()
            assert problems(memory) == {"knowledge_graph": None}


def test_collection_that_was_made_again_for_other_vectors_is_no_fault_of_events(
    tmp_path: Path,
) -> None:
    with qdrant_server.running() as (url, server):
        config = {
            "audit_log": {"path": str(tmp_path / "app.db")},
            "vector_index": {"provider": "qdrant", "url": url, "api_key": qdrant_server.API_KEY},
        }
        settings = load_settings(config, environment={})
        with Memory(settings=settings) as memory:
            assert memory.add("I like green tea.", **ANN).lagging == ()
            # When somebody makes the collection again for another embedder, behind our back
            made = server.engine.get_collection("remembrancer").config
            server.engine.delete_collection("remembrancer")
            server.engine.create_collection(
                "remembrancer",
                vectors_config={"text": models.VectorParams(size=3, distance=models.Distance.DOT)},
                sparse_vectors_config=made.params.sparse_vectors,
                metadata=made.metadata,
            )
            assert memory.add("I like mint tea.", **ANN).lagging == ("vector_index",)
            assert memory.dead_letters() == []
            assert str(problems(memory)["vector_index"]).startswith("SettingsError: vector_index")
            found = memory.search("mint tea", **ANN)
            assert (len(found), found.degraded) == (2, ("vector_index",))
        # And a rebuild, which its message names, makes it good
        with Memory(settings=settings) as memory:
            memory.rebuild("vector_index")
            assert memory.search("mint tea", **ANN).degraded == ()


def test_address_of_another_server_is_named(tmp_path: Path) -> None:
    with qdrant_server.running() as (url, _):
        vector_index = {
            "provider": "qdrant", "url": f"{url}/elsewhere", "api_key": qdrant_server.API_KEY
        }  # fmt: skip
        config = {"audit_log": {"path": str(tmp_path / "app.db")}, "vector_index": vector_index}
        with Memory(settings=load_settings(config, environment={})) as memory:
            memory.add("I like green tea.", **ANN)
            assert "vector_index.url" in str(problems(memory)["vector_index"])
            assert memory.dead_letters() == []


def test_postgresql_names_the_connection_string_of_the_part_that_it_refuses(
    postgres: PostgresSettings,
) -> None:
    absent = f"{postgres.dsn} dbname=absent"
    log = {"provider": "postgres", "dsn": absent, "schema": postgres.schema}
    with pytest.raises(SettingsError, match=r"audit_log\.dsn: .*absent"):
        Memory(settings=load_settings({"audit_log": log}, environment={}))
    index = PgvectorIndex(PgvectorSettings(dsn=absent), "m", 4)
    with pytest.raises(SettingsError, match=r"vector_index\.dsn: .*absent"):
        index.ping()
    index.close()


def test_doctor_names_the_refused_setting_and_what_to_do(tmp_path: Path) -> None:
    with settings_at(STAND_IN) as server:
        graph = {"provider": "neo4j", "uri": server.uri, "user": USER, "password": "mistyped"}
        config = {"audit_log": {"path": str(tmp_path / "app.db")}, "knowledge_graph": graph}
        with Memory(settings=load_settings(config, environment={})) as memory:
            memory.add("I live in Paris.", **ANN)
        findings = examine(config, environment={}).findings
    (finding,) = [each for each in findings if each.part == "knowledge_graph"]
    assert {problem.advice for problem in finding.problems} >= {
        "correct knowledge_graph.password",
        "correct the setting, then start the application and its workers again",
    }
