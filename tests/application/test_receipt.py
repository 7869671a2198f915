"""A receipt is computed from the events, so that a retried request gets the same receipt."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest
from attrs import evolve

from remembrancer.adapters.stores.memory.audit_log import InMemoryAuditLog
from remembrancer.application.remember.receipt import Receipt, receipt_of
from remembrancer.domain.conversation import Message, Role
from remembrancer.domain.events import (
    Event,
    FactExpired,
    FactReaffirmed,
    FactRetracted,
    FactRevised,
    FactSuperseded,
    FeedbackGiven,
    InferenceRecorded,
    MessageObserved,
)
from remembrancer.domain.facts.fact import FactId, MessageId
from remembrancer.domain.facts.verdicts import Decision, Skipped, Verdict
from remembrancer.domain.scope import Scope
from remembrancer.domain.usage import Usage
from remembrancer.testing.audit_log import NOON, append_of, fact_added, new_id

OLD = FactId("1" * 32)
ADDED = evolve(fact_added("Alice lives in Berlin"), fact_id=FactId("2" * 32), reason="new")
MESSAGE = MessageObserved(
    message=Message(
        message_id=MessageId("a" * 32),
        scope=Scope(user_id="alice"),
        role=Role.USER,
        text="I moved to Berlin. Hi!",
        occurred_at=NOON,
    )
)
SKIPPED = {"message_id": "a" * 32, "text": "Hi!", "reason": "small talk"}
INFERENCE = InferenceRecorded(
    purpose="extraction",
    model="rules-1",
    prompt_digest="",
    output=json.dumps([SKIPPED]),
    messages=(MessageId("a" * 32),),
)


def receipt(*events: Event, extractor: str = "verbatim", before: int = 2) -> Receipt:
    """The receipt of a request, appended after ``before`` other facts."""
    log = InMemoryAuditLog()
    log.append(append_of([fact_added() for _ in range(before)]))
    request = new_id()
    for event in events:
        log.append(append_of([event], correlation_id=request))
    recorded = [item for item in log.read_ledger(ADDED.scope.ledger) if item.version > before]
    return receipt_of(recorded, extractor)


def verdicts(*events: Event) -> Sequence[Verdict]:
    return receipt(*events).verdicts


def test_receipt_holds_the_log_positions_of_the_request() -> None:
    made = receipt(MESSAGE, INFERENCE, ADDED)
    assert made.ledger == "user:alice"
    assert made.positions == (3, 5)
    assert made.messages == ("a" * 32,)
    assert len(made.correlation_id) == 32
    assert not made.replayed
    assert made.lagging == ()


def test_addition_and_supersession_are_different_verdicts() -> None:
    added = Verdict(decision=Decision.ADD, text=ADDED.text, reason="new", fact_id=ADDED.fact_id)
    assert verdicts(ADDED) == (added,)
    superseded = FactSuperseded(fact_id=OLD, by=ADDED.fact_id, ended_at=NOON, reason="moved")
    assert verdicts(ADDED, superseded) == (evolve(added, decision=Decision.SUPERSEDE, target=OLD),)


def test_one_fact_can_supersede_several() -> None:
    others = [FactId("3" * 32), FactId("4" * 32)]
    ended = [FactSuperseded(fact_id=old, by=ADDED.fact_id, ended_at=NOON) for old in (OLD, *others)]
    (verdict,) = verdicts(ADDED, *ended)
    assert (verdict.target, verdict.also_ended) == (OLD, tuple(others))


def test_fact_superseded_by_none_is_the_target_of_an_end_and_not_of_an_addition() -> None:
    ended = FactSuperseded(fact_id=OLD, by=None, ended_at=NOON)
    added, end = verdicts(ADDED, ended)
    assert (added.decision, added.target) == (Decision.ADD, None)
    assert (end.decision, end.fact_id, end.target) == (Decision.SUPERSEDE, None, OLD)


def test_changes_of_known_facts_name_the_facts_as_targets() -> None:
    found = verdicts(
        FactRevised(fact_id=OLD, text="better", reason="r1"),
        FactReaffirmed(fact_id=OLD, reason="r2"),
        FactRetracted(fact_id=OLD, reason="r3"),
    )
    assert found == (
        Verdict(decision=Decision.REVISE, text="better", reason="r1", fact_id=OLD, target=OLD),
        Verdict(decision=Decision.REAFFIRM, text="", reason="r2", fact_id=OLD, target=OLD),
        Verdict(decision=Decision.RETRACT, text="", reason="r3", fact_id=None, target=OLD),
    )


def test_other_events_are_not_verdicts() -> None:
    quiet = (MESSAGE, INFERENCE, FactExpired(fact_id=OLD), FeedbackGiven(fact_id=OLD, score=1))
    assert verdicts(*quiet) == ()


def test_extractor_is_the_recorded_extraction_model() -> None:
    assert receipt(evolve(MESSAGE, extract=False), ADDED).extractor == "verbatim"
    assert receipt(MESSAGE, INFERENCE, ADDED).extractor == "rules-1"
    other = evolve(INFERENCE, purpose="reconciliation", model="judge-1")
    assert receipt(MESSAGE, INFERENCE, other, ADDED).extractor == "rules-1"


def test_skipped_text_is_listed_with_its_reason() -> None:
    assert receipt(MESSAGE, INFERENCE).skipped == (
        Skipped(message_id=MessageId("a" * 32), text="Hi!", reason="small talk"),
    )


@pytest.mark.parametrize(
    "output",
    [
        "",
        "Sure! Here are the facts:",
        "null",
        "7",
        "{}",
        '"text"',
        "[1, null, []]",
        '[{"text": "Hi!"}]',
        json.dumps([{**SKIPPED, "confidence": 0.9}]),
        json.dumps([{**SKIPPED, "text": 7}]),
        "[" * 100_000,
    ],
    ids=lambda output: output[:20],
)
def test_raw_output_of_a_model_is_not_read_as_skipped_texts(output: str) -> None:
    # Given an inference with any raw output of a model
    inference = evolve(INFERENCE, output=output, model="chat-1")
    # When the receipt is computed
    made = receipt(MESSAGE, inference, ADDED)
    # Then the rest of the receipt is complete
    assert made.skipped == ()
    assert made.extractor == "chat-1"
    assert len(made.verdicts) == 1


CALL = evolve(
    INFERENCE,
    model="chat-1",
    prompt_digest="d",
    input_tokens=100,
    output_tokens=20,
    latency=0.5,
    cost=0.25,
)


def test_usage_of_all_model_calls_is_summed() -> None:
    usage = receipt(MESSAGE, CALL, evolve(CALL, purpose="reconciliation"), INFERENCE).usage
    assert usage == Usage(calls=2, input_tokens=200, output_tokens=40, cost=0.5, latency=1.0)


def test_call_without_tokens_is_counted() -> None:
    usage = receipt(MESSAGE, evolve(CALL, input_tokens=0, output_tokens=0)).usage
    assert (usage.calls, usage.input_tokens) == (1, 0)


def test_unknown_price_is_counted_as_unpriced() -> None:
    free = receipt(MESSAGE, INFERENCE).usage
    unknown = receipt(MESSAGE, evolve(CALL, cost=None)).usage
    mixed = receipt(MESSAGE, evolve(CALL, cost=None), CALL).usage
    assert (free.cost, free.unpriced) == (0.0, 0)
    assert (unknown.cost, unknown.unpriced) == (None, 1)
    assert (mixed.cost, mixed.unpriced) == (0.25, 1)


def test_same_events_give_the_same_receipt_except_for_replayed() -> None:
    log = InMemoryAuditLog()
    recorded = log.append(append_of([MESSAGE, INFERENCE, ADDED])).recorded
    first = receipt_of(recorded, "verbatim")
    again = receipt_of(list(log.read_ledger(ADDED.scope.ledger)), "verbatim", replayed=True)
    assert again == evolve(first, replayed=True)


def test_to_dict_of_a_receipt_is_plain_json() -> None:
    shown: dict[str, Any] = json.loads(json.dumps(receipt(MESSAGE, INFERENCE, ADDED).to_dict()))
    assert shown["positions"] == [3, 5]
    assert shown["verdicts"][0]["decision"] == "add"
    assert shown["skipped"] == [{**SKIPPED, "index": None, "part": None}]
    assert shown["usage"] == {
        "calls": 0,
        "input_tokens": 0,
        "output_tokens": 0,
        "cost": 0.0,
        "unpriced": 0,
        "latency": 0.0,
    }
