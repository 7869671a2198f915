"""The contract that all external engines share: ``ping``, ``claim`` and ``close``."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
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

    # The log that it holds

    @pytest.fixture
    def claimable(self) -> Any:
        """The engine, if it is ``Claimable``."""
        if not hasattr(self.engine, "claim"):
            pytest.skip("declared: the engine does not store which log it holds")
        return self.engine

    def test_engine_holds_the_first_log_that_is_bound(self, claimable: Any, worker: Any) -> None:
        assert claimable.claim("log-1", bind=False) is None
        assert claimable.claim("log-1", bind=True) == "log-1"
        for other in (worker, claimable):
            assert other.claim("log-2", bind=True) == "log-1"
            assert other.claim("log-2", bind=False) == "log-1"

    def test_cleared_engine_holds_no_log(self, claimable: Any, worker: Any) -> None:
        claimable.claim("log-1", bind=True)
        claimable.clear()
        # The worker's cached schema is stale: one retryable error is allowed.
        with suppress(AdapterUnavailable):
            worker.claim("log-1", bind=False)
        assert worker.claim("log-1", bind=False) is None
        assert worker.claim("log-2", bind=True) == "log-2"
        assert claimable.claim("log-1", bind=True) == "log-2"

    def test_engine_holds_one_of_two_logs_that_are_bound_at_once(
        self, claimable: Any, worker: Any
    ) -> None:
        logs = ["log-1", "log-2"]
        with ThreadPoolExecutor(2) as threads:
            for one in [
                threads.submit(adapter.claim, log, bind=True)
                for adapter, log in zip((claimable, worker), logs, strict=True)
            ]:
                assert one.result() in logs
        held = claimable.claim("log-1", bind=False)
        assert held in logs
        assert [worker.claim(log, bind=True) for log in logs] == [held, held]

    def test_log_of_one_engine_does_not_affect_its_neighbour(
        self, claimable: Any, neighbour: Any
    ) -> None:
        claimable.claim("log-1", bind=True)
        assert neighbour.claim("log-2", bind=True) == "log-2"
        neighbour.clear()
        assert claimable.claim("log-2", bind=True) == "log-1"

    # Close

    def test_second_close_does_nothing_and_later_calls_are_adapter_unavailable(self) -> None:
        if not self.closes:
            pytest.skip("declared: there is nothing to close")
        self.engine.ping()
        self.engine.close()
        self.engine.close()
        calls = [self.engine.ping, self.engine.clear, *self.later_calls()]
        if hasattr(self.engine, "claim"):
            calls.append(lambda: self.engine.claim("log-1", bind=False))
        for call in calls:
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
