"""``memory.audit.undo``: what a request did is taken back, by events that can be undone as well."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from remembrancer import (
    Conflict,
    Erased,
    InvalidRequest,
    Memory,
    NotFound,
    Receipt,
)
from remembrancer.application.extraction.model.extractor import ModelExtractor
from remembrancer.domain.errors import AdapterUnavailable
from remembrancer.domain.scope import Scope
from remembrancer.testing.scripted_model import ScriptedModel
from remembrancer.types import FactId
from tests.helpers.beliefs import state
from tests.helpers.clock import NOON, VirtualClock
from tests.helpers.erased import ErasedPayloads

ANN: Any = {"user_id": "ann"}
LEDGER = Scope(user_id="ann").ledger
ALL = ("active", "superseded", "retracted", "expired")


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock(step=0.001)


@pytest.fixture
def memory(clock: VirtualClock) -> Iterator[Memory]:
    with Memory(overrides={"clock": clock}) as opened:
        yield opened


def texts(memory: Memory, status: str = "active") -> set[str]:
    return {fact.text for fact in memory.get_all(status=status, **ANN)}


def fact_of(receipt: Receipt) -> FactId:
    (verdict,) = receipt.verdicts
    assert verdict.fact_id is not None
    return verdict.fact_id


def written(receipt: Receipt | None) -> Receipt:
    """A receipt of a write that wrote something."""
    assert receipt is not None
    return receipt


def test_an_added_fact_is_withdrawn_and_what_it_ended_holds_again(memory: Memory) -> None:
    berlin = memory.add("I live in Berlin.", **ANN)
    rome = memory.add("I moved to Rome.", **ANN)
    undone = memory.audit.undo(rome, reason="a joke", actor="support")
    assert texts(memory) == {"I live in Berlin."}
    again = memory.get(fact_of(berlin))
    assert (again.valid, again.superseded_by, again.reason) == (
        memory.history(fact_of(berlin))[0].valid,
        None,
        "a joke",
    )
    assert undone.withdrawn == (fact_of(rome),)
    assert [(each.fact_id, each.to_version) for each in undone.restored] == [(fact_of(berlin), 1)]
    assert undone.receipt is not None
    assert memory.audit.why(fact_of(berlin)).versions[-1].actor == "support"
    assert memory.verify().ok


@pytest.mark.parametrize(
    "change",
    [
        lambda memory, fact: memory.update(fact, "I live in Potsdam.", metadata={"a": 1}),
        lambda memory, fact: memory.delete(fact, block=True),
        lambda memory, fact: memory.delete_all(**ANN),
        lambda memory, fact: memory.end(fact, at=NOON.replace(hour=13)),
        lambda memory, fact: memory.correct(fact, valid_from="2020-01-01T00:00Z"),
        lambda memory, fact: memory.state("user", "lives in", "Oslo", **ANN),
        lambda memory, fact: memory.add("I live in Berlin.", **ANN),
    ],
)
def test_every_kind_of_write_can_be_undone(
    memory: Memory, clock: VirtualClock, change: Callable[[Memory, FactId], Receipt]
) -> None:
    berlin = fact_of(memory.add("I live in Berlin.", **ANN))
    clock.move(hours=3)
    before = state(memory, clock.time, ANN)
    receipt = change(memory, berlin)
    changed = state(memory, clock.time, ANN)
    undone = memory.audit.undo(receipt)
    assert state(memory, clock.time, ANN) == before != changed
    memory.audit.undo(written(undone.receipt))
    assert state(memory, clock.time, ANN) == changed


def test_undone_twice_is_undone_once_and_has_the_first_receipt(memory: Memory) -> None:
    berlin = memory.add("I live in Berlin.", **ANN)
    first = memory.audit.undo(berlin)
    events = memory.stats().events
    again = memory.audit.undo(berlin.correlation_id)
    assert memory.stats().events == events
    assert (again.restored, again.withdrawn) == ((), ())
    assert first.receipt is not None
    assert again.receipt is not None
    assert again.receipt.correlation_id == first.receipt.correlation_id
    assert again.receipt.positions == first.receipt.positions
    assert again.receipt.replayed


def test_an_undone_undo_can_be_undone_again(memory: Memory) -> None:
    berlin = memory.add("I live in Berlin.", **ANN)
    undo = written(memory.audit.undo(berlin).receipt)
    redo = written(memory.audit.undo(undo).receipt)
    assert texts(memory) == {"I live in Berlin."}
    memory.audit.undo(redo)
    assert texts(memory) == set()
    assert written(memory.audit.undo(berlin).receipt).replayed


def test_undo_below_a_later_change_is_a_conflict_that_names_it(memory: Memory) -> None:
    berlin = memory.add("I live in Berlin.", **ANN)
    later = memory.update(fact_of(berlin), "I live in Potsdam.")
    events = memory.stats().events
    assert later is not None
    with pytest.raises(Conflict, match=later.correlation_id):
        memory.audit.undo(berlin)
    assert memory.stats().events == events
    (blocker,) = memory.audit.undo(berlin, dry_run=True).blocked_by
    assert (blocker.correlation_id, blocker.fact_id, blocker.version) == (
        later.correlation_id,
        fact_of(berlin),
        2,
    )


def test_a_cascade_undoes_the_later_requests_newest_first(memory: Memory) -> None:
    berlin = memory.add("I live in Berlin.", **ANN)
    rome = memory.add("I moved to Rome.", **ANN)
    oslo = memory.add("I moved to Oslo.", **ANN)
    undone = memory.audit.undo(berlin, cascade=True)
    assert undone.undone == (
        oslo.correlation_id,
        rome.correlation_id,
        berlin.correlation_id,
    )
    assert set(undone.withdrawn) == {fact_of(oslo), fact_of(rome), fact_of(berlin)}
    assert undone.withdrawn[0] == fact_of(oslo)
    assert texts(memory) == set()
    memory.audit.undo(written(undone.receipt))
    assert texts(memory) == {"I moved to Oslo."}
    assert memory.verify().ok


def test_a_change_that_was_undone_does_not_stand_in_the_way(memory: Memory) -> None:
    berlin = memory.add("I live in Berlin.", **ANN)
    later = memory.update(fact_of(berlin), "I live in Potsdam.")
    memory.audit.undo(written(later))
    memory.audit.undo(berlin)
    assert texts(memory) == set()


def test_rivals_stand_beside_each_other_again(memory: Memory) -> None:
    berlin = fact_of(memory.add("I live in Berlin.", **ANN))
    rome = fact_of(memory.add("I live in Rome.", **ANN))
    gone = memory.delete(rome)
    memory.audit.undo(gone)
    assert memory.get(berlin).rivals == (rome,)
    assert memory.get(rome).rivals == (berlin,)


def test_an_expired_fact_stays_expired(memory: Memory, clock: VirtualClock) -> None:
    expires = NOON.replace(hour=14)
    tea = fact_of(memory.add("I like tea.", expires_at=expires, **ANN))
    changed = memory.update(tea, "I like green tea.")
    clock.move(hours=3)
    memory.add("My dog is called Rex.", **ANN)
    assert memory.get(tea).status == "expired"
    memory.audit.undo(written(changed))
    assert (memory.get(tea).text, memory.get(tea).status) == ("I like tea.", "expired")
    assert memory.verify().ok


def test_a_dry_run_says_what_would_be_done_and_writes_nothing(memory: Memory) -> None:
    memory.add("I live in Berlin.", **ANN)
    rome = memory.add("I moved to Rome.", **ANN)
    events = memory.stats().events
    planned = memory.audit.undo(rome, dry_run=True)
    assert (planned.receipt, planned.withdrawn) == (None, (fact_of(rome),))
    assert memory.stats().events == events
    done = memory.audit.undo(rome)
    assert (done.restored, done.withdrawn) == (planned.restored, planned.withdrawn)


def test_messages_stay_and_are_not_extracted_again(memory: Memory) -> None:
    memory.audit.undo(memory.add("I live in Berlin.", **ANN))
    counts = memory.stats()
    assert (counts.messages, counts.pending) == (1, 0)
    assert memory.retry().receipts == ()
    assert texts(memory) == set()


def test_a_request_without_facts_has_nothing_to_undo(memory: Memory) -> None:
    undone = memory.audit.undo(memory.add("Hello!", **ANN))
    assert (undone.receipt, undone.restored, undone.withdrawn) == (None, (), ())


def test_bad_requests_are_refused_and_change_nothing(memory: Memory) -> None:
    berlin = memory.add("I live in Berlin.", **ANN)
    events = memory.stats().events
    with pytest.raises(NotFound):
        memory.audit.undo(berlin, user_id="bob")
    with pytest.raises(NotFound):
        memory.audit.undo(berlin, run_id="other", **ANN)
    with pytest.raises(NotFound):
        memory.audit.undo("0" * 32)
    for wrong in ({"request": "no id"}, {"request": berlin, "cascade": 1}):
        with pytest.raises(InvalidRequest):
            memory.audit.undo(**wrong)  # type: ignore[arg-type]
    assert memory.stats().events == events


def test_a_request_that_waits_for_extraction_is_not_undone() -> None:
    down = AdapterUnavailable("litellm", "503")
    with Memory(overrides={"extractor": ModelExtractor(ScriptedModel(down))}) as memory:
        with pytest.raises(AdapterUnavailable):
            memory.add("I live in Berlin.", **ANN)
        (message,) = memory._inner._container.audit_log().read(0)
        with pytest.raises(InvalidRequest, match="wait for extraction"):
            memory.audit.undo(message.correlation_id)


@pytest.mark.parametrize("of_request", [False, True])
def test_an_erased_earlier_text_raises_erased_and_appends_nothing(
    tmp_path: Path, *, of_request: bool
) -> None:
    path = tmp_path / "memory.db"
    with Memory(path) as memory:
        berlin = memory.add("I live in Berlin.", **ANN)
        changed = memory.update(fact_of(berlin), "I live in Potsdam.")
        assert changed is not None
        first = next(
            item.position
            for item in memory._inner._container.audit_log().read(0)
            if item.type_name == ("fact.revised" if of_request else "fact.added")
        )
        events = memory.stats().events
    codec = ErasedPayloads(lambda _kind, position: position == first)
    with Memory(path, overrides={"codec": codec}) as memory:
        with pytest.raises(Erased) as raised:
            memory.audit.undo(changed)
        assert "Berlin" not in str(raised.value)
        assert memory.stats().events == events
