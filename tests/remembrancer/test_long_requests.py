"""Long requests are appended in portions, and nothing of them is lost or doubled between two."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from remembrancer import AdapterUnavailable, Fact, Memory, Receipt
from remembrancer.application.remember.portions import MOST_CANDIDATES, MOST_CHARACTERS
from remembrancer.domain.events import CandidatesSettled, FactAdded, MessageObserved
from remembrancer.domain.recorded import Append, Position, Recorded
from remembrancer.wiring.settings import load_settings
from tests.helpers.stores import store_in_memory

BOB: dict[str, Any] = {"user_id": "bob"}

MANY = [f"The parcel number {number} came on a van." for number in range(2 * MOST_CANDIDATES + 30)]
LONG = "\n".join(MANY)

REQUESTS: dict[str, dict[str, Any]] = {
    "messages word for word": {"messages": MANY, "infer": False},
    "messages for the rules": {"messages": MANY},
    "one message for the rules": {"messages": ["Hello!", LONG, "My name is Bob."]},
    "both": {"messages": [*MANY[:60], LONG, *MANY[60:70]]},
}


class Unsteady:
    """An audit log whose disk is full from the ``last``-th append on, until it is mended."""

    def __init__(self, log: Any, last: int) -> None:
        self._log = log
        self.left = last

    def append(self, append: Append) -> Any:
        if not self.left:
            raise AdapterUnavailable("sqlite", "the disk is full")
        self.left -= 1
        return self._log.append(append)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._log, name)


def facts_of(memory: Memory) -> list[Fact]:
    page = memory.get_all(limit=1000, **BOB)
    assert page.cursor is None
    return list(page)


def told(memory: Memory) -> Counter[tuple[str, int, str | None]]:
    return Counter((fact.text, fact.reaffirmed, fact.slot) for fact in facts_of(memory))


def undisturbed(request: dict[str, Any]) -> Counter[tuple[str, int, str | None]]:
    with Memory(overrides={"store": store_in_memory()}) as memory:
        memory.add(**request, **BOB)
        return told(memory)


def log_of(memory: Memory) -> list[Recorded]:
    return list(memory._inner._container.audit_log().read(Position(0), 100_000))


@pytest.mark.parametrize("request_", REQUESTS.values(), ids=REQUESTS)
def test_no_append_settles_more_than_a_portion(request_: dict[str, Any]) -> None:
    with Memory(overrides={"store": store_in_memory()}) as memory:
        receipt = memory.add(**request_, **BOB)
        events = [item.event for item in log_of(memory)]
    sizes = [len(each.candidates) for each in events if isinstance(each, CandidatesSettled)]
    added = sum(isinstance(each, FactAdded) for each in events)
    assert max(sizes) <= MOST_CANDIDATES
    assert sum(sizes) == len(receipt.verdicts) >= added >= len(MANY)
    assert receipt.pending == ()


def test_few_long_messages_are_cut_by_their_length() -> None:
    said = [f"{number} {'word ' * (MOST_CHARACTERS // 10)}" for number in range(4)]
    with Memory(overrides={"store": store_in_memory()}) as memory:
        memory.add(said, infer=False, **BOB)
        events = [item.event for item in log_of(memory)]
    settled = [len(each.candidates) for each in events if isinstance(each, CandidatesSettled)]
    assert settled == [1, 1, 1, 1]


def test_small_request_word_for_word_is_one_append() -> None:
    log = Unsteady((store := store_in_memory()).audit_log, 1)
    with Memory(overrides={"store": evolve(store, audit_log=log)}) as memory:
        memory.add(MANY[:MOST_CANDIDATES], infer=False, **BOB)
        assert len(facts_of(memory)) == MOST_CANDIDATES


@pytest.mark.parametrize("appends", [1, 3])
@pytest.mark.parametrize("request_", REQUESTS.values(), ids=REQUESTS)
def test_retry_finishes_what_a_failure_between_two_portions_left(
    request_: dict[str, Any], appends: int
) -> None:
    log = Unsteady((store := store_in_memory()).audit_log, appends)
    with Memory(overrides={"store": evolve(store, audit_log=log)}) as memory:
        # Given a request whose messages and first portions were appended
        with pytest.raises(AdapterUnavailable):
            memory.add(**request_, **BOB)
        observed = sum(isinstance(item.event, MessageObserved) for item in log_of(memory))
        assert observed == len(request_["messages"])
        # When it is retried
        log.left = 1000
        (receipt,) = memory.retry(**BOB).receipts
        # Then every fact is there once, as if nothing had happened
        assert told(memory) == undisturbed(request_)
        assert receipt.pending == ()
        assert memory.verify().faults == ()


@pytest.mark.parametrize("request_", REQUESTS.values(), ids=REQUESTS)
def test_same_key_finishes_an_interrupted_request_and_returns_one_receipt(
    request_: dict[str, Any],
) -> None:
    log = Unsteady((store := store_in_memory()).audit_log, 2)
    with Memory(overrides={"store": evolve(store, audit_log=log)}) as memory:
        with pytest.raises(AdapterUnavailable):
            memory.add(**request_, idempotency_key="k", **BOB)
        log.left = 1000
        finished = memory.add(**request_, idempotency_key="k", **BOB)
        again = memory.add(**request_, idempotency_key="k", **BOB)
        assert told(memory) == undisturbed(request_)
        assert again == evolve(finished, replayed=True)


def test_two_that_finish_the_same_request_settle_it_once(tmp_path: Path) -> None:
    settings = load_settings(path=tmp_path / "a.db", environment={})
    done: list[Receipt] = []

    class Overtaken:
        """Lets the other memory retry just before the second portion."""

        def __init__(self, log: Any) -> None:
            self._log = log
            self.appends = 0
            self.overtake: Callable[[], None] | None = None

        def append(self, append: Append) -> Any:
            self.appends += 1
            if self.appends == 3 and self.overtake is not None:
                overtake, self.overtake = self.overtake, None
                overtake()
            return self._log.append(append)

        def __getattr__(self, name: str) -> Any:
            return getattr(self._log, name)

    with Memory(settings=settings) as other, Memory(settings=settings) as memory:
        lifted = memory._inner._container.lifted_log()
        log = Overtaken(lifted._adapter)
        lifted.__dict__.pop("append", None)
        lifted._adapter = log
        log.overtake = lambda: done.extend(other.retry(**BOB).receipts)
        memory.add(["Hello!", LONG], **BOB)
        assert done
        assert told(memory) == undisturbed({"messages": ["Hello!", LONG]})
