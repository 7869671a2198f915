"""``state``, ``end`` and ``correct``, beside what is said."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest

from remembrancer import AsyncMemory, InvalidRequest, Memory, NotFound
from remembrancer.types import Fact, FactStatus, Interval
from tests.helpers.clock import NOON, VirtualClock

DAY = timedelta(days=1)
ANN: Any = {"user_id": "ann"}


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock(step=0.001)


@pytest.fixture
def memory(clock: VirtualClock) -> Iterator[Memory]:
    with Memory(overrides={"clock": clock}) as opened:
        yield opened


def lives_in(memory: Memory, value: str, **options: Any) -> str:
    receipt = memory.state("user", "lives in", value, **options, **ANN)
    return str(receipt.verdicts[0].fact_id)


def texts(memory: Memory, **view: Any) -> set[str]:
    return {fact.text for fact in memory.get_all(**view, **ANN)}


def events(memory: Memory) -> int:
    return memory.stats().events


def fact(memory: Memory, fact_id: str) -> Fact:
    return memory.get(fact_id)


def test_what_is_said_lasts_until_a_stated_future(memory: Memory, clock: VirtualClock) -> None:
    tokyo = lives_in(memory, "Tokyo", valid_from=NOON + 30 * DAY)
    memory.add("I live in Berlin.", **ANN)
    assert texts(memory, valid_at=NOON + DAY) == {"I live in Berlin."}
    assert texts(memory, valid_at=NOON + 30 * DAY) == {"User lives in Tokyo"}
    memory.delete(tokyo)
    assert texts(memory, valid_at=NOON + 30 * DAY) == {"I live in Berlin."}


def test_what_a_future_ends_can_be_changed_until_then(memory: Memory) -> None:
    memory.add("I live in Berlin.", **ANN)
    lives_in(memory, "Tokyo", valid_from=NOON + 30 * DAY)
    memory.add("I moved to London.", **ANN)
    assert texts(memory, valid_at=NOON + DAY) == {"I moved to London."}
    assert texts(memory, valid_at=NOON + 31 * DAY) == {"User lives in Tokyo"}


def test_a_sentence_with_a_word_of_change_ends_a_stay(memory: Memory, clock: VirtualClock) -> None:
    lives_in(memory, "Paris")
    lives_in(memory, "Nice", valid_from=NOON + DAY, valid_to=NOON + 9 * DAY)
    clock.move(days=3)
    memory.add("I moved to Rome.", **ANN)
    assert texts(memory, valid_at=NOON + 2 * DAY) == {"User lives in Nice"}
    assert texts(memory, valid_at=NOON + 4 * DAY) == {"I moved to Rome."}
    assert texts(memory, valid_at=NOON + 10 * DAY) == {"I moved to Rome."}


def test_a_stay_interrupts_what_was_said(memory: Memory) -> None:
    memory.add("I live in Paris.", **ANN)
    lives_in(memory, "Nice", valid_from=NOON + DAY, valid_to=NOON + 2 * DAY)
    [paris] = [each for each in memory.get_all(**ANN) if "Paris" in each.text]
    assert paris.status is FactStatus.ACTIVE
    assert paris.interruptions == (Interval(start=NOON + DAY, end=NOON + 2 * DAY),)


def test_deleting_what_succeeded_a_sentence_brings_it_back(memory: Memory) -> None:
    memory.add("I live in Berlin.", **ANN)
    rome = lives_in(memory, "Rome")
    assert texts(memory) == {"User lives in Rome"}
    receipt = memory.delete(rome)
    assert [verdict.decision.value for verdict in receipt.verdicts] == ["retract", "revise"]
    assert texts(memory) == {"I live in Berlin."}
    assert memory.verify().ok


def test_deleting_everything_brings_nothing_back(memory: Memory) -> None:
    memory.add("I live in Berlin.", **ANN)
    lives_in(memory, "Rome")
    memory.delete_all(**ANN)
    assert texts(memory) == set()


def test_an_end_does_not_bring_back_what_was_succeeded(memory: Memory, clock: VirtualClock) -> None:
    lives_in(memory, "Berlin")
    clock.move(days=1)
    rome = lives_in(memory, "Rome")
    clock.move(days=2)
    memory.end(rome, at=NOON + 2 * DAY, reason="moved out")
    assert texts(memory) == set()
    assert fact(memory, rome).status is FactStatus.SUPERSEDED
    assert fact(memory, rome).reason == "moved out"


def test_an_end_to_come_leaves_the_fact_active(memory: Memory) -> None:
    rome = lives_in(memory, "Rome")
    memory.end(rome, at=NOON + 9 * DAY)
    assert fact(memory, rome).status is FactStatus.ACTIVE
    assert texts(memory, valid_at=NOON + 9 * DAY) == set()


def test_an_ended_stay_gives_back_the_rest_of_its_time(memory: Memory) -> None:
    lives_in(memory, "Paris")
    nice = lives_in(memory, "Nice", valid_from=NOON + DAY, valid_to=NOON + 9 * DAY)
    memory.end(nice, at=NOON + 3 * DAY)
    assert texts(memory, valid_at=NOON + 4 * DAY) == {"User lives in Paris"}


def test_what_is_not_given_stays_as_it_was(memory: Memory) -> None:
    rome = lives_in(memory, "Rome", text="Ann lives in Rome.", metadata={"source": "form"})
    memory.correct(rome, valid_from=NOON - DAY)
    corrected = fact(memory, rome)
    assert (corrected.text, corrected.metadata) == ("Ann lives in Rome.", {"source": "form"})
    assert corrected.valid == Interval(start=NOON - DAY)


def test_a_corrected_value_is_in_text_entities_and_graph(memory: Memory) -> None:
    rome = lives_in(memory, "Rome")
    memory.correct(rome, value="Milan")
    corrected = fact(memory, rome)
    assert corrected.text == "User lives in Milan"
    assert corrected.statement is not None
    assert (corrected.statement.value, corrected.entities[-1]) == ("Milan", "Milan")
    assert [each.object for each in memory.relations("user", **ANN)] == ["Milan"]
    assert [hit.text for hit in memory.search("Milan", **ANN)] == ["User lives in Milan"]


def test_what_was_said_is_corrected_by_its_text(memory: Memory) -> None:
    said = memory.add("I live in Rome.", **ANN).verdicts[0].fact_id
    assert said is not None
    lives_in(memory, "Oslo")
    memory.correct(said, text="I lived in Milan.", reason="misheard")
    assert (fact(memory, said).text, fact(memory, said).reason) == ("I lived in Milan.", "misheard")
    assert fact(memory, said).status is FactStatus.SUPERSEDED
    assert fact(memory, said).entities == ("Milan",)


@pytest.mark.parametrize("withdrawn", [True, False])
def test_withdrawn_and_ended_facts_are_corrected_and_stay_so(
    memory: Memory, *, withdrawn: bool
) -> None:
    rome = lives_in(memory, "Rome", valid_from=NOON - 9 * DAY)
    if withdrawn:
        memory.delete(rome)
    else:
        memory.end(rome, at=NOON - DAY)
    before = fact(memory, rome).status
    memory.correct(rome, valid_from=NOON - 5 * DAY)
    after = fact(memory, rome)
    assert (after.status, after.valid.start) == (before, NOON - 5 * DAY)
    assert texts(memory) == set()


def test_a_correction_of_nothing_writes_nothing(memory: Memory) -> None:
    rome = lives_in(memory, "Rome", valid_from=NOON)
    before = events(memory)
    assert memory.correct(rome, value="Rome", valid_from=NOON, valid_to=None) is None
    assert events(memory) == before


def test_a_value_with_more_words_is_another_value(memory: Memory) -> None:
    memory.state("user", "prefers", "tea", **ANN)
    memory.state("user", "prefers", "tea with milk", **ANN)
    assert texts(memory) == {"User prefers tea with milk"}


def test_agents_and_applications_have_slots_of_their_own(memory: Memory) -> None:
    lives_in(memory, "Rome")
    memory.state("user", "lives in", "Oslo", agent_id="helper", **ANN)
    assert texts(memory) == {"User lives in Rome", "User lives in Oslo"}


@pytest.mark.parametrize(
    ("call", "path"),
    [
        (lambda m, _: m.state("", "lives in", "Rome", **ANN), "subject"),
        (lambda m, _: m.state("user", " ", "Rome", **ANN), "predicate"),
        (lambda m, _: m.state("user", "lives in", None, **ANN), "value"),
        (lambda m, _: m.state("user", "lives in", "Rome", single="no", **ANN), "single"),
        (lambda m, _: lives_in(m, "Rome", valid_from=datetime(2024, 1, 1)), "valid_from"),  # noqa: DTZ001
        (lambda m, _: lives_in(m, "Rome", valid_to=NOON - DAY), "valid_to"),
        (lambda m, _: lives_in(m, "Rome", valid_from=NOON, valid_to=NOON), "valid_to"),
        (lambda m, rome: m.end(rome, at=None), "at"),
        (lambda m, rome: m.end(rome, at=NOON - 9 * DAY), "at"),
        (lambda m, rome: m.end("rome", at=NOON), "fact_id"),
        (lambda m, rome: m.correct(rome), "text"),
        (lambda m, rome: m.correct(rome, text=""), "text"),
        (lambda m, rome: m.correct(rome, valid_to=NOON - 9 * DAY), "valid_to"),
        (lambda m, rome: m.delete(rome, block="yes"), "block"),
        (lambda m, _: m.get_all(status="gone", **ANN), "status"),
        (lambda m, _: m.search("Rome", status=1, **ANN), "status"),
    ],
)
def test_a_wrong_argument_is_named_and_changes_nothing(
    memory: Memory, call: Any, path: str
) -> None:
    rome = lives_in(memory, "Milan", valid_from=NOON - DAY)
    before = events(memory)
    with pytest.raises(InvalidRequest) as error:
        call(memory, rome)
    assert error.value.path == path
    assert events(memory) == before


def test_said_facts_have_no_value_to_correct(memory: Memory) -> None:
    said = memory.add("I live in Rome.", **ANN).verdicts[0].fact_id
    with pytest.raises(InvalidRequest, match="correct its text"):
        memory.correct(str(said), value="Milan")


def test_an_end_is_not_moved_to_a_later_time(memory: Memory) -> None:
    nice = lives_in(memory, "Nice", valid_to=NOON + 2 * DAY)
    with pytest.raises(InvalidRequest, match="correct moves an end"):
        memory.end(nice, at=NOON + 3 * DAY)


def test_only_facts_of_the_scope_are_ended_or_corrected(memory: Memory) -> None:
    rome = lives_in(memory, "Rome")
    with pytest.raises(NotFound):
        memory.end(rome, at=NOON + DAY, user_id="bob")
    with pytest.raises(NotFound):
        memory.correct(rome, value="Milan", user_id="bob")
    memory.delete(rome)
    with pytest.raises(NotFound, match="retracted"):
        memory.end(rome, at=NOON + DAY)


def test_both_faces_state_end_and_correct() -> None:
    async def run() -> set[str]:
        async with AsyncMemory() as memory:
            receipt = await memory.state("user", "lives in", "Rome", **ANN)
            fact_id = str(receipt.verdicts[0].fact_id)
            await memory.correct(fact_id, value="Milan")
            await memory.state("user", "works at", "Acme", **ANN)
            future = datetime.now().astimezone() + DAY
            await memory.end(fact_id, at=future)
            return {each.text for each in await memory.get_all(valid_at=future, **ANN)}

    assert asyncio.run(run()) == {"User works at Acme"}
