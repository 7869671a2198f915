"""Closing is bounded and names what it leaves behind; forks and calls from within are refused."""

from __future__ import annotations

import asyncio
import functools
import logging
import threading
from array import array
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import pytest

from remembrancer import AsyncMemory, Memory
from remembrancer.application.background_loop import BackgroundLoop
from remembrancer.domain.errors import AdapterUnavailable, WrongContext
from remembrancer.domain.ports.embedder import Purpose, Vector
from remembrancer.runtime import queue_workers
from remembrancer.wiring import build, lifecycle
from remembrancer.wiring.settings import Settings, load_settings
from tests.helpers.waiting import PATIENCE

ANN: dict[str, Any] = {"user_id": "ann"}
SETTINGS = {"audit_log": "memory", "grace": 0.05}


def settings() -> Settings:
    return load_settings(SETTINGS, environment={})


class Letters:
    """An embedder with ``embed`` to be defined."""

    model = "letters"
    dimension = 2
    local = False

    @staticmethod
    def vectors(texts: Sequence[str]) -> list[Vector]:
        return [array("f", (text.count("e"), len(text))) for text in texts]


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (build, lifecycle):
        monkeypatch.setattr(module, "RELEASE", 0.1)
    monkeypatch.setattr(queue_workers, "FAREWELL", 0.1)


def traced(method: Callable[..., Any]) -> Callable[..., Any]:
    """A decorator as hosts write them: a plain function that returns a coroutine."""

    @functools.wraps(method)
    def call(*args: Any, **kwargs: Any) -> Any:
        return method(*args, **kwargs)

    return call


class Decorated(Letters):
    @traced
    async def embed(self, texts: Sequence[str], purpose: Purpose) -> Sequence[Vector]:
        await asyncio.sleep(0)
        return self.vectors(texts)


def test_decorated_async_method_is_awaited_under_both_faces() -> None:
    with Memory(settings=settings(), overrides={"embedder": Decorated()}) as memory:
        assert memory.add("I like green tea.", **ANN).lagging == ()
        assert memory.search("tea", **ANN).degraded == ()

    async def script() -> None:
        overrides = {"embedder": Decorated()}
        async with await AsyncMemory.open(settings=settings(), overrides=overrides) as memory:
            assert (await memory.add("I like green tea.", **ANN)).lagging == ()
            assert (await memory.search("tea", **ANN)).degraded == ()

    asyncio.run(script())


class Curious(Letters):
    """Asks the memory that it serves."""

    memory: Memory

    async def embed(self, texts: Sequence[str], purpose: Purpose) -> Sequence[Vector]:
        if purpose == "query":
            self.memory.search("What do I know?", **ANN)
        return self.vectors(texts)


def test_async_adapter_that_calls_its_own_memory_is_refused() -> None:
    # Deadlocked
    embedder = Curious()
    with Memory(settings=settings(), overrides={"embedder": embedder}) as memory:
        embedder.memory = memory
        memory.add("I like green tea.", **ANN)
        with pytest.raises(WrongContext, match="call from another thread"):
            memory.search("tea", **ANN)


class Hanging(Letters):
    """Its call returns when the test lets it."""

    def __init__(self) -> None:
        self.begun = threading.Event()
        self.released = threading.Event()

    def wait(self) -> None:
        self.begun.set()
        self.released.wait()


class HangingPlain(Hanging):
    def embed(self, texts: Sequence[str], purpose: Purpose) -> Sequence[Vector]:
        self.wait()
        return self.vectors(texts)


class HangingAsync(Hanging):
    async def embed(self, texts: Sequence[str], purpose: Purpose) -> Sequence[Vector]:
        self.wait()
        return self.vectors(texts)


@pytest.mark.parametrize("embedder", [HangingPlain, HangingAsync])
def test_close_leaves_a_call_that_never_returns(
    embedder: type[Hanging], caplog: pytest.LogCaptureFixture
) -> None:
    # Waited for ever
    engine = embedder()
    memory = Memory(settings=settings(), overrides={"embedder": engine})
    memory.add("I like green tea.", **ANN, wait=False)
    engine.begun.wait()
    with caplog.at_level(logging.WARNING, logger="remembrancer"):
        memory.close()
    engine.released.set()
    if embedder is HangingAsync:
        assert "embed" in caplog.text


def test_async_close_leaves_a_plain_call_that_never_returns(
    caplog: pytest.LogCaptureFixture,
) -> None:
    engine = HangingPlain()

    async def script() -> None:
        memory = await AsyncMemory.open(settings=settings(), overrides={"embedder": engine})
        await memory.add("I like green tea.", **ANN, wait=False)
        await asyncio.to_thread(engine.begun.wait)
        await memory.close()

    with caplog.at_level(logging.WARNING, logger="remembrancer"):
        asyncio.run(script())
    engine.released.set()
    assert "HangingPlain.embed" in caplog.text


class Stubborn:
    """An engine whose ``close`` ignores its cancellation until the test lets it end."""

    def __init__(self) -> None:
        self.released = asyncio.Event()

    async def close(self) -> None:
        while not self.released.is_set():
            with suppress(asyncio.CancelledError):
                await self.released.wait()


def test_async_close_leaves_an_engine_that_ignores_cancellation(
    caplog: pytest.LogCaptureFixture,
) -> None:
    # Waited for ever
    async def script() -> None:
        memory = await AsyncMemory.open(settings=settings())
        engine = Stubborn()
        memory._lifecycle._engines["vector_index"] = engine
        await memory.close()
        engine.released.set()

    with caplog.at_level(logging.WARNING, logger="remembrancer"):
        asyncio.run(script())
    assert "vector_index" in caplog.text


class Stopping(Letters):
    """Stops the event loop that it runs in, once it holds a memory."""

    stops = False

    async def embed(self, texts: Sequence[str], purpose: Purpose) -> Sequence[Vector]:
        if self.stops:
            asyncio.get_running_loop().stop()
            await asyncio.Event().wait()
        return self.vectors(texts)


def test_event_loop_that_an_adapter_stops_ends_calls_with_a_typed_error() -> None:
    # Waited for ever
    embedder = Stopping()
    with Memory(settings=settings(), overrides={"embedder": embedder}) as memory:
        memory.add("I like green tea.", **ANN)
        loop = memory._inner._container.loop()
        embedder.stops = True
        with pytest.raises(AdapterUnavailable, match="event loop was closed"):
            loop.run(embedder.embed(["tea"], "query"))
        with pytest.raises(AdapterUnavailable, match="event loop was closed"):
            loop.run(embedder.embed(["tea"], "query"))


def test_calls_that_meet_a_stopping_event_loop_end_with_a_typed_error() -> None:
    # Some were sent too late to be cancelled, and waited for ever
    loop = BackgroundLoop("engine")

    async def stop() -> None:
        asyncio.get_running_loop().stop()
        await asyncio.Event().wait()

    with ThreadPoolExecutor(8) as callers:
        calls = [callers.submit(loop.run, stop()) for _ in range(64)]
        errors = [call.exception(PATIENCE) for call in calls]
    assert {type(error) for error in errors} == {AdapterUnavailable}
    assert loop.close() == ()


class Stuck(Letters):
    async def embed(self, texts: Sequence[str], purpose: Purpose) -> Sequence[Vector]:
        await asyncio.Event().wait()
        return []


def test_receipt_of_a_closed_event_loop_ends_with_a_typed_error() -> None:
    # Waited for ever
    first = asyncio.new_event_loop()
    overrides = {"embedder": Stuck()}
    memory = first.run_until_complete(AsyncMemory.open(settings=settings(), overrides=overrides))
    receipt: Any = first.run_until_complete(memory.add("I like green tea.", **ANN, wait=False))
    first.run_until_complete(asyncio.sleep(0))
    first.close()

    async def script() -> None:
        with pytest.raises(AdapterUnavailable, match="call retry"):
            await receipt.wait()
        await memory.close()

    asyncio.run(script())
