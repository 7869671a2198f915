"""Rules that extract from a long text don't block an event loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from typing import Any

from remembrancer import AsyncMemory, Memory
from remembrancer.application.extraction.rules.extractor import RulesExtractor
from remembrancer.domain.conversation import Message
from remembrancer.domain.guidance import Guidance
from remembrancer.domain.ports.clock import IdSource
from remembrancer.domain.ports.extractor import Extraction
from remembrancer.runtime.offloaded_extractor import AT_ONCE
from tests.helpers.waiting import PATIENCE

BOB: dict[str, Any] = {"user_id": "bob"}
SENTENCE = "I like tea. "
LONG = SENTENCE * (AT_ONCE // len(SENTENCE) + 1)


class Noting(RulesExtractor):
    """Notes the thread of each extraction; a long one waits until the gate is open."""

    def __init__(self) -> None:
        self.threads: list[int] = []
        self.gate = threading.Event()

    async def extract(
        self, messages: Sequence[Message], ids: IdSource, guidance: Guidance | None = None
    ) -> Extraction:
        self.threads.append(threading.get_ident())
        if threading.get_ident() != threading.main_thread().ident:
            assert self.gate.wait(PATIENCE)
        return await super().extract(messages, ids, guidance)


def test_loop_goes_on_while_rules_extract_from_a_long_text() -> None:
    extractor = Noting()

    async def talk() -> None:
        async with await AsyncMemory.open(overrides={"extractor": extractor}) as memory:
            adding = asyncio.create_task(memory.add(LONG, **BOB))
            # The loop opens the gate, which it could not if it was extracting.
            while not extractor.threads:
                await asyncio.sleep(0.001)
            extractor.gate.set()
            receipt = await adding
            assert receipt.extractor == extractor.name
            await memory.add("I live in Rome.", **BOB)

    asyncio.run(talk())
    main = threading.main_thread().ident
    assert [thread == main for thread in extractor.threads] == [False, True]


def test_memory_without_a_loop_extracts_in_the_thread_of_the_caller() -> None:
    extractor = Noting()
    with Memory(overrides={"extractor": extractor}) as memory:
        memory.add(LONG, **BOB)
    assert extractor.threads == [threading.main_thread().ident]
