"""The background loop: who may call it, and what closing leaves behind."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

import pytest

from remembrancer.application.background_loop import BackgroundLoop
from remembrancer.domain.errors import AdapterUnavailable, WrongContext


@pytest.fixture
def loop() -> Iterator[BackgroundLoop]:
    background = BackgroundLoop("tea")
    yield background
    background.close()


async def thread_name() -> str:
    return threading.current_thread().name


def test_loop_runs_coroutines_for_threads_and_for_other_loops(loop: BackgroundLoop) -> None:
    assert loop.run(thread_name()) == "remembrancer-tea"
    assert asyncio.run(loop.run_async(thread_name())) == "remembrancer-tea"


def test_blocking_call_from_the_loop_itself_is_refused(loop: BackgroundLoop) -> None:
    # Would wait for itself for ever
    async def ask() -> str:
        return loop.run(thread_name())

    with pytest.raises(WrongContext, match=r"tea: .* call from another thread"):
        loop.run(ask())


def test_closed_loop_refuses_both_kinds_of_callers(loop: BackgroundLoop) -> None:
    loop.close()
    with pytest.raises(AdapterUnavailable, match="tea: has been closed"):
        loop.run(thread_name())
    with pytest.raises(AdapterUnavailable, match="tea: has been closed"):
        asyncio.run(loop.run_async(thread_name()))


def test_close_runs_the_last_coroutine_after_the_others_have_ended(loop: BackgroundLoop) -> None:
    steps: list[str] = []
    begun = threading.Event()

    async def never() -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            steps.append("cancelled")

    async def last() -> None:
        steps.append("last")

    def call() -> None:
        with pytest.raises(BaseException):  # noqa: B017 - cancelled
            loop.run(never())

    caller = threading.Thread(target=call)
    caller.start()
    begun.wait()
    assert asyncio.run(loop.close_async(last=last())) == ()
    caller.join()
    assert steps == ["cancelled", "last"]


def test_close_names_a_coroutine_that_ignores_its_cancellation(loop: BackgroundLoop) -> None:
    begun, released = threading.Event(), threading.Event()

    async def stubborn() -> None:
        begun.set()
        while not released.is_set():
            try:
                await asyncio.sleep(0.01)
            except asyncio.CancelledError:
                continue

    caller = threading.Thread(target=lambda: loop.run(stubborn()), daemon=True)
    caller.start()
    begun.wait()
    left = loop.close(grace=0.1)
    released.set()
    caller.join()
    assert [name.rpartition(".")[2] for name in left] == ["stubborn"]


def test_close_names_a_coroutine_that_blocks_the_loop(loop: BackgroundLoop) -> None:
    begun, released = threading.Event(), threading.Event()

    async def blocking() -> None:
        begun.set()
        released.wait()

    caller = threading.Thread(target=lambda: loop.run(blocking()), daemon=True)
    caller.start()
    begun.wait()
    left = loop.close(grace=0.1)
    released.set()
    caller.join()
    assert [name.rpartition(".")[2] for name in left] == ["blocking"]
