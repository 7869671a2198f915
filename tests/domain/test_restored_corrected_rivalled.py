"""Events that reach facts of any status: restored, corrected, rivals; and reopened relations."""

from __future__ import annotations

from datetime import timedelta

import pytest
from attrs import evolve

from remembrancer.adapters.stores.memory.audit_log import InMemoryAuditLog
from remembrancer.domain.events import (
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
    RelationAsserted,
    RelationEnded,
    RelationReopened,
)
from remembrancer.domain.facts.evolve import LedgerState, fold
from remembrancer.domain.facts.fact import Fact, FactId, FactStatus, Interval, Statement
from remembrancer.domain.graph.graph import Mention, Relation
from remembrancer.domain.graph.link_history import Links
from remembrancer.domain.recorded import Recorded
from remembrancer.domain.scope import Scope
from remembrancer.testing.audit_log import ALICE, NOON, append_of

OSLO, ROME = FactId("1" * 32), FactId("2" * 32)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
ADDED = FactAdded(
    fact_id=OSLO,
    scope=Scope(user_id="alice"),
    text="I live in Oslo",
    speaker="Alice",
    entities=("Alice", "Oslo"),
    slot="alice/residence",
    occurred_at=NOON - DAY,
    valid=Interval(start=NOON - DAY),
)
RIVAL = evolve(ADDED, fact_id=ROME, text="I live in Rome", entities=("Alice", "Rome"))
RIVALLED = FactsRivalled(one=OSLO, other=ROME, slot="alice/residence", reason="nobody said which")
RELATION = RelationAsserted(
    relation_id="9" * 32,
    scope=ADDED.scope,
    subject="Alice",
    predicate="lives in",
    object="Oslo",
    fact_id=OSLO,
)
ENDINGS: list[Event] = [
    FactSuperseded(fact_id=OSLO, by=ROME, ended_at=NOON),
    FactRetracted(fact_id=OSLO),
    FactExpired(fact_id=OSLO),
]


def history(*events: Event) -> list[Recorded]:
    """The events, an hour apart."""
    log = InMemoryAuditLog()
    for number, event in enumerate(events):
        log.append(append_of([event], at=NOON + number * HOUR))
    return list(log.read_ledger(ALICE))


def state(*events: Event) -> LedgerState:
    return fold(history(*events))


def latest(fact_id: FactId, *events: Event) -> Fact:
    return state(*events).facts[fact_id][-1]


def named(event: Event) -> str:
    return type(event).__name__


# Restored


@pytest.mark.parametrize("ending", ENDINGS, ids=named)
def test_an_ended_fact_is_restored_to_what_it_was(ending: Event) -> None:
    restored = latest(OSLO, ADDED, ending, FactRestored(fact_id=OSLO, to_version=1, reason="undo"))
    first = latest(OSLO, ADDED)
    assert (restored.version, restored.reason) == (3, "undo")
    assert restored.recorded == Interval(start=NOON + 2 * HOUR)
    assert evolve(restored, version=1, recorded=first.recorded, reason=first.reason) == first


def test_restoring_an_earlier_text_keeps_the_later_versions() -> None:
    versions = state(
        ADDED,
        FactRevised(fact_id=OSLO, text="I live in Oslo, Norway"),
        FactRestored(fact_id=OSLO, to_version=1),
    ).facts[OSLO]
    assert [fact.text for fact in versions] == [
        "I live in Oslo",
        "I live in Oslo, Norway",
        "I live in Oslo",
    ]


def test_a_version_that_never_was_restores_nothing() -> None:
    for number in (0, 2, -1):
        restore = FactRestored(fact_id=OSLO, to_version=number)
        assert state(ADDED, restore).facts == state(ADDED).facts
    unknown = FactRestored(fact_id=ROME, to_version=1)
    assert state(ADDED, unknown).facts == state(ADDED).facts


# Corrected


@pytest.mark.parametrize("ending", ENDINGS, ids=named)
def test_a_fact_of_any_status_is_corrected(ending: Event) -> None:
    lived = Statement(subject="Alice", predicate="lived in", value="Oslo")
    correction = FactCorrected(
        fact_id=OSLO,
        version=2,
        text="I lived in Oslo",
        statement=lived,
        entities=("Oslo",),
        valid=(Interval(start=NOON - DAY, end=NOON - HOUR),),
        reason="wrong end",
    )
    before = latest(OSLO, ADDED, ending)
    after = latest(OSLO, ADDED, ending, correction)
    assert after.status is before.status
    assert (after.text, after.statement, after.entities) == ("I lived in Oslo", lived, ("Oslo",))
    assert after.valid == Interval(start=NOON - DAY, end=NOON - HOUR)
    # What was believed before stays
    assert state(ADDED, ending, correction).facts[OSLO][1] == evolve(
        before, recorded=Interval(start=before.recorded.start, end=NOON + 2 * HOUR)
    )


def test_a_correction_leaves_alone_what_it_does_not_name() -> None:
    bare = latest(OSLO, ADDED, FactCorrected(fact_id=OSLO, version=1))
    first = latest(OSLO, ADDED)
    assert evolve(bare, version=1, recorded=first.recorded) == first


def test_a_superseded_fact_without_an_end_is_active_again() -> None:
    reopened = latest(
        OSLO,
        ADDED,
        ENDINGS[0],
        FactCorrected(fact_id=OSLO, version=2, valid=(Interval(start=NOON - DAY),)),
    )
    assert (reopened.status, reopened.superseded_by) == (FactStatus.ACTIVE, None)


@pytest.mark.parametrize("ending", ENDINGS[1:], ids=named)
def test_a_correction_does_not_bring_back_what_was_withdrawn(ending: Event) -> None:
    active = FactCorrected(fact_id=OSLO, version=2, status=FactStatus.ACTIVE)
    assert latest(OSLO, ADDED, ending, active).status is latest(OSLO, ADDED, ending).status


def test_a_stay_interrupts_a_fact_and_lets_it_resume() -> None:
    spans = (
        Interval(start=NOON - DAY, end=NOON),
        Interval(start=NOON + HOUR, end=NOON + 2 * HOUR),
        Interval(start=NOON + 3 * HOUR),
    )
    fact = latest(OSLO, ADDED, FactCorrected(fact_id=OSLO, version=1, valid=spans))
    assert fact.valid == Interval(start=NOON - DAY)
    assert fact.intervals == spans
    moments = [NOON + number * HOUR for number in range(-25, 5)]
    for moment in moments:
        held = any(span.contains(moment) for span in spans)
        assert fact.holds_at(moment) == held
        assert fact.visible(now=NOON, as_of=None, valid_at=moment) == held


# Rivals


def test_rivals_name_each_other_in_versions_of_their_own() -> None:
    facts = state(ADDED, RIVAL, RIVALLED).facts
    assert [fact.rivals for fact in facts[OSLO]] == [(), (ROME,)]
    assert [fact.rivals for fact in facts[ROME]] == [(), (OSLO,)]
    assert {facts[OSLO][-1].reason, facts[ROME][-1].reason} == {"nobody said which"}
    # As of before, there was no rivalry
    assert facts[OSLO][0].recorded == Interval(start=NOON, end=NOON + 2 * HOUR)


@pytest.mark.parametrize("ending", ENDINGS, ids=named)
@pytest.mark.parametrize("ended", [OSLO, ROME])
def test_a_rivalry_ends_with_either_fact(ending: Event, ended: FactId) -> None:
    facts = state(ADDED, RIVAL, RIVALLED, evolve(ending, fact_id=ended)).facts
    assert [facts[OSLO][-1].rivals, facts[ROME][-1].rivals] == [(), ()]
    other = ROME if ended == OSLO else OSLO
    assert facts[other][-1].status is FactStatus.ACTIVE
    assert facts[other][-1].recorded.start == facts[ended][-1].recorded.start


def test_a_third_rival_stays_when_one_ends() -> None:
    third = FactId("3" * 32)
    facts = state(
        ADDED,
        RIVAL,
        evolve(ADDED, fact_id=third, text="I live in Bern"),
        RIVALLED,
        FactsRivalled(one=third, other=OSLO),
        FactRetracted(fact_id=ROME),
    ).facts
    assert facts[OSLO][-1].rivals == (third,)
    assert facts[third][-1].rivals == (OSLO,)


@pytest.mark.parametrize(
    "events",
    [
        [ADDED, RIVALLED],
        [ADDED, RIVAL, FactRetracted(fact_id=ROME), RIVALLED],
        [ADDED, RIVAL, FactsRivalled(one=OSLO, other=OSLO)],
        [ADDED, RIVAL, RIVALLED, FactsRivalled(one=ROME, other=OSLO)],
    ],
    ids=["unknown", "ended", "itself", "again"],
)
def test_a_rivalry_that_can_not_be_changes_nothing(events: list[Event]) -> None:
    assert state(*events).facts == state(*events[:-1]).facts


def test_a_restored_fact_has_no_rivals_of_its_past() -> None:
    restored = latest(
        OSLO,
        ADDED,
        RIVAL,
        RIVALLED,
        FactRetracted(fact_id=OSLO),
        FactRestored(fact_id=OSLO, to_version=2),
    )
    assert (restored.status, restored.rivals) == (FactStatus.ACTIVE, ())


def test_reaffirming_keeps_the_rivals() -> None:
    assert latest(OSLO, ADDED, RIVAL, RIVALLED, FactReaffirmed(fact_id=OSLO)).rivals == (ROME,)


# The graph


def links(*events: Event) -> Links:
    found = Links()
    for item in history(*events):
        found.apply(item)
    return found


def relation(found: Links) -> Relation:
    link = found.history["relation", RELATION.relation_id][-1]
    assert isinstance(link, Relation)
    return link


def mention(found: Links) -> Mention:
    link = found.history["fact", OSLO][-1]
    assert isinstance(link, Mention)
    return link


RESTORED = FactRestored(
    fact_id=OSLO, to_version=1, entities=ADDED.entities, valid=ADDED.valid, reason="undo"
)


@pytest.mark.parametrize("ending", ENDINGS, ids=named)
def test_a_restored_fact_and_its_reopened_relation_hold_again(ending: Event) -> None:
    reopened = RelationReopened(relation_id=RELATION.relation_id, valid=ADDED.valid)
    found = links(ADDED, RELATION, ending, RESTORED, reopened)
    assert mention(found).open
    assert relation(found).open
    assert (mention(found).valid, relation(found).valid) == (ADDED.valid, ADDED.valid)
    # And they end together again
    assert not relation(links(ADDED, RELATION, ending, RESTORED, reopened, ending)).open


def test_a_relation_that_was_ended_by_itself_is_reopened() -> None:
    ended = RelationEnded(relation_id=RELATION.relation_id, ended_at=NOON)
    reopened = RelationReopened(relation_id=RELATION.relation_id)
    assert not relation(links(ADDED, RELATION, ended)).open
    assert relation(links(ADDED, RELATION, ended, reopened)).open


def test_reopening_an_open_relation_changes_nothing() -> None:
    reopened = RelationReopened(relation_id=RELATION.relation_id, valid=Interval(end=NOON))
    assert links(ADDED, RELATION, reopened).history == links(ADDED, RELATION).history


def test_a_corrected_interval_moves_the_relations_that_had_it() -> None:
    own = evolve(RELATION, relation_id="8" * 32, valid=Interval(start=NOON - 2 * DAY))
    spans = (Interval(start=NOON - DAY, end=NOON), Interval(start=NOON + HOUR))
    found = links(ADDED, RELATION, own, FactCorrected(fact_id=OSLO, version=1, valid=spans))
    assert relation(found).interruptions == (Interval(start=NOON, end=NOON + HOUR),)
    assert not relation(found).holds_at(NOON)
    assert mention(found).interruptions == relation(found).interruptions
    assert found.history["relation", "8" * 32][-1].valid == own.valid


def test_restoring_to_a_withdrawn_version_withdraws_the_mention_and_its_relations() -> None:
    reopened = RelationReopened(relation_id=RELATION.relation_id, valid=ADDED.valid)
    events = (ADDED, RELATION, FactRetracted(fact_id=OSLO), RESTORED, reopened)
    back = FactRestored(fact_id=OSLO, to_version=2, status=FactStatus.RETRACTED)
    found = links(*events, back)
    assert not mention(found).believed
    assert not relation(found).believed


def test_a_reopened_relation_has_the_name_the_interruptions_and_the_expiry_of_the_event() -> None:
    ended = RelationEnded(relation_id=RELATION.relation_id, ended_at=NOON)
    reopened = RelationReopened(
        relation_id=RELATION.relation_id,
        object="Bergen",
        valid=ADDED.valid,
        interruptions=(Interval(start=NOON, end=NOON + HOUR),),
        expires_at=NOON + DAY,
    )
    again = relation(links(ADDED, RELATION, ended, reopened))
    assert (again.object, again.expires_at) == ("Bergen", NOON + DAY)
    assert not again.holds_at(NOON)
    assert again.holds_at(NOON + HOUR)
