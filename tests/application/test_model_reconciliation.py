"""The model reconciler changes only facts that the model was shown."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from remembrancer.application.inline import run_inline
from remembrancer.application.reconciliation.model import ModelReconciler, ReconciliationSettings
from remembrancer.domain.errors import (
    AdapterUnavailable,
    InvalidRequest,
    ModelError,
    RemembrancerError,
)
from remembrancer.domain.events import (
    Event,
    FactAdded,
    FactReaffirmed,
    FactRetracted,
    FactRevised,
    FactSuperseded,
    Outcome,
)
from remembrancer.domain.facts.decide import events_of
from remembrancer.domain.facts.fact import Fact, FactId, FactStatus, Interval
from remembrancer.domain.facts.verdicts import Candidate, Decision, Verdict, judge
from remembrancer.domain.ports.reconciler import Reconciliation
from remembrancer.domain.scope import Scope
from remembrancer.testing.scripted_model import ScriptedModel

NOON = datetime(2024, 5, 3, 12, 0, tzinfo=UTC)
SCOPE = Scope(user_id="ann")
EARLIER = NOON - timedelta(days=400)


def fact(number: int, text: str, **more: Any) -> Fact:
    return evolve(
        Fact(
            fact_id=FactId(f"{number:032x}"),
            version=1,
            scope=SCOPE,
            text=text,
            speaker="Ann",
            occurred_at=EARLIER,
            created_at=EARLIER,
            valid=Interval(start=EARLIER),
            recorded=Interval(start=EARLIER),
        ),
        **more,
    )


def candidate(number: int, text: str, **more: Any) -> Candidate:
    return evolve(
        Candidate(
            fact_id=FactId(f"{number:032x}"),
            scope=SCOPE,
            text=text,
            speaker="Ann",
            occurred_at=NOON,
            valid=Interval(start=NOON),
        ),
        **more,
    )


PARIS = fact(1, "Ann lives in Paris with Tom.", slot="ann/residence", entities=("Paris", "Tom"))
BERLIN = candidate(9, "Ann moved to Berlin.", slot="ann/residence", entities=("Berlin",))


def reconciled(
    candidates: Sequence[Candidate],
    facts: Sequence[Fact],
    model: ScriptedModel,
    similarity: float = 0.7,
) -> Reconciliation:
    near = {item.fact_id: (item, similarity) for item in facts}
    reconciler = ModelReconciler(model, ReconciliationSettings(similarity=0.5))
    return run_inline(reconciler.reconcile(candidates, [near] * len(candidates)))


def decide(new: int, decision: str, *known: int, text: str | None = None) -> dict[str, Any]:
    return {
        "new": new,
        "decision": decision,
        "known": list(known),
        "text": text,
        "reason": "because",
    }


def decided(*decisions: object) -> ScriptedModel:
    return ScriptedModel({"decisions": list(decisions)})


def carried_out(item: Candidate, facts: Sequence[Fact], model: ScriptedModel) -> list[Event]:
    found = reconciled([item], facts, model)
    known = {shown.fact_id: shown for shown in facts}
    verdict = judge(item, found.proposals[0], known=known, messages={})
    return events_of(verdict, item, known)


# Decided by rules


def test_candidate_without_similar_facts_is_added_without_a_call() -> None:
    model = ScriptedModel()
    found = reconciled([BERLIN, candidate(8, "Ann plays chess.")], [], model)
    assert [item.decision for item in found.proposals] == [Decision.ADD, Decision.ADD]
    assert found.inferences == ()
    assert model.prompts == []


def test_duplicate_is_reaffirmed_without_a_call() -> None:
    model = ScriptedModel()
    again = candidate(9, "Ann really lives in Paris with Tom")
    found = reconciled([again, evolve(again, fact_id=FactId("8" * 32))], [PARIS], model)
    assert [(item.decision, item.target) for item in found.proposals] == [
        (Decision.REAFFIRM, PARIS.fact_id)
    ] * 2
    assert model.prompts == []


def test_duplicate_candidate_is_added_once() -> None:
    one, two = candidate(8, "Ann plays chess."), candidate(9, "Ann plays chess!")
    found = reconciled([one, two], [], ScriptedModel())
    assert [(item.decision, item.target) for item in found.proposals] == [
        (Decision.ADD, None),
        (Decision.REAFFIRM, one.fact_id),
    ]


@pytest.mark.parametrize(
    "other",
    [
        evolve(PARIS, slot=None, entities=()),
        evolve(PARIS, slot=None, entities=("Ann", "user")),
        evolve(PARIS, scope=Scope(user_id="ann", agent_id="coach")),
        evolve(PARIS, scope=Scope(user_id="bob")),
        evolve(PARIS, status=FactStatus.RETRACTED),
    ],
    ids=["dissimilar", "only speakers in common", "another agent", "another user", "retracted"],
)
def test_impossible_conflict_needs_no_call(other: Fact) -> None:
    model = ScriptedModel()
    new = evolve(BERLIN, entities=("Ann", "Berlin"))
    assert reconciled([new], [other], model, 0.2).proposals[0].decision is Decision.ADD
    assert model.prompts == []


# Decided by the model


@pytest.mark.parametrize(
    ("known", "similarity"),
    [
        (evolve(PARIS, slot=None, entities=()), 0.6),
        (PARIS, 0.0),
        (fact(1, "Tom visited Berlin.", entities=("Berlin",)), 0.0),
    ],
    ids=["similar", "same slot", "same entity"],
)
def test_possible_conflict_needs_a_call(known: Fact, similarity: float) -> None:
    model = decided(decide(2, "add"))
    reconciled([BERLIN], [known], model, similarity)
    assert len(model.prompts) == 1


def test_one_call_decides_all_open_candidates() -> None:
    chess = fact(2, "Ann plays chess on Fridays.", entities=("chess",))
    model = decided(decide(5, "reaffirm", 2), decide(4, "add"), decide(3, "supersede", 1))
    found = reconciled(
        [
            BERLIN,
            candidate(8, "Ann has a cat."),
            candidate(7, "Ann plays chess every Friday."),
        ],
        [PARIS, chess],
        model,
    )
    assert len(model.prompts) == 1
    assert len(found.proposals) == 3
    assert [inference.purpose for inference in found.inferences] == ["reconciliation"]
    assert found.inferences[0].messages == ()


def test_prompt_shows_only_open_candidates_and_no_ids() -> None:
    model = decided(decide(2, "supersede", 1))
    hobby = candidate(8, "Ann has a cat.")
    found = reconciled([hobby, BERLIN], [PARIS], model, 0.1)
    shown = model.prompts[0].messages[0].content
    assert 'n="1" speaker="Ann" said="2023-03-30"' in shown
    assert 'n="2"' in shown
    assert "cat" not in shown
    assert PARIS.fact_id not in shown
    assert BERLIN.fact_id not in shown
    assert [item.decision for item in found.proposals] == [Decision.ADD, Decision.SUPERSEDE]
    assert found.proposals[1].target == PARIS.fact_id
    assert found.proposals[1].reason == "because"


def test_superseded_fact_ends_when_the_new_one_begins() -> None:
    also = fact(2, "Ann's flat is in Paris.", slot="ann/residence")
    added, first, second = carried_out(BERLIN, [PARIS, also], decided(decide(3, "supersede", 1, 2)))
    assert isinstance(added, FactAdded)
    assert isinstance(first, FactSuperseded)
    assert isinstance(second, FactSuperseded)
    assert (first.fact_id, second.fact_id) == (PARIS.fact_id, also.fact_id)
    assert first.ended_at == second.ended_at == NOON


def test_candidate_can_supersede_an_earlier_one_of_the_same_call() -> None:
    first = evolve(BERLIN, fact_id=FactId("8" * 32), text="Ann lives in Rome.")
    model = decided(decide(2, "supersede", 1))
    found = reconciled([first, BERLIN], [], model)
    assert [(item.decision, item.target) for item in found.proposals] == [
        (Decision.ADD, None),
        (Decision.SUPERSEDE, first.fact_id),
    ]


# Revisions


def revised(text: str, old: Fact = PARIS) -> list[Event]:
    new = candidate(9, "Ann lives near the river since 2020.", slot="ann/residence")
    return carried_out(new, [old], decided(decide(2, "revise", 1, text=text)))


@pytest.mark.parametrize("reason", [None, 7, ""])
def test_decision_without_a_reason_and_with_numbers_as_strings_is_carried_out(reason: Any) -> None:
    said = {"new": "2", "decision": "supersede", "known": ["1"], "text": None, "reason": reason}
    found = reconciled([BERLIN], [PARIS], decided(said))
    assert [(item.decision, item.target) for item in found.proposals] == [
        (Decision.SUPERSEDE, PARIS.fact_id)
    ]


def test_fact_that_takes_another_back_and_says_something_stays() -> None:
    added, ended = carried_out(BERLIN, [PARIS], decided(decide(2, "retract", 1)))
    assert isinstance(added, FactAdded)
    assert added.text == BERLIN.text
    assert isinstance(ended, FactSuperseded)
    assert ended.fact_id == PARIS.fact_id


@pytest.mark.parametrize(
    "text",
    [
        "Ann does not live in Paris with Tom.",
        "It is wrong that Ann lives in Paris.",
        "Forget Paris.",
    ],
)
def test_fact_that_only_takes_another_back_is_not_kept(text: str) -> None:
    new = candidate(9, text, slot="ann/residence")
    [event] = carried_out(new, [PARIS], decided(decide(2, "retract", 1)))
    assert isinstance(event, FactRetracted)


def test_ignored_candidate_names_the_fact_that_says_it() -> None:
    found = reconciled([BERLIN], [PARIS], decided(decide(2, "ignore", 1)))
    verdict = judge(BERLIN, found.proposals[0], known={PARIS.fact_id: PARIS}, messages={})
    assert (verdict.decision, verdict.target) == (Decision.IGNORE, PARIS.fact_id)
    unknown = reconciled([BERLIN], [PARIS], decided(decide(2, "ignore", 9)))
    verdict = judge(BERLIN, unknown.proposals[0], known={PARIS.fact_id: PARIS}, messages={})
    assert (verdict.decision, verdict.target) == (Decision.IGNORE, None)


def test_revision_keeps_the_details_of_the_old_fact() -> None:
    [event] = revised("Ann lives in Paris with Tom, near the river, since 2020.")
    assert isinstance(event, FactRevised)
    assert event.text == "Ann lives in Paris with Tom, near the river, since 2020."
    assert event.metadata is None
    assert set(event.entities or ()) >= {"Paris", "Tom"}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("Ann lives in Paris near the river since 2020.", "revise refused: 'Tom' would be lost"),
        ("Ann lives with Tom since 2020.", "revise refused: 'Paris' would be lost"),
        (
            "Ann lives in Paris with Tom since 2020 and is an administrator.",
            "revise refused: nobody said 'administrator'",
        ),
        ("Ann lives in Paris with Tom since 2021.", "revise refused: nobody said '2021'"),
    ],
)
def test_revision_that_loses_or_invents_words_is_refused(text: str, reason: str) -> None:
    [event] = revised(text)
    assert isinstance(event, FactAdded)
    assert event.text == "Ann lives near the river since 2020."
    assert event.reason == reason


@pytest.mark.parametrize("text", ["", "Ann lives in Paris with Tom."])
def test_revision_without_the_new_information_adds_a_fact(text: str) -> None:
    [event] = revised(text)
    assert isinstance(event, FactAdded)


def test_revision_without_a_change_reaffirms() -> None:
    known = evolve(PARIS, text="Ann lives in Paris with Tom, near the river, since 2020.")
    [event] = revised(known.text, known)
    assert isinstance(event, FactReaffirmed)


# Invalid decisions


@pytest.mark.parametrize("decision", ["revise", "supersede", "reaffirm"])
@pytest.mark.parametrize("known", [[], [0], [-1], [2], [3], [10**9]])
def test_decision_about_an_unknown_number_is_refused(decision: str, known: list[int]) -> None:
    model = decided(decide(2, decision, *known, text="Ann lives in Paris with Tom. Berlin."))
    [event] = carried_out(BERLIN, [PARIS], model)
    assert isinstance(event, FactAdded)
    assert event.fact_id == BERLIN.fact_id
    assert "refused" in event.reason


@pytest.mark.parametrize("known", [[], [2], [7]])
def test_retraction_of_an_unknown_number_is_ignored(known: list[int]) -> None:
    assert carried_out(BERLIN, [PARIS], decided(decide(2, "retract", *known))) == []


@pytest.mark.parametrize(
    "decisions",
    [
        [],
        [decide(1, "retract", 1)],
        [decide(99, "supersede", 1)],
        [{"new": 2}],
        [{"new": 2, "decision": "delete", "known": [1]}],
        [{"new": "two", "decision": "supersede", "known": [1]}],
        [7, None, "supersede"],
        [{"new": 2, "decision": ["supersede"], "known": [1]}],
    ],
)
def test_candidate_with_a_malformed_decision_is_added(decisions: list[Any]) -> None:
    [event] = carried_out(BERLIN, [PARIS], decided(*decisions))
    assert isinstance(event, FactAdded)
    assert event.reason == "the model decided nothing about it"


@pytest.mark.parametrize("decision", ["revise", "supersede", "retract"])
def test_agents_statement_cannot_change_a_users_fact(decision: str) -> None:
    closed = evolve(BERLIN, agent_only=True, speaker="assistant", text="Assistant: Paris closed.")
    events = carried_out(
        closed, [PARIS], decided(decide(2, decision, 1, text="Ann lives in Paris with Tom closed."))
    )
    assert [event for event in events if not isinstance(event, FactAdded)] == []


def test_agents_statement_can_supersede_its_own_fact() -> None:
    said = evolve(PARIS, speaker="assistant", text="Assistant: Hotel Luna is open.")
    closed = evolve(BERLIN, agent_only=True, speaker="assistant", text="Assistant: it closed.")
    events = carried_out(closed, [said], decided(decide(2, "supersede", 1)))
    assert [type(event) for event in events] == [FactAdded, FactSuperseded]


# Failures


@pytest.mark.parametrize("raw", ["No.", '{"decisions": 7}', "{"])
def test_answer_without_a_list_is_recorded_and_decides_nothing(raw: str) -> None:
    found = reconciled([BERLIN], [PARIS], ScriptedModel(raw))
    assert isinstance(found.failure, ModelError)
    assert found.proposals == ()
    assert [(item.outcome, item.output) for item in found.inferences] == [(Outcome.VAIN, raw)]


def test_list_of_decisions_that_was_cut_off_decides_nothing() -> None:
    whole = json.dumps({"decisions": [decide(3, "add"), decide(4, "supersede", 1)]})
    other = candidate(8, "Ann's flat is in Rome.", slot="ann/residence")

    cut = reconciled([other, BERLIN], [PARIS], ScriptedModel(whole[:-40]))
    enough = reconciled([other], [PARIS], ScriptedModel(whole.replace("3", "2")[:-40]))

    assert isinstance(cut.failure, ModelError)
    assert cut.proposals == ()
    assert [item.outcome for item in cut.inferences] == [Outcome.VAIN]
    assert enough.failure is None
    assert [item.decision for item in enough.proposals] == [Decision.ADD]


@pytest.mark.parametrize(
    ("error", "recorded"),
    [(ModelError("refused"), 1), (AdapterUnavailable("litellm", "down"), 0)],
)
def test_failing_model_decides_nothing(error: RemembrancerError, recorded: int) -> None:
    found = reconciled([BERLIN], [PARIS], ScriptedModel(error))
    assert found.failure is error
    assert len(found.inferences) == recorded


@pytest.mark.parametrize("name", ["shown", "max_output_tokens"])
def test_invalid_setting_is_refused_by_name(name: str) -> None:
    with pytest.raises(InvalidRequest, match=f"reconciler.{name}: expected 1 or more, got 0"):
        ModelReconciler(ScriptedModel(), ReconciliationSettings(**{name: 0}))


DECISIONS = st.builds(
    decide,
    st.integers(-1, 6),
    st.sampled_from([*Decision, "delete", ""]),
    st.integers(-1, 6),
    st.integers(-1, 6),
    text=st.none() | st.sampled_from([PARIS.text, BERLIN.text]) | st.text(max_size=20),
)


@given(st.lists(DECISIONS | st.none() | st.integers(), max_size=6))
def test_any_decisions_change_only_facts_in_the_prompt(decisions: list[Any]) -> None:
    bobs = fact(3, "Bob lives in Paris.", scope=Scope(user_id="bob"), slot="ann/residence")
    near = {item.fact_id: (item, 0.9) for item in (PARIS, bobs)}
    candidates = [BERLIN, candidate(8, "Ann lives in Rome.", slot="ann/residence")]
    model = ScriptedModel(json.dumps({"decisions": decisions}))
    found = run_inline(ModelReconciler(model).reconcile(candidates, [near] * 2))

    verdicts: list[Verdict] = [
        judge(item, proposal, known={PARIS.fact_id: PARIS}, messages={})
        for item, proposal in zip(candidates, found.proposals, strict=True)
    ]
    touched = {verdict.target for verdict in verdicts} | {
        other for verdict in verdicts for other in verdict.also_ended
    }
    assert touched <= {None, PARIS.fact_id}
