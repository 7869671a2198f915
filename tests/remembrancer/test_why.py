"""``memory.audit.why``: every belief can say where it comes from."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from math import log2
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from remembrancer import AsyncMemory, InvalidRequest, Memory, NotFound
from remembrancer.application.extraction.model.extractor import ModelExtractor
from remembrancer.application.reconciliation.model import ModelReconciler
from remembrancer.domain.events import FactAdded
from remembrancer.domain.facts.fact import Evidence, MessageId
from remembrancer.domain.scope import Scope
from remembrancer.testing.audit_log import append_of, fact_added, new_id
from remembrancer.testing.scripted_model import ScriptedModel
from tests.helpers.clock import VirtualClock
from tests.helpers.erased import ErasedPayloads

ANN: Any = {"user_id": "ann"}
SCOPE = Scope(user_id="ann")


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


def drafted(text: str, quote: str) -> dict[str, Any]:
    """A fact in a model's answer."""
    return {
        "text": text,
        "kind": "semantic",
        "about": "user",
        "attribute": "residence",
        "evidence": [{"message": 1, "quote": quote}],
        "valid_from": None,
        "valid_to": None,
        "entities": [],
        "relations": [],
    }


OSLO = {"facts": [drafted("The user lives in Oslo.", "I live in Oslo")]}
ROME = {"facts": [drafted("The user moved to Rome.", "I moved to Rome")]}
MOVED = {"new": 2, "decision": "supersede", "known": [1], "text": None, "reason": "a move"}


@pytest.fixture
def asking(clock: VirtualClock) -> Iterator[Callable[[ScriptedModel], Memory]]:
    """Opens a memory that asks a model."""
    with ExitStack() as stack:

        def opened(model: ScriptedModel) -> Memory:
            parts = {
                "clock": clock,
                "extractor": ModelExtractor(model),
                "reconciler": ModelReconciler(model),
            }
            return stack.enter_context(Memory(overrides=parts))

        yield opened


@pytest.fixture
def asked(asking: Callable[[ScriptedModel], Memory], clock: VirtualClock) -> Memory:
    """A memory that asks a model, which moved Ann from Oslo to Rome."""
    memory = asking(ScriptedModel(OSLO, ROME, {"decisions": [MOVED]}, cost=0.5))
    added(memory, "I live in Oslo.")
    clock.move(days=2)
    added(memory, "I moved to Rome, at last.")
    return memory


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


# A fact of a model


def test_why_names_message_quote_prompt_raw_item_neighbours_and_verdict(asked: Memory) -> None:
    oslo = (fact.fact_id for fact in asked.get_all(status="superseded", **ANN))
    (rome,) = (fact.fact_id for fact in asked.get_all(**ANN))
    why = asked.audit.why(rome)
    (step,) = why.versions
    (quote,) = step.evidence
    assert (quote.text, quote.quote) == ("I moved to Rome, at last.", "I moved to Rome")
    extraction, comparison = why.inferences
    assert step.inferences == (extraction.event_id, comparison.event_id)
    assert (extraction.purpose, extraction.model) == ("extraction", "scripted")
    assert extraction.cost == comparison.cost == 0.5
    for inference in why.inferences:
        assert len(inference.prompt_digest) == len(inference.request_digest) == 64
        assert inference.prompt
    assert extraction.items == (ROME["facts"][0],)
    assert comparison.items == (MOVED,)
    assert comparison.shown == {"1": f"{next(oslo)}@1", "2": "candidate 0"}
    decision = step.decision
    assert decision is not None
    assert decision.decision == "supersede"
    assert [near.text for near in decision.neighbours] == ["The user lives in Oslo."]
    assert (why.complete, why.gaps) == (True, ())


def test_the_first_lines_answer_in_plain_words(asked: Memory) -> None:
    (rome,) = asked.get_all(**ANN)
    assert asked.audit.why(rome.fact_id).answer == (
        "You said so on 5 May 2024: “I moved to Rome”.",
        "Before, I believed “The user lives in Oslo.”, because you said so on 3 May 2024. "
        "Why it changed: a move.",
        "I still believe it.",
    )
    (oslo,) = asked.get_all(status="superseded", **ANN)
    assert asked.audit.why(oslo.fact_id).answer == (
        "You said so on 3 May 2024: “I live in Oslo”.",
        "Since 5 May 2024 I believe “The user moved to Rome.” instead: a move.",
    )


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (
            lambda memory, fact: memory.update(fact, "I live in Potsdam.", reason="a suburb"),
            "Api changed it on 3 May 2024: a suburb.",
        ),
        (
            lambda memory, fact: memory.delete(fact, reason="a joke", actor="support"),
            "Support withdrew it on 3 May 2024: a joke.",
        ),
        (
            lambda memory, fact: memory.add("I live in Berlin.", **ANN),
            "You said so on 3 May 2024: “I live in Berlin.” It was said again, last on 3 May 2024.",
        ),
        (
            lambda memory, fact: memory.add("I live in Rome.", **ANN),
            "I still believe it; another answer stands beside it, and nobody said which holds.",
        ),
        (
            lambda memory, fact: memory.end(fact, at="2024-05-03T14:00Z", reason="left"),
            "Since 3 May 2024 I do not believe it any more: left.",
        ),
    ],
)
def test_the_answer_tells_what_became_of_a_fact(
    memory: Memory, clock: VirtualClock, change: Callable[[Memory, str], Any], line: str
) -> None:
    fact = added(memory, "I live in Berlin.")
    clock.move(hours=3)
    change(memory, fact)
    assert line in memory.audit.why(fact).answer


def test_a_statement_is_told_as_one(memory: Memory) -> None:
    receipt = memory.state("user", "lives in", "Oslo", actor="form", **ANN)
    fact = str(receipt.verdicts[0].fact_id)
    why = memory.audit.why(fact)
    assert why.answer[0] == "It was stated on 3 May 2024 (by form): “user lives in Oslo”."
    assert why.complete


def test_the_answer_of_a_rules_extractor_is_complete(memory: Memory) -> None:
    why = memory.audit.why(added(memory, "I live in Berlin."))
    assert why.complete
    assert why.to_dict()["complete"] is True


# What can't be followed


@pytest.mark.parametrize(
    ("type_name", "gap"),
    [
        ("message.observed", "which version 1 cites, was erased"),
        ("inference.recorded", "the answer of the model that led to version 1 was erased"),
        ("candidates.settled", "the decision that led to version 1 is not recorded"),
        ("fact.added", "the event that made version 1 is not in the log, or was erased"),
    ],
)
def test_what_was_erased_is_named_and_nothing_is_invented(
    tmp_path: Path, type_name: str, gap: str
) -> None:
    path = tmp_path / "memory.db"
    with Memory(path) as memory:
        fact = added(memory, "I live in Berlin.")
    codec = ErasedPayloads(lambda kind, _position: kind == type_name)
    with Memory(path, overrides={"codec": codec}) as memory:
        why = memory.audit.why(fact)
    assert not why.complete
    assert gap in why.gaps[0]
    assert gap in why.answer[-1]
    if type_name == "message.observed":
        (quote,) = why.versions[0].evidence
        assert (quote.erased, quote.text, quote.quote) == (True, None, None)
        assert "Berlin" not in " ".join(why.answer)


def imported(memory: Memory, *events: FactAdded) -> None:
    """Append events without the history that led to them."""
    log = memory._inner._container.audit_log()
    log.append(append_of(events, ledger=SCOPE.ledger))


def test_an_import_without_its_history_is_told_as_one(memory: Memory) -> None:
    nobody = Evidence(message_id=MessageId(new_id()), quote="I live in Berlin.")
    fact = evolve(fact_added("I live in Berlin."), scope=SCOPE, evidence=(nobody,))
    imported(memory, fact)
    why = memory.audit.why(fact.fact_id)
    assert why.gaps == (
        "the record does not say what led to version 1",
        f"message {nobody.message_id}, which version 1 cites, is not in this ledger",
    )
    assert why.inferences == ()
    assert why.versions[0].decision is None
    assert not why.versions[0].evidence[0].erased


def test_a_message_of_another_scope_is_named_without_its_words(
    asking: Callable[[ScriptedModel], Memory],
) -> None:
    again = {"new": 2, "decision": "reaffirm", "known": [1], "text": None, "reason": "the same"}
    memory = asking(ScriptedModel(OSLO, ROME, {"decisions": [again]}))
    fact = added(memory, "I live in Oslo.", run_id="one")
    memory.add("I moved to Rome.", run_id="two", **ANN)
    assert memory.audit.why(fact, **ANN).complete
    why = memory.audit.why(fact, run_id="one", **ANN)
    (hidden,) = why.versions[1].evidence
    assert (hidden.text, hidden.quote, hidden.speaker) == (None, None, None)
    assert "belongs to another scope" in " ".join(why.gaps)
    assert "Rome" not in json.dumps(why.to_dict())


# Cost


def test_an_explanation_reads_as_many_events_as_its_ledger_has_bits(memory: Memory) -> None:
    log = memory._inner._container.audit_log()
    reads: list[int] = []
    read_ledger = log.read_ledger

    def counted(ledger: Any, after_version: int = 0, limit: int = 1000) -> Any:
        found = read_ledger(ledger, after_version, limit)
        reads.append(len(found))
        return found

    log.read_ledger = counted
    facts = [evolve(fact_added(f"I own {n} guitars."), scope=SCOPE) for n in range(4_000)]
    for fact in facts:
        imported(memory, fact)
    for fact in facts[::500]:
        reads.clear()
        memory.audit.why(fact.fact_id)
        assert len(reads) <= log2(len(facts)) + 3
        assert sum(reads) <= log2(len(facts)) + 18
