"""A fact that was deleted with ``block`` is not drawn again until its owner says it anew."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from remembrancer import Memory
from remembrancer.application.inline import run_inline
from remembrancer.domain.events import FactRetracted, FactUnblocked
from remembrancer.domain.facts.verdicts import Decision, Refusal
from remembrancer.domain.recorded import Position
from tests.helpers.clock import NOON, VirtualClock

ANN: Any = {"user_id": "ann"}


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock(step=0.001)


@pytest.fixture
def memory(clock: VirtualClock, tmp_path: Path) -> Iterator[Memory]:
    with Memory(tmp_path / "memory.db", overrides={"clock": clock}) as opened:
        yield opened


def blocked(memory: Memory, text: str = "I live in Berlin.") -> str:
    """Say something, and delete it for good."""
    fact_id = str(memory.add(text, **ANN).verdicts[0].fact_id)
    memory.delete(fact_id, block=True)
    return fact_id


def texts(memory: Memory) -> set[str]:
    return {fact.text for fact in memory.get_all(**ANN)}


def by_assistant(text: str) -> Any:
    return {"role": "assistant", "content": text}


@pytest.mark.parametrize(
    "message",
    [
        by_assistant("I live in Berlin."),
        {"role": "user", "content": "I live in Berlin.", "timestamp": NOON - timedelta(days=1)},
        {"role": "user", "content": "I live in  BERLIN", "timestamp": NOON - timedelta(days=1)},
    ],
    ids=["another role", "earlier words", "like words"],
)
def test_a_blocked_fact_is_not_drawn_again(
    memory: Memory, clock: VirtualClock, message: Any
) -> None:
    blocked(memory)
    clock.move(days=1)
    receipt = memory.add(message, **ANN)
    [verdict] = receipt.verdicts
    assert (verdict.decision, verdict.refused) == (Decision.IGNORE, Refusal.BLOCKED)
    assert texts(memory) == set()


def test_the_same_value_in_other_words_is_not_drawn_again(memory: Memory) -> None:
    blocked(memory)
    earlier = {"content": "I moved to Berlin.", "timestamp": NOON - timedelta(days=9)}
    memory.add({"role": "user", **earlier}, **ANN)
    assert texts(memory) == set()


def test_its_owner_says_it_anew(memory: Memory, clock: VirtualClock) -> None:
    fact_id = blocked(memory)
    clock.move(days=1)
    memory.add("I live in Berlin.", **ANN)
    assert texts(memory) == {"I live in Berlin."}
    assert not memory.get(fact_id).blocked
    # From now on others may repeat it
    memory.add(by_assistant("I live in Berlin."), **ANN)
    assert len(memory.get_all(**ANN)) == 2


def test_a_speaker_with_another_name_speaks_of_himself(memory: Memory) -> None:
    ann, bob = ({"role": "user", "content": "I live in Berlin.", "name": n} for n in ("Ann", "Bob"))
    memory.delete(str(memory.add(ann, **ANN).verdicts[0].fact_id), block=True)
    memory.add(bob, **ANN)
    [kept] = memory.get_all(**ANN)
    assert (kept.speaker, kept.text) == ("Bob", "I live in Berlin.")


def test_a_statement_lifts_a_block(memory: Memory) -> None:
    fact_id = blocked(memory)
    memory.state("user", "lives in", "Berlin", **ANN)
    assert texts(memory) == {"User lives in Berlin"}
    assert not memory.get(fact_id).blocked


def test_a_plain_deletion_blocks_nothing(memory: Memory) -> None:
    memory.delete(str(memory.add("I live in Berlin.", **ANN).verdicts[0].fact_id))
    memory.add(by_assistant("I live in Berlin."), **ANN)
    assert texts(memory) == {"I live in Berlin."}


def test_a_block_is_of_one_agent_and_of_all_its_runs(memory: Memory) -> None:
    blocked(memory)
    memory.add(by_assistant("I live in Berlin."), run_id="7", **ANN)
    assert texts(memory) == set()
    memory.add(by_assistant("I live in Berlin."), agent_id="helper", **ANN)
    assert texts(memory) == {"I live in Berlin."}


def test_other_words_of_the_message_are_kept(memory: Memory) -> None:
    blocked(memory)
    memory.add(by_assistant("I live in Berlin. I like green tea."), **ANN)
    assert texts(memory) == {"I like green tea."}


def test_messages_are_not_taken_word_for_word_either(memory: Memory) -> None:
    blocked(memory)
    memory.add(by_assistant("I live in Berlin."), infer=False, **ANN)
    assert texts(memory) == set()


def test_a_block_is_recorded_and_survives_a_rebuild(
    memory: Memory, clock: VirtualClock, tmp_path: Path
) -> None:
    fact_id = blocked(memory)
    memory.close()
    with Memory(tmp_path / "memory.db", overrides={"clock": clock}) as again:
        again.rebuild("read_models")
        assert again.get(fact_id).blocked
        again.add(by_assistant("I live in Berlin."), **ANN)
        assert texts(again) == set()
        again.state("user", "lives in", "Berlin", **ANN)
        use: Any = again._inner._container
        found = [item.event for item in run_inline(use.lifted_log().read(Position(0)))]
        assert [event.block for event in found if isinstance(event, FactRetracted)] == [True]
        assert [e.fact_id for e in found if isinstance(e, FactUnblocked)] == [fact_id]
        assert again.verify().ok
