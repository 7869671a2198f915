"""A delivery that arrives after a newer one leaves nothing old in the engine."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from remembrancer import Memory
from remembrancer.adapters.clock.system import SystemClock
from remembrancer.adapters.stores.memory.vector_index import InMemoryVectorIndex
from remembrancer.application.inline import run_inline
from remembrancer.application.projections import projector
from remembrancer.application.projections.second_delivery import LATEST
from remembrancer.domain.facts.fact import FactKey, Interval
from remembrancer.domain.ports.vector_index import Document
from remembrancer.domain.recall.documents import document_of
from remembrancer.domain.scope import LedgerId
from remembrancer.testing.driving import Driven
from remembrancer.testing.weaviate import WeaviateServer
from remembrancer.wiring.settings import load_settings
from tests.engines.flapping import FlappingIndex
from tests.helpers.waiting import PATIENCE, until

ANN: dict[str, Any] = {"user_id": "ann"}


class SlowFirstPut(InMemoryVectorIndex):
    """An index whose first put arrives when ``arrive`` is set."""

    def __init__(self) -> None:
        super().__init__()
        self.on_the_wire = threading.Event()
        self.arrive = threading.Event()
        self.visible: dict[FactKey, Interval] = {}

    def put(self, documents: Sequence[Document]) -> None:
        """Put, late the first time."""
        if not self.on_the_wire.is_set():
            self.on_the_wire.set()
            self.arrive.wait(PATIENCE)
        super().put(documents)
        self.visible.update((document.key, document.visible) for document in documents)


def opening(folder: Path, index: InMemoryVectorIndex) -> Callable[..., Memory]:
    """Opens memories on one log and one engine; arguments are settings of ``projections``."""

    def opened(**projections: Any) -> Memory:
        config = {
            "audit_log": {"path": str(folder / "app.db")},
            "projections": {"lease": 0.1, **projections},
        }
        return Memory(
            settings=load_settings(config, environment={}), overrides={"vector_index": index}
        )

    return opened


def test_late_delivery_does_not_bring_a_retracted_fact_back(tmp_path: Path) -> None:
    index = SlowFirstPut()
    opened = opening(tmp_path, index)

    with opened(wait=PATIENCE) as other:
        with opened(wait=0.05) as slow:
            receipt = slow.add("I like green tea.", infer=False, **ANN)
            assert receipt.lagging == ("vector_index",)
            assert index.on_the_wire.wait(PATIENCE)
            fact = slow.get_all(**ANN)[0]
            # Waits until the lease of the slow one has ended.
            assert other.delete(fact.fact_id).lagging == ()
            assert index.visible[fact.key].end is not None
            index.arrive.set()
        # Closed: its delivery has ended.
        assert index.visible[fact.key].end is not None
        result = other.search("tea", **ANN)
        assert (list(result), result.degraded) == ([], ())


class ShiftedClock(SystemClock):
    """The system clock, moved on by ``ahead``."""

    def __init__(self) -> None:
        self.ahead = timedelta()

    def now(self) -> datetime:
        return super().now() + self.ahead


@pytest.fixture(params=["memory", "langchain", "weaviate", "qdrant", "pgvector"])
def engine(request: pytest.FixtureRequest) -> Iterator[dict[str, Any]]:
    """The settings that select one engine, or the engine itself."""
    match request.param:
        case "memory":
            yield {"overrides": {"vector_index": FlappingIndex()}}
        case "langchain":
            store = "langchain_core.vectorstores:InMemoryVectorStore"
            yield {"vector_index": {"provider": "langchain", "store": store}}
        case "weaviate":
            with WeaviateServer() as server:
                ports = {"port": server.port, "grpc_port": server.grpc_port, "startup_wait": 0.2}
                yield {"vector_index": {"provider": "weaviate", **ports}}
        case "qdrant":
            yield {"vector_index": {"provider": "qdrant"}}
        case _:
            postgres = request.getfixturevalue("postgres")
            where = {"dsn": postgres.dsn, "schema": f"{postgres.schema}_vectors"}
            yield {"vector_index": {"provider": "pgvector", **where}}


def documents_now(memory: Memory) -> list[Document]:
    """The documents that a worker would put now."""
    container = memory._inner._container
    chain = run_inline(container.lifted_log().read(0, 100))
    versions = run_inline(container.lifted_read_models().documents(chain))
    texts = [fact.text for fact, _ in versions]
    vectors = run_inline(container.embedding().documents(texts))
    return [
        evolve(
            document_of(fact, context=context, vector=vectors[fact.text]),
            revision=chain[-1].position,
        )
        for fact, context in versions
    ]


def test_put_that_arrives_after_its_worker_died_is_replaced_by_the_next_worker(
    tmp_path: Path, engine: dict[str, Any]
) -> None:
    clock = ShiftedClock()
    overrides = {"clock": clock, **engine.pop("overrides", {})}
    config = {"audit_log": {"path": str(tmp_path / "app.db")}, "projections": {"wait": PATIENCE}}
    with Memory(
        settings=load_settings(config | engine, environment={}), overrides=overrides
    ) as memory:
        # Given a worker that has read the documents, and another one that puts newer ones
        memory.add("I like green tea.", infer=False, **ANN)
        first = memory.get_all(**ANN)[0]
        old = documents_now(memory)
        receipt = memory.update(first.fact_id, "I like black tea.")
        assert receipt is not None
        assert receipt.lagging == ()
        # When the put of the first one arrives at last, and nobody is left to repair it
        Driven(memory._inner._container.vector_index()).put(old)
        # Then a read shows the newest state alone, and may say that the engine is wrong
        found = memory.search("tea", **ANN)
        assert [hit.fact.text for hit in found] == ["I like black tea."]
        if not compares(engine):
            assert found.degraded == ("vector_index",)
        # And the next worker, when no such put can be under way any more, makes it right
        clock.ahead = timedelta(seconds=LATEST)
        memory.run_worker(once=True)
        found = memory.search("tea", **ANN)
        assert [hit.fact.text for hit in found] == ["I like black tea."]
        assert found.degraded == ()


def compares(engine: dict[str, Any]) -> bool:
    """Whether the engine leaves out a put of an older revision by itself."""
    return engine.get("vector_index", {}).get("provider") in ("qdrant", "pgvector")


def test_without_a_worker_a_later_write_puts_again(tmp_path: Path) -> None:
    clock, index = ShiftedClock(), FlappingIndex()
    config = {"audit_log": {"path": str(tmp_path / "app.db")}, "projections": {"wait": PATIENCE}}
    with Memory(
        settings=load_settings(config, environment={}),
        overrides={"clock": clock, "vector_index": index},
    ) as memory:
        memory.add("I like green tea.", infer=False, **ANN)
        old = memory.get_all(**ANN)[0]
        memory.update(old.fact_id, "I like black tea.")
        index.delivered.clear()
        # When it is too early, nothing is put again
        memory.add("I like milk.", infer=False, user_id="carl")
        assert old.fact_id not in {fact_id for fact_id, _ in index.delivered}
        # Later, the next write puts both versions of the fact
        clock.ahead = timedelta(seconds=LATEST)
        index.delivered.clear()
        memory.add("I like bread.", infer=False, user_id="carl")
        until(lambda: sum(fact_id == old.fact_id for fact_id, _ in index.delivered) == 2)


class LateClear(InMemoryVectorIndex):
    """An index whose next clearing arrives after something else has happened."""

    def __init__(self) -> None:
        super().__init__()
        self.meanwhile: Callable[[], object] | None = None

    def clear(self) -> None:
        """Clear, late if there is a ``meanwhile``."""
        meanwhile, self.meanwhile = self.meanwhile, None
        if meanwhile is not None:
            meanwhile()
        super().clear()


def test_engine_is_not_filled_while_a_clearing_that_outlasts_its_lease_is_under_way(
    tmp_path: Path,
) -> None:
    index = LateClear()
    opened = opening(tmp_path, index)
    with opened(wait=PATIENCE) as other, opened(wait=PATIENCE, lease=1e-6) as slow:
        slow.add("I like green tea.", infer=False, **ANN)
        # Given a clearing that is slow, and another worker that would clear and fill the engine
        run_inline(slow._inner._container.index_projector().restart())
        another = other._inner._container.index_projector()
        reached: list[object] = []
        index.meanwhile = lambda: reached.append(
            run_inline(another.turn(0, owner="another", keep_going=lambda: True))
        )
        assert slow.add("I like chess.", infer=False, **ANN).lagging == ()
        # Then the other one waits, and nothing that it delivered is lost
        assert reached == [None]
        assert index.count(LedgerId("user:ann")) == 2


def test_late_clearing_does_not_empty_an_engine_that_another_worker_has_filled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a clearing that arrives when nobody waits for it any more
    monkeypatch.setattr(projector, "CLEARING", 0.1)
    index = LateClear()
    opened = opening(tmp_path, index)
    with opened(wait=PATIENCE) as other, opened(wait=PATIENCE) as slow:
        slow.add("I like green tea.", infer=False, **ANN)
        run_inline(slow._inner._container.index_projector().restart())
        index.meanwhile = lambda: other.run_worker(once=True)
        slow.add("I like chess.", infer=False, **ANN)
        other.run_worker(once=True)
        assert index.count(LedgerId("user:ann")) == 2
        result = other.search("tea", **ANN)
        assert (len(result), result.degraded) == (2, ())
