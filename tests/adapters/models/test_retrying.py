"""Retries are bounded in number and time, and respect ``Retry-After``."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remembrancer.adapters.models.litellm.retrying import (
    FIRST_WAIT,
    LONGEST_WAIT,
    Retrying,
    TryAgain,
    retry_after,
)
from remembrancer.domain.errors import AdapterUnavailable

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


class Run:
    """One run with a fake clock that advances only during waits and work."""

    def __init__(self, *outcomes: Any, work: float = 0.0, **limits: Any) -> None:
        self.time = 0.0
        self.waits: list[float] = []
        self.tries = 0
        self._outcomes = outcomes
        self._work = work
        self.retrying = Retrying(
            **{"retries": 3, "patience": 100.0, **limits},
            sleep=self._sleep,
            now=lambda: self.time,
            chance=lambda: 0.5,
        )

    async def _sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.time += seconds

    async def _attempt(self) -> Any:
        outcome = self._outcomes[min(self.tries, len(self._outcomes) - 1)]
        self.tries += 1
        self.time += self._work
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    def result(self) -> Any:
        return asyncio.run(self.retrying.run(self._attempt))


def down(after: float | None = None) -> TryAgain:
    return TryAgain(AdapterUnavailable("test", "down"), after)


def test_successful_attempt_is_not_repeated() -> None:
    run = Run("done")
    assert run.result() == "done"
    assert (run.tries, run.waits) == (1, [])


def test_transient_failures_are_retried_with_growing_waits() -> None:
    run = Run(down(), down(), down(), "done")
    assert run.result() == "done"
    assert run.waits == sorted(run.waits)
    assert len(set(run.waits)) == 3


def test_failure_is_raised_after_the_last_retry() -> None:
    run = Run(down(), retries=2)
    with pytest.raises(AdapterUnavailable):
        run.result()
    assert run.tries == 3


def test_other_errors_are_not_retried() -> None:
    run = Run(ValueError("wrong"))
    with pytest.raises(ValueError, match="wrong"):
        run.result()
    assert run.tries == 1


def test_no_retry_begins_after_the_patience() -> None:
    run = Run(down(), work=30.0, retries=50, patience=100.0)
    with pytest.raises(AdapterUnavailable):
        run.result()
    assert run.time - 30.0 <= 100.0
    assert run.tries == 4


def test_retry_after_beyond_the_patience_fails_at_once() -> None:
    run = Run(down(after=3600), patience=100.0)
    with pytest.raises(AdapterUnavailable):
        run.result()
    assert run.waits == []


@given(st.integers(0, 1000), st.none() | st.floats(0, 1e6), st.floats(0, 1, exclude_max=True))
def test_waits_are_bounded_and_at_least_retry_after(
    tried: int, after: float | None, chance: float
) -> None:
    retrying = Retrying(retries=1, patience=1, chance=lambda: chance)
    wait = retrying.wait_before(tried, after)
    if after is None:
        assert FIRST_WAIT / 2 <= wait <= LONGEST_WAIT
    else:
        assert after <= wait <= after + FIRST_WAIT


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"Retry-After": "7"}, 7.0),
        ({"retry-after": " 0.5 "}, 0.5),
        ({"retry-after-ms": "1500", "Retry-After": "2"}, 1.5),
        ({"Retry-After": "Sun, 01 Mar 2026 12:00:30 GMT"}, 30.0),
        ({"Retry-After": "Sun, 01 Mar 2026 11:00:00 GMT"}, 0.0),
        ({"Retry-After": "-5"}, 0.0),
        ({"Retry-After": "soon"}, None),
        ({"Retry-After": "nan"}, None),
        ({"Retry-After": "inf"}, None),
        ({"Retry-After": ""}, None),
    ],
)
def test_retry_after_header_is_parsed(headers: Any, seconds: float | None) -> None:
    assert retry_after(headers, NOON) == seconds
