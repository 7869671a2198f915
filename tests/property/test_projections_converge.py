"""Whatever is written, however often an engine is away or does not acknowledge what it has taken
in, and in whatever pages it is fed: once the lag has drained, it holds what the log's own does.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from remembrancer import Memory
from remembrancer.adapters.clock.system import SystemClock
from remembrancer.adapters.stores.memory.knowledge_graph import InMemoryKnowledgeGraph
from remembrancer.adapters.stores.memory.vector_index import InMemoryVectorIndex
from remembrancer.domain.errors import AdapterUnavailable, InvalidRequest, NotFound
from remembrancer.domain.ports.vector_index import Document
from remembrancer.domain.recorded import Recorded
from remembrancer.wiring.settings import load_settings

SENTENCES = (
    "I live in Oslo.",
    "I moved to Lisbon.",
    "I like green tea.",
    "I work at Acme.",
    "It rained all day.",
    "My sister Ada lives in Rome.",
)


class Weather:
    """Whether engines answer, by chance; told apart from what they do in the meantime."""

    def __init__(self, seed: int, fair: float) -> None:
        self._chance = random.Random(seed)
        self._fair = fair

    def strike(self, error: type[AdapterUnavailable | InvalidRequest] = AdapterUnavailable) -> None:
        """Fail, perhaps."""
        if self._chance.random() > self._fair:
            raise (
                AdapterUnavailable("flapping", "gone")
                if error is AdapterUnavailable
                else (InvalidRequest("text", "not today"))
            )

    def clear_up(self) -> None:
        """From now on all is well."""
        self._fair = 1.0


class Index(InMemoryVectorIndex):
    """Fails before or after it has taken in a part of what it is given, or refuses it."""

    def __init__(self, weather: Weather) -> None:
        super().__init__()
        self.weather = weather

    def put(self, documents: Sequence[Document]) -> None:
        self.weather.strike()
        half = len(documents) // 2
        super().put(documents[:half])
        self.weather.strike()
        self.weather.strike(InvalidRequest)
        super().put(documents[half:])
        self.weather.strike()


class Graph(InMemoryKnowledgeGraph):
    """Fails before or after it has taken in what it is given, or refuses it."""

    def __init__(self, weather: Weather) -> None:
        super().__init__()
        self.weather = weather

    def apply(self, chain: Sequence[Recorded]) -> None:
        self.weather.strike()
        self.weather.strike(InvalidRequest)
        super().apply(chain)
        self.weather.strike()


deeds = st.tuples(
    st.sampled_from(["add", "add", "add", "update", "delete", "work"]),
    st.sampled_from(["ann", "ben", "eve"]),
    st.sampled_from(SENTENCES),
)


def do(memory: Memory, deed: str, user: str, text: str) -> None:
    facts = memory.get_all(user_id=user).facts
    if deed == "work":
        memory.run_worker(once=True)
    elif deed == "add" or not facts:
        memory.add(text, user_id=user)
    elif deed == "update":
        try:
            memory.update(facts[0].fact_id, text)
        except NotFound:
            return
    else:
        memory.delete(facts[0].fact_id)


def documents(index: Any) -> dict[Any, Document]:
    return {
        key: entry.document for ledger in index._ledgers.values() for key, entry in ledger.items()
    }


def links(graph: Any) -> dict[Any, Any]:
    return {ledger: held.history for ledger, held in graph._ledgers.items() if held.history}


@settings(max_examples=25)
@given(
    st.lists(deeds, min_size=1, max_size=10),
    st.integers(1, 4),
    st.integers(1, 3),
    st.sampled_from([0.0, 0.5]),
    st.integers(0, 1_000),
    st.sampled_from([0.6, 0.9, 1.0]),
)
def test_once_the_lag_has_drained_engines_hold_what_the_log_holds(
    script: list[tuple[str, str, str]],
    batch: int,
    partitions: int,
    wait: float,
    seed: int,
    fair: float,
) -> None:
    weather = Weather(seed, fair)
    index, graph = Index(weather), Graph(weather)
    config = {
        "audit_log": "memory",
        "embedder": {"dimension": 16},
        "projections": {"batch": batch, "partitions": partitions, "wait": wait},
    }
    overrides = {"vector_index": index, "knowledge_graph": graph, "clock": _Clock()}
    with Memory(settings=load_settings(config, environment={}), overrides=overrides) as memory:
        for deed, user, text in script:
            do(memory, deed, user, text)
        weather.clear_up()
        memory.run_worker(once=True)
        memory.retry_dead_letters()
        container = memory._inner._container
        assert memory.dead_letters() == []
        assert sum(lag.events for lag in memory.stats().lags) == 0
        assert documents(index) == documents(container.embedded_index())
        assert links(graph) == links(container.embedded_graph())
        assert memory.search("Where?", user_id="ann").degraded == ()


class _Clock:
    """The machine's clock, which nobody has to wait for."""

    def __init__(self) -> None:
        self._clock = SystemClock()
        self._ahead = 0.0

    def now(self) -> datetime:
        return self._clock.now() + timedelta(seconds=self._ahead)

    def sleep(self, seconds: float) -> None:
        self._ahead += seconds
