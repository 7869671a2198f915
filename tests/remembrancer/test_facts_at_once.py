"""Rules find facts so soon that messages and facts are one append; whatever fails, the messages
are kept.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from attrs import evolve

from remembrancer import AdapterUnavailable, Conflict, Memory
from remembrancer.application.extraction.rules.extractor import RulesExtractor
from remembrancer.domain.ports.audit_log import Appended
from remembrancer.domain.recorded import Append
from remembrancer.wiring.settings import load_settings
from tests.helpers.stores import store_in_memory

ANN: dict[str, Any] = {"user_id": "ann"}
OSLO = "I live in Oslo."


class Log:
    """Passes on to a log, notes the types of the events of each append, and may fail."""

    def __init__(self, log: Any) -> None:
        self._log = log
        self.appends: list[list[str]] = []
        self.before: Callable[[Append], None] = lambda _: None
        self.after: Callable[[Append], None] = lambda _: None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._log, name)

    def append(self, batch: Append) -> Appended:
        self.before(batch)
        appended: Appended = self._log.append(batch)
        self.appends.append([type(item.event).__name__ for item in batch.events])
        self.after(batch)
        return appended


class Broken(RulesExtractor):
    """Rules with a fault."""

    async def extract(self, messages: Any, ids: Any, guidance: Any = None) -> Any:
        raise ValueError("a fault")


def in_memory(**overrides: Any) -> tuple[Memory, Log]:
    store = store_in_memory()
    log = Log(store.audit_log)
    memory = Memory(
        settings=load_settings({"patience": 0.01}),
        overrides={"store": evolve(store, audit_log=log), **overrides},
    )
    return memory, log


def adds_facts(batch: Append) -> bool:
    return any(type(item.event).__name__ == "FactAdded" for item in batch.events)


def test_messages_and_the_facts_of_rules_are_one_append() -> None:
    memory, log = in_memory()
    with memory:
        receipt = memory.add(f"{OSLO} I like tea.", **ANN, idempotency_key="k")
        assert [len(receipt.verdicts), receipt.pending, receipt.extractor] == [2, (), "rules-2"]
        (events,) = log.appends
        assert (events.count("MessageObserved"), events.count("FactAdded")) == (1, 2)
        # and the key returns the same receipt
        again = memory.add(f"{OSLO} I like tea.", **ANN, idempotency_key="k")
        assert again == evolve(receipt, replayed=True)
        assert len(log.appends) == 1
        assert memory.verify().ok


def test_message_that_is_not_waited_for_is_appended_alone() -> None:
    memory, log = in_memory()
    with memory:
        memory.add(OSLO, **ANN, wait=False).wait()
    assert log.appends[0] == ["MessageObserved"]


def test_no_fact_is_added_ahead_of_an_earlier_message_that_is_pending() -> None:
    memory, log = in_memory(extractor=Broken())
    with memory:
        with pytest.raises(ValueError, match="a fault"):
            memory.add("I live in Rome.", **ANN)
        log.appends.clear()
        # When the rules are mended, but the earlier message still waits
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Broken, "extract", RulesExtractor.extract)
            memory.add("I moved to Oslo!", **ANN)
            assert log.appends[0] == ["MessageObserved"]
            # Then a message after the retry is settled at once again
            memory.retry()
            log.appends.clear()
            memory.add("I like tea.", **ANN)
        (events,) = log.appends
        assert (events.count("MessageObserved"), events.count("FactAdded")) == (1, 1)
        assert memory.verify().ok


def test_message_is_kept_if_rules_raise() -> None:
    memory, log = in_memory(extractor=Broken())
    with memory:
        with pytest.raises(ValueError, match="a fault"):
            memory.add(OSLO, **ANN)
        assert log.appends == [["MessageObserved"]]
        assert (memory.stats().messages, memory.stats().pending) == (1, 1)


def test_message_is_kept_if_others_win_every_race() -> None:
    memory, log = in_memory()

    def lose(batch: Append) -> None:
        if adds_facts(batch):
            raise Conflict("another writer was faster")

    log.before = lose
    with memory:
        with pytest.raises(Conflict):
            memory.add(OSLO, **ANN)
        assert (memory.stats().messages, memory.stats().pending) == (1, 1)
        # and its facts are found later
        log.before = lambda _: None
        memory.retry()
        assert [fact.text for fact in memory.get_all(**ANN)] == [OSLO]


def test_message_is_not_stored_twice_if_the_answer_to_the_append_is_lost() -> None:
    memory, log = in_memory()

    def lose(_: Append) -> None:
        raise AdapterUnavailable("log", "connection lost")

    log.after = lose
    with memory:
        with pytest.raises(AdapterUnavailable, match="connection lost"):
            memory.add(OSLO, **ANN)
        assert (memory.stats().messages, memory.stats().pending) == (1, 0)
        assert [fact.text for fact in memory.get_all(**ANN)] == [OSLO]


def test_long_message_is_durable_before_its_facts_are_searched() -> None:
    memory, log = in_memory()
    with memory:
        memory.add("I like tea. " * 200, **ANN)
    assert log.appends[0] == ["MessageObserved"]
