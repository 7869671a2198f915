"""A delivery that arrives after a newer one leaves nothing old in the engine."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from remembrancer import Memory
from remembrancer.adapters.stores.memory.vector_index import InMemoryVectorIndex
from remembrancer.domain.facts.fact import FactKey, Interval
from remembrancer.domain.ports.vector_index import Document
from remembrancer.wiring.settings import load_settings
from tests.helpers.waiting import PATIENCE

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


def test_late_delivery_does_not_bring_a_retracted_fact_back(tmp_path: Path) -> None:
    index = SlowFirstPut()

    def opened(**projections: Any) -> Memory:
        config = {
            "audit_log": {"path": str(tmp_path / "app.db")},
            "projections": {"lease": 0.1, **projections},
        }
        return Memory(
            settings=load_settings(config, environment={}), overrides={"vector_index": index}
        )

    with opened(wait=PATIENCE) as other:
        with opened(wait=0.05) as slow:
            receipt = slow.add("I like green tea.", infer=False, **ANN)
            assert receipt.lagging == ("vector_index",)
            assert index.on_the_wire.is_set()
            fact = slow.get_all(**ANN)[0]
            # Waits until the lease of the slow one has ended.
            assert other.delete(fact.fact_id).lagging == ()
            assert index.visible[fact.key].end is not None
            index.arrive.set()
        # Closed: its delivery has ended.
        assert index.visible[fact.key].end is not None
        result = other.search("tea", **ANN)
        assert (list(result), result.degraded) == ([], ())
