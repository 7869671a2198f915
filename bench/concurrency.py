"""Concurrent adds with a model that takes a second per request: time against the theoretical limit.

500 adds over 50 ledgers, under one ``AsyncMemory`` on a SQLite file (``FULL``), with the real
litellm and ``remembrancer.testing.model_server`` on the loopback interface, which waits for a
second before each answer. Each answer has one fact from its message, so every add embeds, decides
and appends. Two ways are measured: ``add_many``, and ``add`` in 500 tasks of the caller. The
counterpart is litellm alone, with the same number of requests in total and in flight. Not measured:
the network, and the import of litellm (one add runs before the clock starts). The server runs in
the same process, at the same cost for all.

**The limit.** With C requests in flight, 500 requests of a second each take 500 / C seconds.
``add_many`` handles one add of a ledger at a time, so a ledger's 10 adds take at least 10 s. If the
processor has more to do than that, it is the limit: the report shows its seconds. The bars: the
allowed number of requests in flight, no more threads than the pools have, and three quarters of the
speed of litellm alone.

    sh dev bench concurrency              # about a minute
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import threading
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from attrs import frozen

from bench.report import Row, report
from remembrancer import AsyncMemory, Conversation, load_settings
from remembrancer.adapters.models.litellm.language_model import (
    LitellmLanguageModel,
    LitellmSettings,
)
from remembrancer.domain.conversation import Role
from remembrancer.domain.ports.language_model import ChatMessage, Prompt
from remembrancer.testing.model_server import Asked, ModelServer
from remembrancer.wiring.container import WORKERS

MODEL = "openai/gpt-4o-mini"
LATENCY = 1.0
SHARE = 0.75
LEDGERS_PER_REQUEST = 2
"""Ledgers in progress per request: while one waits for the store, another keeps the model busy."""

THREADS = WORKERS + 5
"""Threads of the stores' pool, plus one each for the event loop, litellm and the server, and two
for opening and closing. Sync models and embedders have a separate pool.
"""


@frozen(kw_only=True)
class Run:
    """Result of one run: wall-clock seconds, processor seconds, maximum of requests in flight and
    maximum of threads.
    """

    seconds: float
    processor: float
    in_flight: int
    threads: int


def answer(asked: Asked) -> dict[str, Any]:
    """Answer with one fact: the text of the message."""
    said = next(line for line in asked.text.splitlines() if "I sold boat" in line)
    quote = said[said.index("I sold boat") :].split("<")[0].strip()
    fact = {
        "text": quote.replace("I sold", "The user sold"),
        "kind": "episodic",
        "about": "user",
        "attribute": None,
        "evidence": [{"message": 1, "quote": quote}],
        "valid_from": None,
        "valid_to": None,
        "entities": [],
        "relations": [],
    }
    return {"facts": [fact]}


def conversations(adds: int, ledgers: int) -> list[Conversation]:
    return [
        {"messages": f"I sold boat {number}.", "user_id": f"user {number % ledgers}"}
        for number in range(adds)
    ]


async def run(
    way: Callable[[AsyncMemory, list[Conversation], Callable[[], None]], Awaitable[None]],
    arguments: argparse.Namespace,
) -> Run:
    with (
        tempfile.TemporaryDirectory() as folder,
        ModelServer(answer=answer, latency=LATENCY) as server,
    ):
        config = {
            "audit_log": {"path": str(Path(folder) / "memory.db")},
            "concurrency": LEDGERS_PER_REQUEST * arguments.concurrency,
            "language_model": {
                "provider": "litellm",
                "model": MODEL,
                "base_url": server.url,
                "concurrency": arguments.concurrency,
            },
        }
        settings = load_settings(config, environment={})
        async with await AsyncMemory.open(settings=settings) as memory:
            await memory.add("I sold boat 0.", user_id="first")
            threads: list[int] = []
            begun, worked = time.perf_counter(), time.process_time()
            given = conversations(arguments.adds, arguments.ledgers)
            await way(memory, given, lambda: threads.append(threading.active_count()))
            seconds, worked = time.perf_counter() - begun, time.process_time() - worked
            stats = await memory.stats()
            assert (stats.messages, stats.pending) == (len(given) + 1, 0)
            assert sum(stats.facts.values()) == len(given) + 1
            assert (await memory.verify()).ok
    return Run(
        seconds=seconds, processor=worked, in_flight=server.most_at_once, threads=max(threads)
    )


async def litellm_alone(arguments: argparse.Namespace) -> float:
    """Return the seconds for the same number of requests with the prompt of an add."""
    with ModelServer(answer={"facts": []}, latency=LATENCY) as server:
        config = {"provider": "litellm", "model": MODEL, "base_url": server.url}
        settings = load_settings({"language_model": config}, environment={})
        async with await AsyncMemory.open(settings=settings) as memory:
            await memory.add("I sold boat 0.", user_id="first")
        asked = server.asked[0].body
        prompt = Prompt(
            system=asked["messages"][0]["content"],
            messages=(ChatMessage(role=Role.USER, content=asked["messages"][1]["content"]),),
            schema=asked["response_format"]["json_schema"]["schema"],
        )
        model = LitellmLanguageModel(
            LitellmSettings(model=MODEL, base_url=server.url, concurrency=arguments.concurrency)
        )
        begun = time.perf_counter()
        await asyncio.gather(*(model.complete(prompt) for _ in range(arguments.adds)))
        return time.perf_counter() - begun


async def many(memory: AsyncMemory, given: list[Conversation], ended: Callable[[], None]) -> None:
    added = await memory.add_many(given, progress=lambda _: ended())
    assert added.failures == ()


async def tasks(memory: AsyncMemory, given: list[Conversation], ended: Callable[[], None]) -> None:
    async def add(conversation: Conversation) -> None:
        await memory.add(**conversation)
        ended()

    await asyncio.gather(*map(add, given))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--adds", type=int, default=500)
    parser.add_argument("--ledgers", type=int, default=50)
    parser.add_argument("--concurrency", type=int, default=25)
    arguments = parser.parse_args()
    in_flight = arguments.adds * LATENCY / arguments.concurrency
    in_order = LATENCY * -(-arguments.adds // arguments.ledgers)
    rows = []
    for name, way, limit in (
        ("add_many", many, max(in_flight, in_order)),
        ("add, in tasks", tasks, in_flight),
    ):
        alone = asyncio.run(litellm_alone(arguments))
        took = asyncio.run(run(way, arguments))
        rows += [
            Row(
                case=name,
                unit="s",
                ours=took.seconds,
                theirs=alone,
                more_is_better=False,
                bar=SHARE,
                note=f"the limit is {limit:g} s; the processor worked {took.processor:.1f} s",
            ),
            Row(
                case=f"{name}: requests in flight at the most",
                unit="",
                ours=took.in_flight,
                bar=arguments.concurrency,
            ),
            Row(
                case=f"{name}: threads at the most",
                unit="",
                ours=took.threads,
                more_is_better=False,
                bar=THREADS + LEDGERS_PER_REQUEST * arguments.concurrency,
            ),
        ]
    title = (
        f"{arguments.adds} adds over {arguments.ledgers} ledgers, {LATENCY:g} s a request, "
        f"{arguments.concurrency} requests at a time"
    )
    sys.exit(
        not report(
            "concurrency",
            title,
            rows,
            subjects=("remembrancer", "litellm alone"),
            settings=vars(arguments),
        )
    )


if __name__ == "__main__":
    main()
