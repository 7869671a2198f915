"""One engine is for one log: another one is refused until a rebuild, and both keep their facts."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from remembrancer import AsyncMemory, InvalidRequest, Memory, load_settings
from remembrancer.application.inline import run_inline
from remembrancer.domain.ports.external_engine import LogId
from remembrancer.domain.ports.vector_index import Document, Hit, IndexQuery
from remembrancer.testing.weaviate import WeaviateServer
from tests.engines import qdrant_server
from tests.engines.flapping import FlappingGraph, FlappingIndex
from tests.engines.neo4j_server import STAND_IN, settings_at

pytestmark = pytest.mark.filterwarnings("ignore:Api key is used with an insecure connection")

ANN: dict[str, Any] = {"user_id": "ann"}
ACME, GLOBEX = "Ann works at Acme in Oslo.", "Ann works at Globex in Bonn."
WORK = "Where does Ann work?"

Open = Callable[..., Memory]


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Open]:
    """Opens a memory over the log of a name; by default with the index ``overrides``."""
    with ExitStack() as memories:

        def open_memory(
            log: str, engine: dict[str, Any] | None = None, wait: float = 20.0, **overrides: object
        ) -> Memory:
            config = {
                "audit_log": {"path": str(tmp_path / f"{log}.db")},
                "projections": {"wait": wait},
                **(engine or {}),
            }
            settings = load_settings(config, environment={})
            return memories.enter_context(Memory(settings=settings, overrides=overrides))

        yield open_memory


@pytest.fixture(params=["qdrant", "weaviate", "pgvector", "neo4j"])
def engine(request: pytest.FixtureRequest) -> Iterator[dict[str, Any]]:
    """The settings that select one engine."""
    match request.param:
        case "qdrant":
            with qdrant_server.running() as (url, _):
                access = {"url": url, "api_key": qdrant_server.API_KEY}
                yield {"vector_index": {"provider": "qdrant", **access}}
        case "weaviate":
            with WeaviateServer() as server:
                ports = {"port": server.port, "grpc_port": server.grpc_port, "startup_wait": 0.2}
                yield {"vector_index": {"provider": "weaviate", **ports}}
        case "pgvector":
            postgres = request.getfixturevalue("postgres")
            where = {"dsn": postgres.dsn, "schema": f"{postgres.schema}_vectors"}
            yield {"vector_index": {"provider": "pgvector", **where}}
        case _:
            with settings_at(STAND_IN) as neo4j:
                access = {"uri": neo4j.uri, "user": neo4j.user, "password": neo4j.password}
                yield {"knowledge_graph": {"provider": "neo4j", **access}}


def seen(memory: Memory) -> tuple[list[str], set[str]]:
    """The texts of a search, and all names that the graph relates to Ann."""
    found = memory.search(WORK, **ANN)
    ends = {end for link in memory.relations("Ann", **ANN) for end in link.ends}
    return [item.fact.text for item in found], ends


def degraded(memory: Memory) -> tuple[str, ...]:
    return memory.search(WORK, **ANN).degraded


def problem(memory: Memory) -> str:
    (lag,) = memory.stats().lags
    return lag.problem or ""


def test_engine_of_another_log_is_refused_until_it_is_rebuilt(
    engine: dict[str, Any], opened: Open
) -> None:
    (projection,) = engine
    first, second = opened("first", engine), opened("second", engine)
    # Given an engine that holds one log
    assert first.add(ACME, **ANN).lagging == ()
    of_first = seen(first)
    # Then another log shows nothing of it while it is empty
    assert (len(second.search(WORK, **ANN)), second.entities(**ANN)) == (0, [])
    assert degraded(second) == ()
    # When the other log has the same ledger
    assert second.add(GLOBEX, **ANN).lagging == (projection,)
    # Then it delivers nothing, says why, and reads from its own database
    assert f"run remembrancer rebuild {projection}" in problem(second)
    of_second = seen(second)
    assert of_second[0] == [GLOBEX]
    assert "Acme" not in of_second[1]
    assert degraded(second) == (projection,)
    # And the first log is not disturbed
    assert seen(first) == of_first
    assert of_first[0] == [ACME]
    assert degraded(first) == ()
    # When the engine is rebuilt for the second one
    second.rebuild(projection)
    assert (seen(second), degraded(second)) == (of_second, ())
    # Then the first one reads from its own database, before it has delivered anything
    assert (seen(first), degraded(first)) == (of_first, (projection,))
    assert first.add("Ann likes tea.", **ANN).lagging == (projection,)
    assert f"run remembrancer rebuild {projection}" in problem(first)
    assert (seen(second), degraded(second)) == (of_second, ())
    # And takes the engine back by a rebuild
    first.rebuild(projection)
    assert degraded(first) == ()
    assert ACME in seen(first)[0]
    assert (seen(second), degraded(second)) == (of_second, (projection,))


def test_refusal_names_both_logs(opened: Open) -> None:
    index = FlappingIndex()
    first, second = opened("first", vector_index=index), opened("second", vector_index=index)
    first.add(ACME, **ANN)
    held = index.log
    second.add(GLOBEX, **ANN)
    told = problem(second)
    second.rebuild("vector_index")
    assert held != index.log
    assert f"this log is {index.log}" in told
    assert f"holds the log {held}" in told


def test_worker_of_another_log_is_refused_when_it_starts(opened: Open) -> None:
    index = FlappingIndex()
    opened("first", vector_index=index).add(ACME, **ANN)
    second = opened("second", vector_index=index, wait=0)
    second.add(GLOBEX, **ANN)
    with pytest.raises(InvalidRequest, match="run remembrancer rebuild vector_index"):
        second.run_worker(once=True)
    assert {document.text for document in index.delivered.values()} == {ACME}


def test_worker_starts_although_its_engine_does_not_answer(opened: Open) -> None:
    index = FlappingIndex()
    memory = opened("first", vector_index=index, wait=0)
    memory.add(ACME, **ANN)
    index.away = lambda: True
    report = memory.run_worker(once=True)
    assert report.partitions[0][0].problem == "flapping: connection refused"


def test_engine_may_be_claimed_by_workers_of_one_log_at_once(opened: Open) -> None:
    index = FlappingIndex()
    memories = [opened("first", vector_index=index) for _ in range(2)]
    assert [memory.add(ACME, **ANN).lagging for memory in memories] == [(), ()]


def test_answer_of_an_engine_that_is_taken_over_during_a_search_is_dropped(opened: Open) -> None:
    # Given an engine that another log takes over after a search has begun
    class TakenOver(FlappingIndex):
        def search(self, query: IndexQuery) -> list[Hit]:
            take_over()
            return super().search(query)

    index = TakenOver()
    first, second = opened("first", vector_index=index), opened("second", vector_index=index)
    first.add(ACME, **ANN)
    second.add(GLOBEX, **ANN)
    pending = [lambda: second.rebuild("vector_index")]

    def take_over() -> None:
        while pending:
            pending.pop()()

    # When the first log is searched
    found = first.search(WORK, **ANN)
    # Then its own database answers
    assert ([item.fact.text for item in found], found.degraded) == ([ACME], ("vector_index",))


def test_engine_that_lost_its_content_is_not_fed_from_the_middle(opened: Open) -> None:
    # Given an engine that was emptied by somebody else
    index = FlappingIndex()
    memory = opened("first", vector_index=index)
    memory.add(ACME, **ANN)
    index.clear()
    # When facts are searched and added
    assert degraded(memory) == ("vector_index",)
    assert memory.add("Ann likes tea.", **ANN).lagging == ("vector_index",)
    # Then nothing is delivered, and a rebuild brings all of it back
    assert "holds no log" in problem(memory)
    assert not index.delivered
    memory.rebuild("vector_index")
    assert {document.text for document in index.delivered.values()} == {ACME, "Ann likes tea."}
    assert degraded(memory) == ()


class ClearedForARebuild(FlappingIndex):
    """An index that a rebuild of its own log clears just before it tells which log it holds."""

    def __init__(self) -> None:
        super().__init__()
        self.rebuilds: list[Callable[[], object]] = []

    def claim(self, log: LogId, *, bind: bool) -> LogId | None:
        """See ``Claimable``."""
        while self.rebuilds:
            self.rebuilds.pop()()
            self.clear()
        return super().claim(log, bind=bind)


SHORT_LEASE = {"projections": {"wait": 20.0, "lease": 0.1}}


def test_delivery_that_meets_a_rebuild_of_its_own_log_goes_on_after_it(opened: Open) -> None:
    index = ClearedForARebuild()
    memory = opened("first", SHORT_LEASE, vector_index=index)
    memory.add(ACME, **ANN)
    projector = memory._inner._container.index_projector()
    index.rebuilds.append(lambda: run_inline(projector.restart()))
    assert memory.add("Ann likes tea.", **ANN).lagging == ()
    assert problem(memory) == ""
    assert {document.text for document in index.delivered.values()} == {ACME, "Ann likes tea."}


def test_worker_that_starts_during_a_rebuild_of_its_own_log_is_not_refused(opened: Open) -> None:
    index = ClearedForARebuild()
    memory = opened("first", SHORT_LEASE, vector_index=index)
    memory.add(ACME, **ANN)
    projector = memory._inner._container.index_projector()
    index.rebuilds.append(lambda: run_inline(projector.restart()))
    report = memory.run_worker(once=True)
    assert [lag.events for lag, _ in report.partitions] == [0]
    assert {document.text for document in index.delivered.values()} == {ACME}


def test_log_that_lost_the_race_for_a_new_engine_is_refused_at_its_next_delivery(
    opened: Open,
) -> None:
    # Given an engine without an atomic claim, and another log that claims it in between
    class Racing(FlappingIndex):
        def put(self, documents: Any) -> None:
            super().put(documents)
            if not others:
                others.append(self.log)
                self.log = LogId("another log")

    others: list[LogId | None] = []
    index = Racing()
    memory = opened("first", vector_index=index)
    # When the log delivers what it believes to be allowed
    memory.add(ACME, **ANN)
    # Then its reads are degraded at once, and its next delivery is refused
    assert degraded(memory) == ("vector_index",)
    assert memory.add("Ann likes tea.", **ANN).lagging == ("vector_index",)
    assert "holds the log another log" in problem(memory)
    assert {document.text for document in index.delivered.values()} == {ACME}


def test_dead_letters_are_not_delivered_to_the_engine_of_another_log(opened: Open) -> None:
    # Given an event that the engine refused
    index = FlappingIndex()
    first, second = opened("first", vector_index=index), opened("second", vector_index=index)

    def is_acme(document: Document) -> bool:
        return document.text == ACME

    index.bad = is_acme
    first.add(ACME, **ANN)
    before = len(first.dead_letters())
    assert before > 0
    # When another log has taken the engine over
    second.add(GLOBEX, **ANN)
    second.rebuild("vector_index")
    index.bad = lambda _document: False
    # Then a retry is refused, and no dead letter is lost
    with pytest.raises(InvalidRequest, match="run remembrancer rebuild vector_index"):
        first.retry_dead_letters()
    assert len(first.dead_letters()) == before
    assert {document.text for document in index.delivered.values()} == {GLOBEX}


def test_graph_in_memory_is_refused_to_another_log(opened: Open) -> None:
    graph = FlappingGraph()
    first, second = opened("first", knowledge_graph=graph), opened("second", knowledge_graph=graph)
    assert first.add(ACME, **ANN).lagging == ()
    assert second.add(GLOBEX, **ANN).lagging == ("knowledge_graph",)
    assert "Acme" not in seen(second)[1]
    second.rebuild("knowledge_graph")
    assert "Globex" not in seen(first)[1]
    assert second.add("Ann likes tea.", **ANN).lagging == ()


def test_another_log_is_refused_under_the_async_face(tmp_path: Path) -> None:
    index = FlappingIndex()

    def opening(log: str) -> AsyncMemory:
        path = {"audit_log": {"path": str(tmp_path / f"{log}.db")}}
        settings = load_settings(path, environment={})
        return AsyncMemory(settings=settings, overrides={"vector_index": index})

    async def use() -> None:
        async with opening("first") as first, opening("second") as second:
            assert (await first.add(ACME, **ANN)).lagging == ()
            assert (await second.add(GLOBEX, **ANN)).lagging == ("vector_index",)
            await second.rebuild("vector_index")
            assert (await second.search(WORK, **ANN)).degraded == ()
            found = await first.search(WORK, **ANN)
            assert ([item.fact.text for item in found], found.degraded) == (
                [ACME],
                ("vector_index",),
            )

    asyncio.run(use())
