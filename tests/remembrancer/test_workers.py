"""The threads for plain adapters, and calls that are given up after a time."""

from __future__ import annotations

import threading
from concurrent.futures import CancelledError

import pytest

from remembrancer.runtime.bounded import bounded
from remembrancer.runtime.workers import Workers


def test_workers_run_calls_in_daemon_threads_up_to_the_limit() -> None:
    workers = Workers(2, "tea")
    meeting = threading.Barrier(3)

    def meet() -> tuple[str, bool]:
        meeting.wait()
        thread = threading.current_thread()
        return thread.name, thread.daemon

    first, second = workers.submit(meet), workers.submit(meet)
    meeting.wait()
    assert {first.result(), second.result()} == {("tea_0", True), ("tea_1", True)}
    assert [workers.submit(lambda number=number: number).result() for number in range(50)] == list(
        range(50)
    )
    assert len([each for each in threading.enumerate() if each.name.startswith("tea_")]) == 2
    assert workers.close(60) == ()
    assert not [each for each in threading.enumerate() if each.name.startswith("tea_")]


def test_error_of_a_call_reaches_the_caller() -> None:
    workers = Workers(1)

    def spill() -> None:
        raise ValueError("spilled")

    with pytest.raises(ValueError, match="spilled"):
        workers.submit(spill).result()
    workers.close(60)


def test_closed_workers_refuse_calls() -> None:
    workers = Workers(1)
    workers.close(60)
    workers.close(60)
    with pytest.raises(RuntimeError, match="closed"):
        workers.submit(print)


def test_close_cancels_waiting_calls_and_names_running_ones() -> None:
    workers = Workers(1)
    begun, released = threading.Event(), threading.Event()

    def hang() -> None:
        begun.set()
        released.wait()

    running = workers.submit(hang)
    waiting = workers.submit(print)
    begun.wait()
    left = workers.close(grace=0.05)
    assert [name.rpartition(".")[2] for name in left] == ["hang"]
    with pytest.raises(CancelledError):
        waiting.result()
    # The call that was left behind still ends by itself
    released.set()
    assert running.result() is None


def test_bounded_call_is_named_if_it_does_not_return_in_time() -> None:
    released = threading.Event()
    assert bounded(released.wait, "tea", 0.05) == ("tea",)
    released.set()
    assert bounded(released.wait, "tea", 60) == ()


def test_error_of_a_bounded_call_is_raised() -> None:
    def spill() -> None:
        raise TimeoutError("of its own")

    with pytest.raises(TimeoutError, match="of its own"):
        bounded(spill, "tea", 60)
