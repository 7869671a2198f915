"""The part of the contract that all external engines share: who they are, and how they end."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from remembrancer.domain.errors import AdapterUnavailable
from remembrancer.testing.driving import Driven


class EngineContract:
    """What ``ExternalIndexContract`` and ``ExternalGraphContract`` have in common.

    ``closes`` of false is for an engine that is a part of this process, and has nothing to let go
    of. Tests that need a second worker or a neighbour are skipped, with the reason, where there can
    be none.
    """

    closes = True

    @property
    def engine(self) -> Any:
        """The adapter under test, its methods as plain calls."""
        raise NotImplementedError

    def make_worker(self, tmp_path: Path) -> Any:
        """What another process would have: one more adapter of the same index or graph.

        Unless overridden, it is the one under test, which threads then share.
        """
        return self.engine

    def make_neighbour(self, tmp_path: Path) -> Any:
        """An empty index or graph of another name in the same engine."""
        pytest.skip("declared: the engine holds one only")

    @pytest.fixture
    def worker(self, tmp_path: Path) -> Any:
        """Another worker's adapter."""
        return _driven(self.make_worker(tmp_path))

    @pytest.fixture
    def neighbour(self, tmp_path: Path) -> Any:
        """The neighbour's adapter."""
        return _driven(self.make_neighbour(tmp_path))

    # Who answers

    def test_it_tells_the_engine_and_its_version(self) -> None:
        assert re.search(r"[a-z].* v?\d+\.\d+", self.engine.ping(), re.IGNORECASE)

    def test_telling_who_answers_is_the_same_before_and_after_it_is_cleared(self) -> None:
        before = self.engine.ping()
        self.engine.clear()
        assert self.engine.ping() == before

    # The end

    def test_closing_twice_does_nothing_and_a_call_after_it_is_a_typed_error(self) -> None:
        if not self.closes:
            pytest.skip("declared: there is nothing to let go of")
        self.engine.ping()
        self.engine.close()
        self.engine.close()
        for call in (self.engine.ping, self.engine.clear, *self.later_calls()):
            with pytest.raises(AdapterUnavailable):
                call()

    def test_one_that_was_never_asked_anything_is_closed_all_the_same(self, worker: Any) -> None:
        if not self.closes:
            pytest.skip("declared: there is nothing to let go of")
        worker.close()
        worker.close()
        with pytest.raises(AdapterUnavailable):
            worker.ping()

    def later_calls(self) -> list[Any]:
        """Calls of the port's own that have to fail once it is closed."""
        raise NotImplementedError


def _driven(adapter: Any) -> Any:
    return adapter if isinstance(adapter, Driven) else Driven(adapter)
