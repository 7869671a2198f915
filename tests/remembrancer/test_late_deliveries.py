"""A delivery that arrives after a newer one leaves nothing old in the engine."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from remembrancer import AdapterUnavailable, Memory
from remembrancer.adapters.stores.memory.vector_index import InMemoryVectorIndex
from remembrancer.application.inline import run_inline
from remembrancer.domain.facts.fact import FactKey, Interval
from remembrancer.domain.ports.vector_index import Document
from remembrancer.domain.scope import LedgerId
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


class LostWorkers(SlowFirstPut):
    """The worker whose put arrives late dies after it: its thread puts nothing more."""

    lost: int | None = None

    def put(self, documents: Sequence[Document]) -> None:
        """Put, late the first time, and not again by that worker."""
        if self.lost == threading.get_ident():
            raise AdapterUnavailable("engine", "the worker is gone")
        if not self.on_the_wire.is_set():
            self.lost = threading.get_ident()
        super().put(documents)


def test_unrepaired_late_delivery_shows_nothing_and_ends_with_a_rebuild(
    tmp_path: Path,
) -> None:
    # Given an engine that can't compare revisions, and a worker that dies before it repairs
    index = LostWorkers()
    opened = opening(tmp_path, index)

    with opened(wait=PATIENCE) as other:
        with opened(wait=0.05) as slow:
            slow.add("I like green tea.", infer=False, **ANN)
            assert index.on_the_wire.wait(PATIENCE)
            first = slow.get_all(**ANN)[0]
            updated = other.update(first.fact_id, "I like black tea.")
            assert updated is not None
            assert updated.lagging == ()
            index.arrive.set()
        index.lost = None
        assert index.visible[first.key].end is None, "the engine holds the old state"
        # Then a read shows the newest state alone, and says that the engine is wrong
        found = other.search("tea", **ANN)
        assert [hit.fact.text for hit in found] == ["I like black tea."]
        assert found.degraded == ("vector_index",)
        assert [fact.text for fact in other.get_all(**ANN)] == ["I like black tea."]
        # And a rebuild makes it right
        other.rebuild("vector_index")
        assert index.visible[first.key].end is not None
        found = other.search("tea", **ANN)
        assert [hit.fact.text for hit in found] == ["I like black tea."]
        assert found.degraded == ()


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


def test_late_clearing_does_not_empty_an_engine_that_another_worker_has_filled(
    tmp_path: Path,
) -> None:
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
