"""The contract that all external engines share: ``ping`` and ``close``."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from remembrancer.domain.errors import AdapterUnavailable
from remembrancer.testing.driving import Driven


class EngineContract:
    """The tests that ``ExternalIndexContract`` and ``ExternalGraphContract`` share.

    Set ``closes`` to false for an in-process engine that has nothing to close. Tests that need a
    second index or graph in one engine are skipped if ``make_neighbour`` skips.
    """

    closes = True

    @property
    def engine(self) -> Any:
        """The adapter under test, its methods as plain calls."""
        raise NotImplementedError

    def make_worker(self, tmp_path: Path) -> Any:
        """A second adapter of the same index or graph, as another process would open it.

        By default, the adapter under test: threads then share it.
        """
        return self.engine

    def make_neighbour(self, tmp_path: Path) -> Any:
        """An empty index or graph of another name in the same engine."""
        pytest.skip("declared: the engine holds only one index or graph")

    @pytest.fixture
    def worker(self, tmp_path: Path) -> Any:
        """The second adapter of the same index or graph."""
        return _driven(self.make_worker(tmp_path))

    @pytest.fixture
    def neighbour(self, tmp_path: Path) -> Any:
        """The adapter of another index or graph in the same engine."""
        return _driven(self.make_neighbour(tmp_path))

    # Ping

    def test_ping_names_the_engine_and_its_version(self) -> None:
        assert re.search(r"[a-z].* v?\d+\.\d+", self.engine.ping(), re.IGNORECASE)

    def test_ping_is_the_same_before_and_after_clear(self) -> None:
        before = self.engine.ping()
        self.engine.clear()
        assert self.engine.ping() == before

    # Close

    def test_second_close_does_nothing_and_later_calls_are_adapter_unavailable(self) -> None:
        if not self.closes:
            pytest.skip("declared: there is nothing to close")
        self.engine.ping()
        self.engine.close()
        self.engine.close()
        for call in (self.engine.ping, self.engine.clear, *self.later_calls()):
            with pytest.raises(AdapterUnavailable):
                call()

    def test_unused_adapter_can_be_closed(self, worker: Any) -> None:
        if not self.closes:
            pytest.skip("declared: there is nothing to close")
        worker.close()
        worker.close()
        with pytest.raises(AdapterUnavailable):
            worker.ping()

    def later_calls(self) -> list[Any]:
        """Calls of port methods that must fail after ``close``."""
        raise NotImplementedError


def _driven(adapter: Any) -> Any:
    return adapter if isinstance(adapter, Driven) else Driven(adapter)
