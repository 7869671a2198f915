"""Model failures: no message is lost, a retry finishes the request."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from remembrancer import Memory
from remembrancer.adapters.stores.memory.audit_log import InMemoryAuditLog
from remembrancer.application.extraction.model.extractor import ExtractionSettings, ModelExtractor
from remembrancer.application.reconciliation.model import ModelReconciler
from remembrancer.domain.errors import AdapterUnavailable, ModelError, RemembrancerError
from remembrancer.domain.events import InferenceRecorded
from remembrancer.domain.recorded import Position
from remembrancer.testing.scripted_model import ScriptedModel
from remembrancer.wiring.settings import load_settings


def fact(text: str, quote: str, message: int = 1, attribute: str | None = None) -> dict[str, Any]:
    return {
        "text": text,
        "kind": "semantic",
        "about": "user",
        "attribute": attribute,
        "evidence": [{"message": message, "quote": quote}],
        "valid_from": None,
        "valid_to": None,
        "entities": [],
        "relations": [],
    }


OSLO = {"facts": [fact("The user lives in Oslo.", "I live in Oslo", attribute="residence")]}
ROME = {"facts": [fact("The user moved to Rome.", "I moved to Rome", attribute="residence")]}
MOVED = {
    "decisions": [
        {"new": 2, "decision": "supersede", "known": [1], "text": None, "reason": "moved"}
    ]
}
DOWN = AdapterUnavailable("litellm", "503")

Opened = tuple[Memory, Callable[[], list[InferenceRecorded]]]


@contextmanager
def opened(model: ScriptedModel, **settings: Any) -> Iterator[Opened]:
    parts = {
        "extractor": ModelExtractor(model, ExtractionSettings(**settings)),
        "reconciler": ModelReconciler(model),
    }
    configured = load_settings({"audit_log": "memory"}, environment={})
    with Memory(settings=configured, overrides=parts) as memory:
        log: InMemoryAuditLog = memory._inner._container.audit_log()

        def inferences() -> list[InferenceRecorded]:
            return [
                i.event for i in log.read(Position(0)) if isinstance(i.event, InferenceRecorded)
            ]

        yield memory, inferences


def pending(memory: Memory) -> int:
    return memory.stats().pending


def texts(memory: Memory) -> list[str]:
    return [item.text for item in memory.get_all(user_id="ann").facts]


@pytest.mark.parametrize(
    ("trouble", "recorded"),
    [
        (DOWN, []),
        (ModelError("chat-1: refused by policy"), [("vain", "")]),
        ("I'd rather not.", [("vain", "I'd rather not.")]),
        ('{"facts": "none"}', [("vain", '{"facts": "none"}')]),
    ],
    ids=["down", "refused", "chatter", "another shape"],
)
def test_failed_extraction_is_finished_by_repeating_the_request(
    trouble: RemembrancerError | str, recorded: list[tuple[str, str]]
) -> None:
    with opened(ScriptedModel(trouble, OSLO)) as (memory, inferences):
        # Given a model that fails
        with pytest.raises((ModelError, AdapterUnavailable)):
            memory.add("I live in Oslo.", user_id="ann", idempotency_key="k")
        # Then the message is pending, and the raw answer is recorded
        assert pending(memory) == 1
        assert [(item.outcome.value, item.output) for item in inferences()] == recorded
        assert all(item.messages == () for item in inferences())
        # When the request is repeated, it is carried out once
        receipt = memory.add("I live in Oslo.", user_id="ann", idempotency_key="k")
        again = memory.add("I live in Oslo.", user_id="ann", idempotency_key="k")
        assert [verdict.text for verdict in receipt.verdicts] == ["The user lives in Oslo."]
        assert again.replayed
        assert again.verdicts == receipt.verdicts
        assert texts(memory) == ["The user lives in Oslo."]
        assert pending(memory) == 0
        assert receipt.usage.calls == 1 + len(recorded)


@pytest.mark.parametrize(
    ("trouble", "recorded"),
    [
        (DOWN, ["extraction lost"]),
        (ModelError("refused"), ["extraction lost", "reconciliation vain"]),
        ("What?", ["extraction lost", "reconciliation vain"]),
    ],
    ids=["down", "refused", "chatter"],
)
def test_failed_reconciliation_decides_nothing_and_records_the_answers(
    trouble: RemembrancerError | str, recorded: list[str]
) -> None:
    with opened(ScriptedModel(OSLO, ROME, trouble, ROME, MOVED)) as (memory, inferences):
        memory.add("I live in Oslo.", user_id="ann")
        with pytest.raises((ModelError, AdapterUnavailable)):
            memory.add("I moved to Rome.", user_id="ann", idempotency_key="k")
        told = [f"{item.purpose} {item.outcome.value}" for item in inferences()[1:]]
        assert told == recorded
        assert texts(memory) == ["The user lives in Oslo."]
        assert pending(memory) == 1

        receipt = memory.add("I moved to Rome.", user_id="ann", idempotency_key="k")
        assert [verdict.decision.value for verdict in receipt.verdicts] == ["supersede"]
        assert [item.purpose for item in inferences()[-2:]] == ["extraction", "reconciliation"]
        assert texts(memory) == ["The user moved to Rome."]
        assert pending(memory) == 0
        assert memory.verify().ok


def test_finished_chunks_of_a_conversation_are_not_extracted_again() -> None:
    long = [f"I own guitar{n} and a lot of strings for it. " * 8 for n in range(4)]

    def answer(prompt: Any) -> dict[str, Any]:
        if "decisions" in prompt.schema["properties"]:
            return {"decisions": []}
        shown = prompt.messages[0].content.split("<message-")[1:]
        names = [block.split("I own ")[1].split(" ")[0] for block in shown]
        return {
            "facts": [
                fact(f"The user owns {name}.", f"I own {name}", number)
                for number, name in enumerate(names, 1)
            ]
        }

    model = ScriptedModel(answer, DOWN, otherwise=answer)
    messages = [{"role": "user", "content": text} for text in long]
    with opened(model, chunk_tokens=500) as (memory, inferences):
        with pytest.raises(AdapterUnavailable):
            memory.add(messages, user_id="ann", idempotency_key="k")
        assert 0 < pending(memory) < 4
        done = len(texts(memory))
        assert done == 4 - pending(memory)
        memory.add(messages, user_id="ann", idempotency_key="k")
        assert sorted(texts(memory)) == [f"The user owns guitar{n}." for n in range(4)]
        extracted = [m for item in inferences() for m in item.messages]
        assert len(extracted) == len(set(extracted)) == 4


def test_add_costs_one_call_and_a_conflict_two() -> None:
    with opened(model := ScriptedModel(OSLO, ROME, MOVED)) as (memory, _):
        assert memory.add("I live in Oslo.", user_id="ann").usage.calls == 1
        assert memory.add("I moved to Rome.", user_id="ann").usage.calls == 2
        assert model.unsaid == 0
