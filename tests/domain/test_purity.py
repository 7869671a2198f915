"""The domain uses no clock, no randomness and no I/O."""

from __future__ import annotations

import asyncio
import builtins
import inspect
import os
import random
import secrets
import socket
import sqlite3
import subprocess
import threading
import time
import uuid
from array import array
from datetime import UTC, datetime, timedelta
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from remembrancer.adapters.stores.memory.audit_log import InMemoryAuditLog
from remembrancer.application.remember.receipt import receipt_of
from remembrancer.domain import epoch_micros, jsonable
from remembrancer.domain.audit.dismissal import dismissals
from remembrancer.domain.audit.explanation import Sources, explain, trace
from remembrancer.domain.audit.undo import Lineage, undo
from remembrancer.domain.conversation import Message, Role
from remembrancer.domain.events import (
    EVENT_TYPES,
    Event,
    FactAdded,
    FactCorrected,
    FactExpired,
    FactReaffirmed,
    FactRestored,
    FactRetracted,
    FactRevised,
    FactsRivalled,
    FactSuperseded,
    FeedbackGiven,
    InferenceRecorded,
    MessageObserved,
)
from remembrancer.domain.facts.decide import events_of, retract, revise
from remembrancer.domain.facts.evolve import FactChange, LedgerState, changes_of, fold
from remembrancer.domain.facts.fact import Evidence, FactId, Interval, MessageId
from remembrancer.domain.facts.verdicts import Candidate, Decision, Proposal, judge
from remembrancer.domain.filters.evaluate import matches
from remembrancer.domain.filters.parse import parse_filter
from remembrancer.domain.graph.graph import Relation
from remembrancer.domain.graph.relevance import leads
from remembrancer.domain.graph.walk import Path as Way
from remembrancer.domain.graph.walk import Reached, Step
from remembrancer.domain.ports.vector_index import Hit
from remembrancer.domain.recall.documents import attributes_of, document_of, to_index
from remembrancer.domain.recall.index_context import context_of
from remembrancer.domain.recall.query import understand
from remembrancer.domain.recall.ranking import rank
from remembrancer.domain.recorded import Position, Recorded, chain_hash, header_of, payload_digest
from remembrancer.domain.scope import Scope
from remembrancer.domain.text import normalised
from remembrancer.domain.upcasting import UPCASTERS, EventRegistry
from remembrancer.testing.audit_log import ALICE, NOON, append_of
from tests.helpers.forbidden import forbidden

IMPURE: list[tuple[Any, str]] = [
    *((time, name) for name in ("time", "time_ns", "monotonic", "perf_counter", "sleep")),
    *((random, name) for name in ("random", "randint", "choice", "shuffle", "seed", "getrandbits")),
    *((uuid, name) for name in ("uuid1", "uuid4")),
    *((secrets, name) for name in ("token_bytes", "token_hex")),
    *((os, name) for name in ("urandom", "getenv", "system", "listdir", "stat")),
    *((socket, name) for name in ("socket", "create_connection", "getaddrinfo")),
    (subprocess, "Popen"),
    (sqlite3, "connect"),
    (threading, "Thread"),
    (asyncio, "run"),
    (Path, "open"),
    (builtins, "open"),
    (builtins, "print"),
    (builtins, "input"),
]

LIVES = Relation(
    relation_id="9" * 32,
    scope=Scope(user_id="alice"),
    subject="Alice",
    predicate="lives in",
    object="Paris",
    fact_id=FactId("1" * 32),
    position=Position(1),
    recorded=Interval(start=NOON),
)


SCOPE = Scope(user_id="alice")
MESSAGE = Message(
    message_id=MessageId("a" * 32),
    scope=SCOPE,
    role=Role.USER,
    text="I moved to Berlin in May 2024.",
    name="Alice",
    occurred_at=NOON,
)
FACT, NEW = FactId("1" * 32), FactId("2" * 32)
ADDED = FactAdded(
    fact_id=FACT,
    scope=SCOPE,
    text="I live in Paris",
    evidence=(Evidence(message_id=MESSAGE.message_id),),
    speaker="Alice",
    metadata={"place": {"city": "Paris"}},
    occurred_at=NOON,
    valid=Interval(start=NOON),
)
CHANGES: list[Event] = [
    FactRevised(fact_id=FACT, text="I live in Paris, France"),
    FactReaffirmed(fact_id=FACT),
    FeedbackGiven(fact_id=FACT, score=1),
    FactSuperseded(fact_id=FACT, by=NEW, ended_at=NOON),
    FactRetracted(fact_id=FACT),
    FactExpired(fact_id=FACT),
    FactRestored(fact_id=FACT, to_version=1),
    FactCorrected(fact_id=FACT, version=1, valid=(Interval(start=NOON),)),
    FactsRivalled(one=FACT, other=FACT),
]
INFERENCE = InferenceRecorded(
    purpose="extraction",
    model="m",
    prompt_digest="",
    output="[]",
    messages=(MESSAGE.message_id,),
)
CANDIDATE = Candidate(
    fact_id=NEW,
    scope=SCOPE,
    text="I moved to Berlin",
    occurred_at=NOON,
    evidence=(Evidence(message_id=MESSAGE.message_id, quote="I moved to Berlin"),),
)


def _about(change: Event, fact_id: FactId) -> Event:
    if isinstance(change, FactsRivalled):
        return evolve(change, one=fact_id, other=FactId("0" * 32))
    return evolve(change, fact_id=fact_id)  # type: ignore[call-arg]


@pytest.fixture
def history() -> list[Recorded]:
    """All event types that change facts, as recorded by a log."""
    log = InMemoryAuditLog()
    for change in CHANGES:
        mine = FactId(f"{CHANGES.index(change):032x}")
        log.append(append_of([evolve(ADDED, fact_id=mine), _about(change, mine)]))
    log.append(append_of([MessageObserved(message=MESSAGE), INFERENCE, ADDED]))
    return list(log.read_ledger(ALICE))


def test_fold_and_indexing_are_pure(
    history: list[Recorded], monkeypatch: pytest.MonkeyPatch
) -> None:
    with forbidden(monkeypatch, IMPURE):
        facts = fold(history).current()
        state = LedgerState()
        changes: list[FactChange] = []
        for item in history:
            made = changes_of(item.event, item.recorded_at, state.latest, state.at_version)
            state.changed(made)
            changes += made
        documents = [document_of(fact, context="", vector=None) for fact in facts]
        indexed = to_index(history, changes, Alone())
    assert len(facts) == len(CHANGES) + 1
    assert len(documents) == len(facts)
    assert indexed


class Alone:
    """Conversations without any message."""

    def around(self, message_id: MessageId) -> None:
        return None

    def citing(self, message_id: MessageId) -> list[Any]:
        return []


def test_explanations_and_undos_are_pure(
    history: list[Recorded], monkeypatch: pytest.MonkeyPatch
) -> None:
    facts = fold(history).facts
    appends = {
        moment: list(items) for moment, items in groupby(history, key=lambda item: item.recorded_at)
    }
    later = history[-1].recorded_at + timedelta(days=1)
    undone: list[Event] = []
    with forbidden(monkeypatch, IMPURE):
        for versions in facts.values():
            traces = trace(versions, appends, facts, {})
            why = explain(traces, Sources(), replaced=(), ended_by=None)
            assert why.answer
            made = {traced.fact.version: traced.item for traced in traces if traced.item}
            lineage = Lineage(versions=versions, made=made)
            requests = {item.correlation_id for item in made.values()}
            undone += [event for event, _ in undo([lineage], requests, now=later, others={}).events]
        found = [each for item in history for each in dismissals(item, {}, lambda _: [])]
    assert len(undone) >= len(CHANGES)
    assert found == []


def test_decisions_are_pure(history: list[Recorded], monkeypatch: pytest.MonkeyPatch) -> None:
    fact = fold(history).facts[FACT][-1]
    with forbidden(monkeypatch, IMPURE):
        decided = [
            *revise(fact, text="x", metadata={"a": 1}),
            *retract(fact),
        ]
        for decision in Decision:
            proposal = Proposal(decision=decision, target=FACT, text="I live in Lyon")
            verdict = judge(
                CANDIDATE, proposal, known={FACT: fact}, messages={MESSAGE.message_id: MESSAGE}
            )
            decided += events_of(verdict, CANDIDATE, {FACT: fact})
        receipt = receipt_of(history, "m")
    assert len(decided) == 8
    assert receipt.verdicts


def test_reads_are_pure(history: list[Recorded], monkeypatch: pytest.MonkeyPatch) -> None:
    fact = fold(history).facts[FACT][-1]
    hits = [
        Hit(key=(FACT, 1), similarity=0.5, keyword=0.4, context=0.1, occurred_at=NOON),
        Hit(key=(NEW, 1), speaker="Alice", keyword=0.9, occurred_at=NOON - timedelta(days=9)),
    ]
    way = Step(link=LIVES, to="Paris")
    with forbidden(monkeypatch, IMPURE):
        query = understand("Where did Alice live in May 2024?", speakers=["Alice", "Bob"])
        led = leads([Reached(link=LIVES, path=Way(start="Alice", steps=(way,)))], query.text)
        ranked = rank(hits, query, graph={lead.fact_id: lead.bearing for lead in led})
        where = parse_filter({"place.city": "Paris", "OR": [{"speaker": "Alice"}]})
        held = where is not None and matches(where, attributes_of(fact))
        seen = fact.visible(now=NOON, as_of=None, valid_at=NOON)
        shown = jsonable.to_jsonable(fact)
        text = normalised(" Tea! ")
        context = context_of([MESSAGE], None, [], speaker="Alice", occurred_at=NOON)
    assert [one.signals.get("graph") for one in ranked] == [1.0, None]
    assert (held, seen, text) == (True, True, "tea")
    assert shown["text"] in ("I live in Paris", "I live in Paris, France")
    assert "3 May 2024 Friday" in context


def test_hashing_and_upcasting_are_pure(monkeypatch: pytest.MonkeyPatch) -> None:
    def older(raw: dict[str, Any]) -> dict[str, Any]:
        return {**raw, "reason": ""}

    with forbidden(monkeypatch, IMPURE):
        registry = EventRegistry.of(EVENT_TYPES, {**UPCASTERS, ("fact.reaffirmed", 0): older})
        raw = registry.upcast({"fact_id": FACT}, FactReaffirmed, 0)
        moment = epoch_micros.from_microseconds(epoch_micros.to_microseconds(NOON))
        header = header_of(
            handle="2" * 32,  # type: ignore[arg-type]
            version=1,
            event_id="0" * 32,  # type: ignore[arg-type]
            recorded_at=0,
            correlation_id="1" * 32,  # type: ignore[arg-type]
            causation_id=None,
            actor="a",
            type_name="t",
            schema_version=1,
        )
        chained = chain_hash(bytes(32), header, payload_digest(bytes(16), b"{}"))
    assert raw == {"fact_id": FACT, "reason": ""}
    assert (moment, len(chained)) == (NOON, 32)


def domain_modules() -> list[Any]:
    import importlib
    import pkgutil

    import remembrancer.domain

    found = pkgutil.walk_packages(remembrancer.domain.__path__, "remembrancer.domain.")
    return [importlib.import_module(module.name) for module in found]


@pytest.mark.parametrize("module", domain_modules(), ids=lambda module: module.__name__)
def test_domain_module_neither_reads_the_clock_nor_awaits(module: Any) -> None:
    # datetime.now can't be patched, so its absence is checked in the source
    source = inspect.getsource(module)
    for call in (".now(", ".utcnow(", ".today(", "await ", "asyncio"):
        assert call not in source.replace("``", ""), call


@pytest.mark.parametrize("module", domain_modules(), ids=lambda module: module.__name__)
def test_domain_module_has_no_mutable_state(module: Any) -> None:
    held = {
        name: value
        for name, value in vars(module).items()
        if not name.startswith("__")
        and isinstance(value, list | set | bytearray | array)
        and getattr(value, "__module__", module.__name__) == module.__name__
    }
    assert held == {}


def test_impure_calls_raise_in_these_tests(monkeypatch: pytest.MonkeyPatch) -> None:
    with forbidden(monkeypatch, IMPURE):
        for owner, name in IMPURE:
            with pytest.raises(AssertionError, match=name):
                getattr(owner, name)()
    assert datetime.now(UTC) > NOON
