"""External engines converge: once the lag is 0, they hold the same as the log's own read models.

For any writes, failures (before, during and after a delivery), partitions and page sizes.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from remembrancer import Memory
from remembrancer.adapters.stores.memory.knowledge_graph import InMemoryKnowledgeGraph
from remembrancer.adapters.stores.memory.vector_index import InMemoryVectorIndex
from remembrancer.domain.errors import AdapterUnavailable, InvalidRequest, NotFound
from remembrancer.domain.ports.vector_index import Document
from remembrancer.domain.recorded import Recorded
from remembrancer.testing.depth import scaled
from remembrancer.wiring.settings import load_settings
from tests.helpers.clock import VirtualClock

SENTENCES = (
    "I live in Oslo.",
    "I moved to Lisbon.",
    "I like green tea.",
    "I work at Acme.",
    "It rained all day.",
    "My sister Ada lives in Rome.",
)


class Faults:
    """Raises errors at random, with one seed for all engines."""

    def __init__(self, seed: int, success_rate: float) -> None:
        self._random = random.Random(seed)
        self._success_rate = success_rate

    def maybe_raise(
        self, error: type[AdapterUnavailable | InvalidRequest] = AdapterUnavailable
    ) -> None:
        """Raise ``error``, unless the random draw succeeds."""
        if self._random.random() > self._success_rate:
            raise (
                AdapterUnavailable("flapping", "gone")
                if error is AdapterUnavailable
                else (InvalidRequest("text", "not today"))
            )

    def stop(self) -> None:
        """Raise no more errors."""
        self._success_rate = 1.0


class Index(InMemoryVectorIndex):
    """Fails before, during or after a ``put``, or refuses it."""

    def __init__(self, faults: Faults) -> None:
        super().__init__()
        self.faults = faults

    def put(self, documents: Sequence[Document]) -> None:
        self.faults.maybe_raise()
        half = len(documents) // 2
        super().put(documents[:half])
        self.faults.maybe_raise()
        self.faults.maybe_raise(InvalidRequest)
        super().put(documents[half:])
        self.faults.maybe_raise()


class Graph(InMemoryKnowledgeGraph):
    """Fails before or after an ``apply``, or refuses it."""

    def __init__(self, faults: Faults) -> None:
        super().__init__()
        self.faults = faults

    def apply(self, chain: Sequence[Recorded]) -> None:
        self.faults.maybe_raise()
        self.faults.maybe_raise(InvalidRequest)
        super().apply(chain)
        self.faults.maybe_raise()


actions = st.tuples(
    st.sampled_from(["add", "add", "add", "update", "delete", "work"]),
    st.sampled_from(["ann", "ben", "eve"]),
    st.sampled_from(SENTENCES),
)


def run(memory: Memory, action: str, user: str, text: str) -> None:
    facts = memory.get_all(user_id=user).facts
    if action == "work":
        memory.run_worker(once=True)
    elif action == "add" or not facts:
        memory.add(text, user_id=user)
    elif action == "update":
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


@settings(max_examples=scaled(25))
@given(
    st.lists(actions, min_size=1, max_size=10),
    st.integers(1, 4),
    st.integers(1, 3),
    st.sampled_from([0.0, 0.5]),
    st.integers(0, 1_000),
    st.sampled_from([0.6, 0.9, 1.0]),
)
def test_external_engines_equal_the_embedded_ones_once_the_lag_is_0(
    script: list[tuple[str, str, str]],
    batch: int,
    partitions: int,
    wait: float,
    seed: int,
    success_rate: float,
) -> None:
    faults = Faults(seed, success_rate)
    index, graph = Index(faults), Graph(faults)
    config = {
        "audit_log": "memory",
        "embedder": {"dimension": 16},
        "projections": {"batch": batch, "partitions": partitions, "wait": wait},
    }
    overrides = {"vector_index": index, "knowledge_graph": graph, "clock": VirtualClock()}
    with Memory(settings=load_settings(config, environment={}), overrides=overrides) as memory:
        for action, user, text in script:
            run(memory, action, user, text)
        faults.stop()
        memory.run_worker(once=True)
        memory.retry_dead_letters()
        container = memory._inner._container
        assert memory.dead_letters() == []
        assert sum(lag.events for lag in memory.stats().lags) == 0
        assert documents(index) == documents(container.embedded_index())
        assert links(graph) == links(container.embedded_graph())
        assert memory.search("Where?", user_id="ann").degraded == ()
