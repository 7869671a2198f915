"""The fold of events to facts, and the checks before a fact changes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

import pytest
from attrs import evolve, fields

from remembrancer.domain.conversation import Message, Role
from remembrancer.domain.errors import NotFound
from remembrancer.domain.events import (
    EVENT_TYPES,
    CandidatesSettled,
    CheckpointSealed,
    Event,
    FactAdded,
    FactCorrected,
    FactErased,
    FactExpired,
    FactReaffirmed,
    FactRestored,
    FactRetracted,
    FactRevised,
    FactsRivalled,
    FactSuperseded,
    FactUnblocked,
    FeedbackGiven,
    InferenceRecorded,
    LedgerErased,
    MessageObserved,
    PipelineDescribed,
    RelationAsserted,
    RelationEnded,
    RelationReopened,
    StatementMade,
)
from remembrancer.domain.facts.evolve import fact_id_of, fold
from remembrancer.domain.facts.fact import (
    Evidence,
    Fact,
    FactId,
    FactStatus,
    Interval,
    MessageId,
    Statement,
)
from remembrancer.domain.recorded import Recorded
from remembrancer.domain.scope import Scope
from remembrancer.testing.given import START as NOON
from remembrancer.testing.given import Command, given, update, withdraw

TEA, OTHER = FactId("1" * 32), FactId("2" * 32)
MESSAGE = MessageId("a" * 32)
LATER = NOON + timedelta(hours=1)
SCOPE = Scope(user_id="alice", run_id="r")
ADDED = FactAdded(
    fact_id=TEA,
    scope=SCOPE,
    text="I like tea",
    metadata={"topic": "drinks"},
    evidence=(Evidence(message_id=MESSAGE, quote="tea"),),
    speaker="Alice",
    entities=("tea",),
    slot="alice/drink",
    occurred_at=NOON - timedelta(days=1),
    valid=Interval(start=NOON - timedelta(days=1)),
    expires_at=NOON + timedelta(days=9),
)
OBSERVED = MessageObserved(
    message=Message(
        message_id=MESSAGE, scope=SCOPE, role=Role.USER, text="I like tea", occurred_at=NOON
    )
)
INFERRED = InferenceRecorded(
    purpose="extraction", model="m", prompt_digest="", output="", messages=(MESSAGE,)
)
ABOUT_TEA: list[Event] = [
    FactRevised(fact_id=TEA, text="I like green tea"),
    FactSuperseded(fact_id=TEA, by=OTHER, ended_at=LATER),
    FactReaffirmed(fact_id=TEA),
    FactRetracted(fact_id=TEA),
    FactExpired(fact_id=TEA),
    FeedbackGiven(fact_id=TEA, score=1),
]
OF_ANY_STATUS: list[Event] = [
    FactRestored(fact_id=TEA, to_version=1),
    FactCorrected(fact_id=TEA, version=1, text="I liked tea"),
    FactsRivalled(one=TEA, other=OTHER),
    FactUnblocked(fact_id=TEA),
]
"""See ``test_restored_corrected_rivalled`` and ``test_blocked_facts``."""

ABOUT_NO_STATE: list[Event] = [
    OBSERVED,
    INFERRED,
    RelationAsserted(
        relation_id="3" * 32, scope=SCOPE, subject="Alice", predicate="likes", object="tea"
    ),
    RelationAsserted(
        relation_id="3" * 32,
        scope=SCOPE,
        subject="Alice",
        predicate="likes",
        object="tea",
        fact_id=TEA,
    ),
    RelationEnded(relation_id="3" * 32, ended_at=LATER),
    RelationReopened(relation_id="3" * 32),
    StatementMade(
        scope=SCOPE,
        statement=Statement(subject="Alice", predicate="likes", value="tea"),
        text="Alice likes tea",
        occurred_at=NOON,
    ),
    PipelineDescribed(digest="d", software="s", extractor={}, reconciler={}, embedder={}),
    CandidatesSettled(pipeline="d", decided_at=NOON, embedded=True),
    FactErased(fact_id=TEA, versions=(1,)),
    LedgerErased(),
    CheckpointSealed(origin="o", size=1, root="r", signature="s"),
]


def recorded(*events: Event) -> Sequence[Recorded]:
    """The events as recorded, one per hour from noon on."""
    return given(*events).ledger.history


def after(*events: Event) -> Fact:
    """The latest version of the fact after the events."""
    return given(*events).ledger.fact(TEA)


def facts(*events: Event) -> Mapping[FactId, Sequence[Fact]]:
    """All versions of all facts after the events."""
    return given(*events).ledger.state.facts


# change_of, for each event type


def test_added_fact_has_all_fields_of_its_event() -> None:
    fact = after(ADDED)
    assert fact == Fact(
        fact_id=TEA,
        version=1,
        scope=SCOPE,
        text="I like tea",
        metadata={"topic": "drinks"},
        evidence=(Evidence(message_id=MESSAGE, quote="tea"),),
        speaker="Alice",
        entities=("tea",),
        slot="alice/drink",
        occurred_at=NOON - timedelta(days=1),
        created_at=NOON,
        valid=Interval(start=NOON - timedelta(days=1)),
        recorded=Interval(start=NOON),
        expires_at=NOON + timedelta(days=9),
    )


def test_every_field_of_fact_added_except_reason_is_in_the_fact() -> None:
    # A field that is added to the event but not to the fact would be lost
    said = {field.name for field in fields(FactAdded)} - {"reason"}
    fact = after(ADDED)
    assert {name: getattr(fact, name) for name in said} == {
        name: getattr(ADDED, name) for name in said
    }


def test_second_addition_of_a_fact_changes_nothing() -> None:
    assert facts(ADDED, evolve(ADDED, text="something else")) == facts(ADDED)


def test_revision_replaces_only_the_fields_that_it_sets() -> None:
    evidence = Evidence(message_id=MessageId("b" * 32))
    revised = after(ADDED, FactRevised(fact_id=TEA, text="I like green tea", evidence=(evidence,)))
    assert revised.text == "I like green tea"
    assert revised.evidence == (*ADDED.evidence, evidence)
    assert (revised.metadata, revised.entities, revised.expires_at) == (
        ADDED.metadata,
        ADDED.entities,
        ADDED.expires_at,
    )
    bare = after(ADDED, FactRevised(fact_id=TEA, metadata={}, entities=(), expires_at=LATER))
    assert (bare.text, bare.metadata, bare.entities, bare.expires_at) == (
        "I like tea",
        {},
        (),
        LATER,
    )


def test_supersession_ends_the_valid_interval_and_names_the_successor() -> None:
    fact = after(ADDED, FactSuperseded(fact_id=TEA, by=OTHER, ended_at=LATER))
    assert (fact.status, fact.superseded_by) == (FactStatus.SUPERSEDED, OTHER)
    assert fact.valid == Interval(start=ADDED.valid.start, end=LATER)
    assert fact.text == "I like tea"


def test_reaffirmation_is_counted_and_adds_new_evidence_once() -> None:
    more = Evidence(message_id=MessageId("b" * 32))
    again = FactReaffirmed(fact_id=TEA, evidence=(*ADDED.evidence, more))
    fact = after(ADDED, again, again)
    assert fact.reaffirmed == 2
    assert fact.evidence == (*ADDED.evidence, more)


def test_retraction_and_expiry_set_the_status() -> None:
    assert after(ADDED, FactRetracted(fact_id=TEA)).status is FactStatus.RETRACTED
    assert after(ADDED, FactExpired(fact_id=TEA)).status is FactStatus.EXPIRED


def test_feedback_scores_are_summed() -> None:
    up, down = FeedbackGiven(fact_id=TEA, score=1), FeedbackGiven(fact_id=TEA, score=-1)
    assert after(ADDED, up, up, down).feedback == 1


@pytest.mark.parametrize("event", ABOUT_TEA, ids=lambda event: type(event).__name__)
def test_change_ends_one_version_when_the_next_begins(event: Event) -> None:
    (first,) = facts(ADDED)[TEA]
    before, latest = facts(ADDED, event)[TEA]
    assert before == evolve(first, recorded=Interval(start=NOON, end=LATER))
    assert latest.recorded == Interval(start=LATER)
    assert (latest.version, latest.created_at) == (2, NOON)


# Events without effect


@pytest.mark.parametrize("event", ABOUT_TEA, ids=lambda event: type(event).__name__)
def test_event_about_an_unknown_fact_changes_nothing(event: Event) -> None:
    assert facts(event) == {}


@pytest.mark.parametrize("late", ABOUT_TEA, ids=lambda event: type(event).__name__)
@pytest.mark.parametrize(
    "ending",
    [event for event in ABOUT_TEA if type(event) in (FactSuperseded, FactRetracted, FactExpired)],
    ids=lambda event: type(event).__name__,
)
def test_event_about_an_ended_fact_changes_nothing(ending: Event, late: Event) -> None:
    assert facts(ADDED, ending, late) == facts(ADDED, ending)


@pytest.mark.parametrize("event", ABOUT_NO_STATE, ids=lambda event: type(event).__name__)
def test_other_events_do_not_change_facts(event: Event) -> None:
    assert facts(ADDED, event) == facts(ADDED)


def test_event_of_an_unknown_class_changes_no_fact() -> None:
    # Given an event class of a later release, with a fact id
    class FactSharpened:
        fact_id = TEA

    born, revised = recorded(ADDED, FactRevised(fact_id=TEA, text="x"))
    unknown: Any = evolve(revised, event=FactSharpened())
    # When it is folded
    state = fold([born, unknown])
    # Then the ledger version grows, and the facts are unchanged
    assert state.facts == fold([born]).facts
    assert state.version == 2


def test_every_event_type_is_in_the_tables_above() -> None:
    tested = {type(event) for event in [ADDED, *ABOUT_TEA, *OF_ANY_STATUS, *ABOUT_NO_STATE]}
    assert tested == set(EVENT_TYPES)


def test_a_fact_is_found_by_the_id_in_its_events() -> None:
    assert {fact_id_of(event) for event in [ADDED, *ABOUT_TEA]} == {TEA}
    assert fact_id_of(OBSERVED) is None


# fold


def pending(*events: Event) -> frozenset[MessageId]:
    return given(*events).ledger.state.pending


def test_messages_are_pending_until_an_inference_names_them() -> None:
    assert pending(OBSERVED) == {MESSAGE}
    assert pending(evolve(OBSERVED, extract=False)) == set()
    assert pending(OBSERVED, INFERRED) == set()
    assert pending(OBSERVED, evolve(INFERRED, messages=())) == {MESSAGE}


def test_fold_continues_from_a_state_without_changing_it() -> None:
    history = recorded(OBSERVED, ADDED, FactReaffirmed(fact_id=TEA), INFERRED)
    early = fold(history[:2])
    whole = fold(history[2:], early)
    assert whole == fold(history)
    assert early == fold(history[:2])
    assert (early.version, whole.version) == (2, 4)
    assert [fact.version for fact in whole.current()] == [2]


# Decisions


def test_update_event_has_only_the_changed_fields() -> None:
    given(ADDED).when(update(TEA, text="I like green tea", reason="typo")).then(
        FactRevised(fact_id=TEA, text="I like green tea", reason="typo")
    )
    given(ADDED).when(update(TEA, text="I like tea", metadata={"a": 1})).then(
        FactRevised(fact_id=TEA, metadata={"a": 1})
    )


@pytest.mark.parametrize(
    ("text", "metadata"),
    [
        (None, None),
        ("I like tea", None),
        (None, {"topic": "drinks"}),
        ("I like tea", {"topic": "drinks"}),
    ],
)
def test_update_that_changes_nothing_makes_no_event(
    text: str | None, metadata: dict[str, Any] | None
) -> None:
    given(ADDED).when(update(TEA, text=text, metadata=metadata)).then_nothing()


@pytest.mark.parametrize(
    ("held", "corrected"),
    [
        ({"a": 1}, {"a": True}),
        ({"a": 0}, {"a": False}),
        ({"a": [1]}, {"a": [True]}),
        ({"a": {"b": [{"c": 1}]}}, {"a": {"b": [{"c": True}]}}),
        ({"a": 1}, {"a": 1.0}),
        ({"a": None}, {}),
        ({}, {"a": None}),
        ({"a": [1, 2]}, {"a": [2, 1]}),
        ({"a": [1]}, {"a": [1, 1]}),
        ({"a": {}}, {"a": []}),
    ],
)
def test_metadata_of_another_type_is_a_change_even_if_equal_in_python(
    held: dict[str, Any], corrected: dict[str, Any]
) -> None:
    given(evolve(ADDED, metadata=held)).when(update(TEA, metadata=corrected)).then(
        FactRevised(fact_id=TEA, metadata=corrected)
    )


def test_order_of_metadata_keys_is_no_change() -> None:
    held = {"a": 1, "b": [1, {"c": 2, "d": 3}]}
    same = {"b": (1, {"d": 3, "c": 2}), "a": 1}
    given(evolve(ADDED, metadata=held)).when(update(TEA, metadata=same)).then_nothing()


def test_active_fact_can_be_retracted() -> None:
    given(ADDED).when(withdraw(TEA, reason="wrong")).then(
        FactRetracted(fact_id=TEA, reason="wrong")
    ).then_facts()


@pytest.mark.parametrize(
    ("ending", "status"),
    [
        (FactRetracted(fact_id=TEA), "retracted"),
        (FactExpired(fact_id=TEA), "expired"),
        (FactSuperseded(fact_id=TEA, ended_at=LATER), "superseded"),
    ],
)
@pytest.mark.parametrize("command", [update(TEA, text="x"), withdraw(TEA)])
def test_ended_fact_cannot_be_updated_or_retracted(
    command: Command, ending: Event, status: str
) -> None:
    given(ADDED, ending).when(command).then_refused(
        NotFound, f"fact {TEA} is {status}, only its history can be read"
    )
