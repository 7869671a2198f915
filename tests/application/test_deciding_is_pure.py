"""Extraction and reconciliation use no clock, no randomness and no network, so that a replay of
what was recorded decides the same again.
"""

from __future__ import annotations

import os
import random
import secrets
import socket
import time
import uuid
from datetime import UTC, datetime
from typing import Any

import pytest

from remembrancer.application.extraction.model.extractor import ModelExtractor
from remembrancer.application.extraction.rules.extractor import RulesExtractor
from remembrancer.application.inline import run_inline
from remembrancer.application.reconciliation.model import ModelReconciler
from remembrancer.application.reconciliation.rules import RulesReconciler
from remembrancer.domain.conversation import Message, Role
from remembrancer.domain.facts.decide import Decided, decide
from remembrancer.domain.facts.fact import Fact, FactId, Interval, MessageId
from remembrancer.domain.facts.verdicts import Candidate
from remembrancer.domain.ports.extractor import Extraction
from remembrancer.domain.scope import Scope
from remembrancer.testing.scripted_model import ScriptedModel
from tests.helpers.counting_ids import CountingIds
from tests.helpers.forbidden import forbidden

NOON = datetime(2024, 5, 3, 12, 0, tzinfo=UTC)
SCOPE = Scope(user_id="ann")
TEXTS = (
    "I moved to Berlin last Friday, and I love it. My dog Rex turned 3 yesterday.",
    "I used to live in Oslo. In two weeks we fly to Rome. I no longer drink coffee!",
    "Ich wohne seit gestern in Köln. 昨天我搬到了上海。",
)
IMPURE: list[tuple[Any, str]] = [
    *((time, name) for name in ("time", "time_ns", "sleep", "localtime", "gmtime")),
    *((random, name) for name in ("random", "randint", "choice", "shuffle", "getrandbits")),
    *((uuid, name) for name in ("uuid1", "uuid4")),
    *((secrets, name) for name in ("token_bytes", "token_hex")),
    (os, "urandom"),
    *((socket, name) for name in ("socket", "create_connection", "getaddrinfo")),
]


MESSAGES = [
    Message(
        message_id=MessageId(f"{number:032x}"),
        scope=SCOPE,
        role=Role.USER,
        text=text,
        name="Ann",
        occurred_at=NOON,
    )
    for number, text in enumerate(TEXTS)
]
KNOWN = Fact(
    fact_id=FactId("f" * 32),
    version=2,
    scope=SCOPE,
    text="I live in Oslo",
    speaker="Ann",
    slot="ann/residence",
    occurred_at=datetime(2023, 1, 1, tzinfo=UTC),
    created_at=datetime(2023, 1, 1, tzinfo=UTC),
    recorded=Interval(start=datetime(2023, 1, 1, tzinfo=UTC)),
)
FACTS = {
    "facts": [
        {
            "text": "Ann moved to Berlin",
            "kind": "semantic",
            "about": "Ann",
            "attribute": "residence",
            "evidence": [{"message": 1, "quote": "I moved to Berlin last Friday"}],
            "valid_from": "2024-04-26",
            "entities": ["Ann", "Berlin"],
            "relations": [{"subject": "Ann", "predicate": "lives in", "object": "Berlin"}],
        }
    ]
}
DECISIONS = {
    "decisions": [
        {"new": 2, "decision": "supersede", "known": [1], "text": None, "reason": "moved"}
    ]
}


def decided(extraction: Extraction, reconciler: Any) -> list[Decided]:
    candidates: tuple[Candidate, ...] = extraction.candidates
    neighbours = [{KNOWN.fact_id: (KNOWN, 0.6)} for _ in candidates]
    proposals = run_inline(reconciler.reconcile(candidates, neighbours)).proposals
    return decide(
        candidates,
        proposals,
        now=NOON,
        known={KNOWN.fact_id: KNOWN},
        messages=MESSAGES,
        open_relations=[],
    )


CASES = {
    "rules": (RulesExtractor(), RulesReconciler()),
    "model": (
        ModelExtractor(ScriptedModel(otherwise=FACTS)),
        ModelReconciler(ScriptedModel(otherwise=DECISIONS)),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_deciding_depends_on_its_input_alone(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    extractor, reconciler = CASES[name]
    first = decided(run_inline(extractor.extract(MESSAGES, CountingIds())), reconciler)
    with forbidden(monkeypatch, IMPURE):
        extraction = run_inline(extractor.extract(MESSAGES, CountingIds()))
        again = decided(extraction, reconciler)
    assert again == first
    assert any(one.events for one in again)


def test_a_run_is_recounted_from_its_input_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    steps = [
        Message(
            message_id=MessageId(f"{number:032x}"),
            scope=Scope(agent_id="coder"),
            role=role,
            text=text,
            occurred_at=NOON,
        )
        for number, (role, text) in enumerate(
            [(Role.USER, "Fix the build."), (Role.ASSISTANT, "I pinned the compiler to 14.2.")]
        )
    ]
    first = run_inline(RulesExtractor().recount(steps, CountingIds()))
    with forbidden(monkeypatch, IMPURE):
        again = run_inline(RulesExtractor().recount(steps, CountingIds()))
    assert again == first
    assert again.candidates
