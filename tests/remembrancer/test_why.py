"""``memory.audit.why``: every belief can say where it comes from."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from remembrancer import AsyncMemory, InvalidRequest, Memory, NotFound
from tests.helpers.clock import VirtualClock

ANN: Any = {"user_id": "ann"}


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock(step=1)


@pytest.fixture
def memory(clock: VirtualClock) -> Iterator[Memory]:
    with Memory(overrides={"clock": clock}) as opened:
        yield opened


def added(memory: Memory, text: str, **options: Any) -> str:
    """The id of the one fact in a text."""
    (verdict,) = memory.add(text, **options, **ANN).verdicts
    return str(verdict.fact_id)


def test_each_version_of_a_fact_names_the_event_that_made_it(memory: Memory) -> None:
    berlin = added(memory, "I live in Berlin.", actor="chat")
    memory.update(berlin, "I live in Potsdam.", reason="a suburb", actor="support")
    memory.add("I moved to Rome.", actor="chat", **ANN)
    steps = memory.audit.why(berlin).versions
    assert [(step.version, step.type, step.actor) for step in steps] == [
        (1, "fact.added", "chat"),
        (2, "fact.revised", "support"),
        (3, "fact.superseded", "chat"),
    ]
    assert [step.text for step in steps[:2]] == ["I live in Berlin.", "I live in Potsdam."]
    assert steps[1].reason == "a suburb"
    assert len({step.event_id for step in steps}) == 3


def test_an_end_of_a_rival_is_a_step_of_the_other_one(memory: Memory) -> None:
    berlin = added(memory, "I live in Berlin.")
    rome = added(memory, "I live in Rome.")
    assert memory.get(berlin).rivals == (rome,)
    memory.delete(rome, reason="a joke")
    types = [step.type for step in memory.audit.why(berlin).versions]
    assert types == ["fact.added", "facts.rivalled", "fact.retracted"]


def test_a_version_and_a_moment_choose_what_is_explained(
    memory: Memory, clock: VirtualClock
) -> None:
    berlin = added(memory, "I live in Berlin.")
    then = clock.now()
    memory.update(berlin, "I live in Potsdam.")
    assert memory.audit.why(berlin).fact.version == 2
    assert memory.audit.why(berlin, as_of=then).fact.text == "I live in Berlin."
    first = memory.audit.why(berlin, version=1)
    assert [step.version for step in first.versions] == [1]
    with pytest.raises(NotFound, match="no version 2"):
        memory.audit.why(berlin, version=2, as_of=then)


def test_a_fact_of_others_and_a_wrong_argument_are_refused(memory: Memory) -> None:
    berlin = added(memory, "I live in Berlin.")
    with pytest.raises(NotFound, match="that this scope may see"):
        memory.audit.why(berlin, user_id="bob")
    with pytest.raises(NotFound, match="no version 9"):
        memory.audit.why(berlin, version=9)
    for wrong in ({"version": 0}, {"as_of": "2999-01-01T00:00Z"}, {"memory_id": berlin}):
        with pytest.raises(InvalidRequest):
            memory.audit.why(berlin, **wrong)  # type: ignore[arg-type]


def test_the_async_memory_explains_as_well() -> None:
    async def explained() -> list[str]:
        async with AsyncMemory() as memory:
            receipt = await memory.add("I live in Berlin.", **ANN)
            why = await memory.audit.why(str(receipt.verdicts[0].fact_id), **ANN)
            return [step.type for step in why.versions]

    assert asyncio.run(explained()) == ["fact.added"]
