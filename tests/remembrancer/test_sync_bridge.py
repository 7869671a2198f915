"""Lifting of sync and async adapters under ``Memory`` and ``AsyncMemory``."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import Any

import pytest

from remembrancer.application.background_loop import BackgroundLoop
from remembrancer.application.inline import run_inline
from remembrancer.domain.errors import AdapterUnavailable
from remembrancer.runtime.sync_bridge import Lift, lift_inline, lift_to_threads
from remembrancer.testing.driving import Driven


class Plain:
    """An adapter with plain methods."""

    kind = "plain"

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.limit = 7

    @property
    def doubled(self) -> int:
        return self.limit * 2

    def where(self, *words: str, end: str = "") -> tuple[str, str]:
        return " ".join(words) + end, threading.current_thread().name

    def fail(self) -> None:
        raise LookupError("nothing there")

    def interrupt(self) -> None:
        raise KeyboardInterrupt

    def stop(self) -> None:
        raise StopIteration("leaked")


class Async(Plain):
    """The same adapter, written with ``async def``."""

    kind = "async"

    async def where(self, *words: str, end: str = "") -> tuple[str, str]:  # type: ignore[override]
        await asyncio.sleep(0)
        return " ".join(words) + end, threading.current_thread().name

    async def fail(self) -> None:  # type: ignore[override]
        await asyncio.sleep(0)
        raise LookupError("nothing there")

    async def interrupt(self) -> None:  # type: ignore[override]
        raise asyncio.CancelledError

    async def stop(self) -> None:  # type: ignore[override]
        raise StopIteration("leaked")


@pytest.fixture
def loop() -> Iterator[BackgroundLoop]:
    background = BackgroundLoop()
    yield background
    background.close()


@pytest.fixture
def workers() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(2, thread_name_prefix="worker") as pool:
        yield pool


async def use_case(adapter: Any) -> tuple[str, str]:
    """A use-case that makes two calls; returns the words and the thread of the last call."""
    first, _ = await adapter.where("tea")
    second, thread = await adapter.where("or", end=" coffee")
    return f"{first} {second}", thread


# The four cases


def test_plain_adapter_under_memory_runs_in_the_thread_of_the_caller(loop: BackgroundLoop) -> None:
    adapter = lift_inline(loop)(Plain())
    said, thread = run_inline(use_case(adapter))
    assert said == "tea or coffee"
    assert thread == threading.current_thread().name
    # and no loop was started
    assert "remembrancer-memory" not in {each.name for each in threading.enumerate()}


def test_async_adapter_under_memory_runs_on_the_background_loop(loop: BackgroundLoop) -> None:
    adapter = lift_inline(loop)(Async())
    assert run_inline(use_case(adapter)) == ("tea or coffee", "remembrancer-memory")


def test_plain_adapter_under_async_memory_runs_in_a_worker_thread(
    workers: ThreadPoolExecutor,
) -> None:
    adapter = lift_to_threads(workers)(Plain())
    said, thread = asyncio.run(use_case(adapter))
    assert said == "tea or coffee"
    assert thread.startswith("worker")


def test_an_async_adapter_under_async_memory_is_awaited(workers: ThreadPoolExecutor) -> None:
    adapter = lift_to_threads(workers)(Async())
    assert asyncio.run(use_case(adapter)) == ("tea or coffee", threading.current_thread().name)


class Blocking:
    """An adapter written with ``async def`` over calls that block."""

    never_suspends = True

    async def where(self, *words: str, end: str = "") -> tuple[str, str]:
        return " ".join(words) + end, threading.current_thread().name


def test_async_adapter_that_never_suspends_runs_in_the_thread_of_the_caller(
    loop: BackgroundLoop,
) -> None:
    adapter = lift_inline(loop)(Blocking())
    said, thread = run_inline(use_case(adapter))
    assert said == "tea or coffee"
    assert thread == threading.current_thread().name
    assert "remembrancer-memory" not in {each.name for each in threading.enumerate()}


def test_adapter_that_suspends_despite_never_suspends_is_an_error(
    loop: BackgroundLoop,
) -> None:
    class Liar(Async):
        never_suspends = True

    with pytest.raises(RuntimeError, match="suspended under Memory"):
        run_inline(use_case(lift_inline(loop)(Liar())))


@pytest.mark.parametrize(
    ("adapter", "thread"),
    [
        (Plain(), threading.main_thread().name),
        (Async(), "remembrancer-driven-adapters"),
        (Blocking(), threading.main_thread().name),
    ],
    ids=["plain", "async", "never suspends"],
)
def test_contract_suites_call_adapters_of_all_kinds(adapter: Any, thread: str) -> None:
    assert Driven(adapter).where("tea", end="!") == ("tea!", thread)


# All cases

CASES = [
    pytest.param(mode, adapter, id=f"{adapter.kind} under {mode}")
    for mode in ("memory", "async memory")
    for adapter in (Plain, Async)
]


@pytest.fixture
def driven(loop: BackgroundLoop, workers: ThreadPoolExecutor) -> Any:
    """The lift and the runner of a mode, by its name."""
    modes: dict[str, tuple[Lift, Any]] = {
        "memory": (lift_inline(loop), run_inline),
        "async memory": (lift_to_threads(workers), asyncio.run),
    }
    return modes.__getitem__


@pytest.mark.parametrize(("mode", "kind"), CASES)
class TestEveryCase:
    def test_error_reaches_the_caller_unchanged(
        self, driven: Any, mode: str, kind: type[Plain]
    ) -> None:
        lift, run = driven(mode)
        with pytest.raises(LookupError, match="nothing there"):
            run(lift(kind()).fail())

    def test_properties_and_attributes_are_read_from_the_adapter(
        self, driven: Any, mode: str, kind: type[Plain]
    ) -> None:
        # Given an adapter with a property that follows an attribute
        lift, _ = driven(mode)
        adapter = kind()
        lifted = lift(adapter)
        assert (lifted.kind, lifted.limit, lifted.doubled) == (kind.kind, 7, 14)
        # When the attribute changes
        adapter.limit = 8
        # Then the lifted adapter has the new value
        assert (lifted.limit, lifted.doubled) == (8, 16)

    def test_missing_attribute_is_an_attribute_error(
        self, driven: Any, mode: str, kind: type[Plain]
    ) -> None:
        lift, _ = driven(mode)
        with pytest.raises(AttributeError, match="missing"):
            _ = lift(kind()).missing

    def test_leaked_stop_iteration_is_a_runtime_error(
        self, driven: Any, mode: str, kind: type[Plain]
    ) -> None:
        # A future can't carry StopIteration: asyncio drops it, and the caller would wait forever
        lift, run = driven(mode)
        with pytest.raises(RuntimeError, match="StopIteration"):
            run(lift(kind()).stop())


def test_method_is_lifted_once(loop: BackgroundLoop) -> None:
    adapter = lift_inline(loop)(Plain())
    assert adapter.where is adapter.where


def test_two_lifted_adapters_are_independent(loop: BackgroundLoop) -> None:
    one, other = lift_inline(loop)(Plain()), lift_inline(loop)(Async())
    assert run_inline(one.where("x"))[1] != run_inline(other.where("x"))[1]


def test_partial_of_an_async_method_is_awaited(workers: ThreadPoolExecutor) -> None:
    class Wrapped:
        def __init__(self) -> None:
            self.where = partial(Async().where, "tea")

    adapter = lift_to_threads(workers)(Wrapped())
    assert asyncio.run(adapter.where())[0] == "tea"


# Running inline


def test_use_case_that_suspends_under_memory_is_an_error(workers: ThreadPoolExecutor) -> None:
    # Given an adapter that was lifted for the other mode
    adapter = lift_to_threads(workers)(Async())
    # When a use-case runs inline on it
    with pytest.raises(RuntimeError, match="lift its adapters with lift_inline"):
        run_inline(use_case(adapter))


def test_use_case_that_suspends_is_closed() -> None:
    steps: list[str] = []

    async def suspends() -> None:
        try:
            await asyncio.sleep(1)
        finally:
            steps.append("cleaned up")

    with pytest.raises(RuntimeError):
        run_inline(suspends())
    assert steps == ["cleaned up"]


def test_keyboard_interrupt_in_a_plain_method_reaches_the_caller(loop: BackgroundLoop) -> None:
    with pytest.raises(KeyboardInterrupt):
        run_inline(lift_inline(loop)(Plain()).interrupt())


def test_use_case_can_run_inline_inside_a_running_loop(loop: BackgroundLoop) -> None:
    # A host that calls Memory from a coroutine blocks its loop, but gets the result
    async def host() -> Any:
        return run_inline(use_case(lift_inline(loop)(Async())))

    assert asyncio.run(host())[0] == "tea or coffee"


# The background loop


def test_one_loop_serves_all_threads(loop: BackgroundLoop) -> None:
    adapter = lift_inline(loop)(Async())
    results: list[tuple[str, str]] = []
    threads = [
        threading.Thread(target=lambda: results.append(run_inline(use_case(adapter))))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [("tea or coffee", "remembrancer-memory")] * 8


def test_closing_twice_or_before_the_start_does_nothing(loop: BackgroundLoop) -> None:
    BackgroundLoop().close()
    assert run_inline(lift_inline(loop)(Async()).where("x"))[0] == "x"
    loop.close()
    loop.close()
    assert "remembrancer-memory" not in {each.name for each in threading.enumerate()}


def test_closed_loop_stays_closed(loop: BackgroundLoop) -> None:
    loop.close()
    with pytest.raises(AdapterUnavailable, match="has been closed; open it again"):
        run_inline(lift_inline(loop)(Async()).where("x"))
    assert "remembrancer-memory" not in {each.name for each in threading.enumerate()}


def test_close_ends_waiting_callers_with_a_typed_error(loop: BackgroundLoop) -> None:
    # Given a thread that waits for an adapter that never answers
    begun = threading.Event()
    outcomes: list[str] = []

    async def never() -> None:
        begun.set()
        await asyncio.Event().wait()

    def wait() -> None:
        try:
            loop.run(never())
        except AdapterUnavailable as error:
            outcomes.append(str(error))

    thread = threading.Thread(target=wait)
    thread.start()
    begun.wait()
    # When the loop is closed
    loop.close()
    # Then the thread goes on
    thread.join()
    assert len(outcomes) == 1
    assert "its event loop was closed before the call ended" in outcomes[0]


def test_interrupt_of_the_caller_cancels_the_coroutine(
    loop: BackgroundLoop, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a coroutine on the loop, and a caller that is interrupted while it waits
    begun, cancelled = threading.Event(), threading.Event()

    async def never() -> None:
        begun.set()
        with suppress(BaseException):
            await asyncio.Event().wait()
        cancelled.set()

    def interrupted(future: Any, timeout: float | None = None) -> None:
        begun.wait()
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("concurrent.futures.Future.result", interrupted)
        with pytest.raises(KeyboardInterrupt):
            loop.run(never())
    # Then the coroutine does not keep running
    assert cancelled.wait(30)


# Cancellation under AsyncMemory


class Slow:
    """A plain adapter whose method reports its progress and can be paused."""

    def __init__(self) -> None:
        self.begun = threading.Event()
        self.go_on = threading.Event()
        self.finished = threading.Event()

    def commit(self) -> str:
        self.begun.set()
        self.go_on.wait()
        self.finished.set()
        return "committed"


def test_cancelled_task_stops_waiting_and_the_method_completes(
    workers: ThreadPoolExecutor,
) -> None:
    slow = Slow()
    steps: list[str] = []

    async def use() -> None:
        await lift_to_threads(workers)(slow).commit()
        steps.append("went on")

    async def main() -> None:
        # Given a task that waits for a method in a worker
        task = asyncio.create_task(use())
        await asyncio.to_thread(slow.begun.wait)
        # When it is cancelled
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        # Then the task ends at once, but the method has not ended
        steps.append("cancelled")
        assert not slow.finished.is_set()
        # and the method runs to its end
        slow.go_on.set()
        await asyncio.to_thread(slow.finished.wait)

    asyncio.run(main())
    assert slow.finished.is_set()
    assert steps == ["cancelled"]


def test_a_cancelled_task_cancels_an_async_method(workers: ThreadPoolExecutor) -> None:
    steps: list[str] = []

    class Waiting:
        async def answer(self) -> None:
            steps.append("begun")
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                steps.append("cancelled")
                raise

    async def main() -> None:
        task = asyncio.create_task(lift_to_threads(workers)(Waiting()).answer())
        while not steps:
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert steps == ["begun", "cancelled"]


def test_call_after_the_workers_shut_down_is_adapter_unavailable() -> None:
    workers = ThreadPoolExecutor(1)
    adapter = lift_to_threads(workers)(Plain())
    workers.shutdown()
    with pytest.raises(AdapterUnavailable, match="has been closed; open it again"):
        asyncio.run(adapter.where("x"))
