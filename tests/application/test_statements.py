"""Facts that are handed in as subject, predicate and value share slots with what was said."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from remembrancer import Memory
from remembrancer.application.inline import run_inline
from remembrancer.application.remember.receipt import Receipt
from remembrancer.application.statements.make_statement import StatementRequest
from remembrancer.application.statements.slot import slot_of
from remembrancer.domain.errors import InvalidRequest
from remembrancer.domain.events import (
    CandidatesSettled,
    FactAdded,
    RelationAsserted,
    StatementMade,
)
from remembrancer.domain.facts.fact import Statement
from remembrancer.domain.facts.verdicts import Decision
from remembrancer.domain.recorded import Position, Recorded
from remembrancer.domain.scope import Scope

ANN = Scope(user_id="ann")
ROME = Statement(subject="user", predicate="lives in", value="Rome")


@pytest.fixture
def memory() -> Iterator[Memory]:
    with Memory() as opened:
        yield opened


def state(memory: Memory, statement: Statement, **options: Any) -> Receipt:
    use: Any = memory._inner._container
    request = StatementRequest(**{"scope": ANN, "actor": "test", **options}, statement=statement)
    receipt: Receipt = run_inline(use.make_statement()(request))
    return receipt


def events(memory: Memory) -> list[Recorded]:
    use: Any = memory._inner._container
    return list(use.audit_log().read(Position(0)))


def texts(memory: Memory) -> set[str]:
    return {fact.text for fact in memory.get_all(user_id="ann")}


@pytest.mark.parametrize(
    ("subject", "predicate", "value", "slot"),
    [
        ("user", "lives in", "Rome", "user/residence"),
        ("Caroline", "lives in", "Oslo", "caroline/residence"),
        ("user", "works at", "Acme", "user/employer"),
        ("user", "prefers", "tea", "user/prefers"),
        ("Zo\u0308e", "is allergic to", "nuts", "z\u00f6e/is allergic to"),
    ],
)
def test_a_statement_fills_the_slot_of_the_sentence(
    subject: str, predicate: str, value: str, slot: str
) -> None:
    assert slot_of(Statement(subject=subject, predicate=predicate, value=value)) == slot


def test_a_statement_succeeds_what_was_said(memory: Memory) -> None:
    memory.add("I live in Berlin.", user_id="ann")
    receipt = state(memory, ROME)
    assert [verdict.decision for verdict in receipt.verdicts] == [Decision.SUPERSEDE]
    assert texts(memory) == {"User lives in Rome"}


def test_what_is_said_succeeds_a_statement(memory: Memory) -> None:
    state(memory, ROME)
    memory.add("I moved to Berlin.", user_id="ann")
    assert texts(memory) == {"I moved to Berlin."}


def test_a_statement_that_was_said_is_not_added_again(memory: Memory) -> None:
    memory.add("I live in Rome.", user_id="ann")
    receipt = state(memory, ROME)
    assert [verdict.decision for verdict in receipt.verdicts] == [Decision.REAFFIRM]
    assert texts(memory) == {"I live in Rome."}


def test_values_of_a_predicate_that_may_have_several_stay(memory: Memory) -> None:
    for value in ("tea", "coffee"):
        drinks = Statement(subject="user", predicate="drinks", value=value)
        state(memory, drinks, single=False)
    assert texts(memory) == {"User drinks tea", "User drinks coffee"}


def test_a_statement_is_the_cause_of_its_fact(memory: Memory) -> None:
    receipt = state(memory, ROME, text="Ann lives in Rome.", reason="from the registry")
    fact = memory.get(receipt.verdicts[0].fact_id or "", user_id="ann")
    assert (fact.statement, fact.text, fact.evidence) == (ROME, "Ann lives in Rome.", ())
    stated, *others = [item for item in events(memory) if item.type_name != "pipeline.described"]
    assert isinstance(stated.event, StatementMade)
    assert stated.event.reason == "from the registry"
    assert {type(item.event) for item in others} == {CandidatesSettled, FactAdded, RelationAsserted}
    assert {item.causation_id for item in others} == {stated.event_id}
    assert memory.verify().ok


def test_a_refused_actor_states_nothing(memory: Memory) -> None:
    with pytest.raises(InvalidRequest, match="opaque id"):
        state(memory, ROME, actor="ann@example.org")
    assert events(memory) == []
