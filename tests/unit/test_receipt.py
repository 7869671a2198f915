"""A receipt is read back from the events, so that a request sent twice gets it twice."""

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
    """The receipt of a request that came after others."""
    log = InMemoryAuditLog()
    log.append(append_of([fact_added() for _ in range(before)]))
    request = new_id()
    for event in events:
        log.append(append_of([event], correlation_id=request))
    recorded = [item for item in log.read_ledger(ADDED.scope.ledger) if item.version > before]
    return receipt_of(recorded, extractor)


def verdicts(*events: Event) -> Sequence[Verdict]:
    return receipt(*events).verdicts


def test_a_receipt_says_where_the_request_is_in_the_log() -> None:
    made = receipt(MESSAGE, INFERENCE, ADDED)
    assert made.ledger == "user:alice"
    assert made.positions == (3, 5)
    assert made.messages == ("a" * 32,)
    assert len(made.correlation_id) == 32
    assert not made.replayed
    assert made.lagging == ()


def test_an_addition_and_a_supersession_are_told_apart() -> None:
    added = Verdict(decision=Decision.ADD, text=ADDED.text, reason="new", fact_id=ADDED.fact_id)
    assert verdicts(ADDED) == (added,)
    superseded = FactSuperseded(fact_id=OLD, by=ADDED.fact_id, ended_at=NOON, reason="moved")
    assert verdicts(ADDED, superseded) == (evolve(added, decision=Decision.SUPERSEDE, target=OLD),)


def test_one_fact_may_have_superseded_several() -> None:
    others = [FactId("3" * 32), FactId("4" * 32)]
    ended = [FactSuperseded(fact_id=old, by=ADDED.fact_id, ended_at=NOON) for old in (OLD, *others)]
    (verdict,) = verdicts(ADDED, *ended)
    assert (verdict.target, verdict.also_ended) == (OLD, tuple(others))


def test_a_fact_that_ended_without_a_successor_is_not_taken_for_one_that_has() -> None:
    ended = FactSuperseded(fact_id=OLD, by=None, ended_at=NOON)
    assert [verdict.decision for verdict in verdicts(ADDED, ended)] == [Decision.ADD]


def test_changes_of_known_facts_name_them_as_targets() -> None:
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


def test_what_is_no_verdict_is_not_shown_as_one() -> None:
    quiet = (MESSAGE, INFERENCE, FactExpired(fact_id=OLD), FeedbackGiven(fact_id=OLD, score=1))
    assert verdicts(*quiet) == ()


def test_the_extractor_is_the_model_that_was_recorded() -> None:
    assert receipt(evolve(MESSAGE, extract=False), ADDED).extractor == "verbatim"
    assert receipt(MESSAGE, INFERENCE, ADDED).extractor == "rules-1"
    other = evolve(INFERENCE, purpose="reconciliation", model="judge-1")
    assert receipt(MESSAGE, INFERENCE, other, ADDED).extractor == "rules-1"


def test_what_was_left_out_is_listed_with_the_reason() -> None:
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
def test_raw_output_of_a_model_is_no_list_of_what_was_left_out(output: str) -> None:
    # Given an inference that keeps what a model answered, whatever that was
    inference = evolve(INFERENCE, output=output, model="chat-1")
    # When the receipt is made
    made = receipt(MESSAGE, inference, ADDED)
    # Then it tells the rest
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


def test_the_usage_of_all_model_calls_adds_up() -> None:
    usage = receipt(MESSAGE, CALL, evolve(CALL, purpose="reconciliation"), INFERENCE).usage
    assert usage == Usage(calls=2, input_tokens=200, output_tokens=40, cost=0.5, latency=1.0)


def test_a_call_without_tokens_is_a_call() -> None:
    usage = receipt(MESSAGE, evolve(CALL, input_tokens=0, output_tokens=0)).usage
    assert (usage.calls, usage.input_tokens) == (1, 0)


def test_an_unknown_price_is_told() -> None:
    free = receipt(MESSAGE, INFERENCE).usage
    unknown = receipt(MESSAGE, evolve(CALL, cost=None)).usage
    mixed = receipt(MESSAGE, evolve(CALL, cost=None), CALL).usage
    assert (free.cost, free.unpriced) == (0.0, 0)
    assert (unknown.cost, unknown.unpriced) == (None, 1)
    assert (mixed.cost, mixed.unpriced) == (0.25, 1)


def test_the_same_events_give_the_same_receipt_but_for_the_replay() -> None:
    log = InMemoryAuditLog()
    recorded = log.append(append_of([MESSAGE, INFERENCE, ADDED])).recorded
    first = receipt_of(recorded, "verbatim")
    again = receipt_of(list(log.read_ledger(ADDED.scope.ledger)), "verbatim", replayed=True)
    assert again == evolve(first, replayed=True)


def test_a_receipt_as_a_dictionary_is_plain_json() -> None:
    shown: dict[str, Any] = json.loads(json.dumps(receipt(MESSAGE, INFERENCE, ADDED).to_dict()))
    assert shown["positions"] == [3, 5]
    assert shown["verdicts"][0]["decision"] == "add"
    assert shown["skipped"] == [SKIPPED]
    assert shown["usage"] == {
        "calls": 0,
        "input_tokens": 0,
        "output_tokens": 0,
        "cost": 0.0,
        "unpriced": 0,
        "latency": 0.0,
    }
