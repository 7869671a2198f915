"""The contract of ``FactStore``: its facts equal the fold of the log."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from remembrancer.application.reconciliation.ending_keys import ending_key
from remembrancer.domain.conversation import Message, Role
from remembrancer.domain.events import (
    Event,
    FactAdded,
    FactExpired,
    FactReaffirmed,
    FactRetracted,
    FactRevised,
    FactsRivalled,
    FactSuperseded,
    FactUnblocked,
    InferenceRecorded,
    MessageObserved,
)
from remembrancer.domain.facts.evolve import fold
from remembrancer.domain.facts.fact import (
    Evidence,
    Fact,
    FactId,
    FactStatus,
    Interval,
    ListedStatus,
    MessageId,
)
from remembrancer.domain.filters.parse import parse_filter
from remembrancer.domain.ports.fact_store import FactQuery, Order
from remembrancer.domain.recorded import Position
from remembrancer.domain.scope import LedgerId, Scope
from remembrancer.testing.audit_log import ALICE, NOON, append_of, fact_added, new_id
from remembrancer.testing.driving import Driven

LATER = NOON + timedelta(hours=1)
SCOPE = Scope(user_id="alice")


def said(text: str) -> Message:
    """A message by Alice."""
    return Message(
        message_id=MessageId(new_id()), scope=SCOPE, role=Role.USER, text=text, occurred_at=NOON
    )


class FactStoreContract:
    """Inherit and implement ``make_stores``."""

    def make_stores(self, tmp_path: Path) -> tuple[Any, Any]:
        """A fresh log, and the fact store that applies its appends."""
        raise NotImplementedError

    @pytest.fixture(autouse=True)
    def _stores(self, tmp_path: Path) -> None:
        log, facts = self.make_stores(tmp_path)
        self.log, self.facts = Driven(log), Driven(facts)

    def given(self, *events: Event, ledger: LedgerId = ALICE, hours: float = 0) -> None:
        """Append events in one append, ``hours`` after noon."""
        self.log.append(append_of(events, ledger=ledger, at=NOON + timedelta(hours=hours)))

    def found(self, **changes: Any) -> Sequence[Fact]:
        """List Alice's facts, an hour after noon unless changed."""
        listing: Sequence[Fact] = self.facts.find(
            evolve(FactQuery(scope=SCOPE, now=LATER, order=Order.CREATED), **changes)
        )
        return listing

    def texts(self, **changes: Any) -> list[str]:
        """The texts of ``found``."""
        return [fact.text for fact in self.found(**changes)]

    # History

    def test_every_version_is_kept_and_equals_the_fold(self) -> None:
        added = fact_added("one")
        self.given(added)
        self.given(FactRevised(fact_id=added.fact_id, text="two"), hours=1)
        self.given(FactReaffirmed(fact_id=added.fact_id), hours=2)
        self.given(FactRetracted(fact_id=added.fact_id), hours=3)
        versions = self.facts.versions(added.fact_id)
        assert [(fact.version, fact.text, fact.status) for fact in versions] == [
            (1, "one", FactStatus.ACTIVE),
            (2, "two", FactStatus.ACTIVE),
            (3, "two", FactStatus.ACTIVE),
            (4, "two", FactStatus.RETRACTED),
        ]
        assert tuple(versions) == fold(self.log.read_ledger(ALICE)).facts[added.fact_id]

    def test_events_about_ended_or_unknown_facts_change_nothing(self) -> None:
        added = fact_added()
        self.given(added, FactRetracted(fact_id=added.fact_id))
        self.given(FactRevised(fact_id=added.fact_id, text="too late"))
        self.given(FactReaffirmed(fact_id=FactId(new_id())))
        assert len(self.facts.versions(added.fact_id)) == 2
        assert self.texts() == []

    def test_an_unknown_fact_has_no_versions(self) -> None:
        assert list(self.facts.versions(FactId(new_id()))) == []

    def test_versions_are_loaded_in_the_order_asked_for(self) -> None:
        one, two = fact_added("one"), fact_added("two")
        self.given(one, two)
        keys = [(two.fact_id, 1), (FactId(new_id()), 1), (one.fact_id, 1), (one.fact_id, 9)]
        assert [fact.text for fact in self.facts.load(keys)] == ["two", "one"]

    # Valid time and transaction time

    def test_superseded_fact_is_listed_only_for_its_time(self) -> None:
        old, new = fact_added("lives in Paris"), fact_added("lives in Berlin")
        self.given(old)
        self.given(
            new,
            FactSuperseded(fact_id=old.fact_id, by=new.fact_id, ended_at=LATER),
            hours=1,
        )
        two = NOON + timedelta(hours=2)
        assert self.texts(now=two) == ["lives in Berlin"]
        assert self.texts(now=two, valid_at=NOON) == ["lives in Paris", "lives in Berlin"]
        assert self.texts(now=NOON, as_of=NOON) == ["lives in Paris"]

    def test_as_of_lists_the_facts_of_that_time(self) -> None:
        added = fact_added("first")
        self.given(added)
        self.given(FactRevised(fact_id=added.fact_id, text="second"), hours=1)
        self.given(FactRetracted(fact_id=added.fact_id), hours=2)
        at = [NOON + timedelta(hours=hours) for hours in (-1, 0.5, 1.5, 2.5)]
        assert [self.texts(now=moment, as_of=moment) for moment in at] == [
            [],
            ["first"],
            ["second"],
            [],
        ]

    def test_valid_at_is_strict_and_without_it_future_facts_are_listed(self) -> None:
        plan = evolve(fact_added("will move"), valid=Interval(start=NOON + timedelta(days=9)))
        self.given(plan)
        assert self.texts() == ["will move"]
        assert self.texts(valid_at=LATER) == []
        assert self.texts(valid_at=NOON + timedelta(days=10)) == ["will move"]

    def test_fact_is_not_listed_after_it_expires(self) -> None:
        self.given(evolve(fact_added("brief"), expires_at=LATER))
        assert self.texts(now=NOON) == ["brief"]
        assert self.texts(now=LATER) == []

    def test_due_fact_is_returned_until_it_is_recorded_as_expired(self) -> None:
        brief = evolve(fact_added("brief"), expires_at=LATER)
        self.given(brief, fact_added("lasting"))
        assert [fact.text for fact in self.facts.due(ALICE, NOON)] == []
        assert [fact.text for fact in self.facts.due(ALICE, LATER)] == ["brief"]
        self.given(FactExpired(fact_id=brief.fact_id), hours=1)
        assert list(self.facts.due(ALICE, LATER)) == []

    def test_a_fact_dated_after_its_recording_is_listed_as_of_then(self) -> None:
        self.given(evolve(fact_added("planned"), occurred_at=NOON + timedelta(days=9)))
        self.given(evolve(fact_added("later"), occurred_at=NOON - timedelta(days=9)), hours=1)
        for order in Order:
            assert self.texts(now=NOON, as_of=NOON, order=order) == ["planned"]

    # Scope, filters, order

    def test_scope_lists_only_the_facts_that_it_covers(self) -> None:
        def of(text: str, **ids: str) -> FactAdded:
            return evolve(fact_added(text), scope=Scope(**ids))

        self.given(
            of("alone", user_id="alice"),
            of("in a run", user_id="alice", run_id="r"),
            of("for an app", user_id="alice", app_id="a", run_id="r"),
        )
        self.given(of("bob's", user_id="bob"), ledger=LedgerId("user:bob"))
        assert set(self.texts()) == {"alone", "in a run", "for an app"}
        in_run = self.texts(scope=Scope(user_id="alice", run_id="r"))
        assert set(in_run) == {"in a run", "for an app"}
        assert self.texts(scope=Scope(user_id="alice", app_id="b")) == []
        assert self.texts(scope=Scope(user_id="alice' OR '1'='1")) == []

    def test_filters_match_metadata_and_built_in_fields(self) -> None:
        self.given(
            evolve(fact_added("tea"), metadata={"topic": "drinks", "score": 3}, speaker="Alice"),
            evolve(fact_added("chess"), metadata={"topic": "games", "score": 5}),
        )
        assert self.texts(where=parse_filter({"topic": "games"})) == ["chess"]
        assert self.texts(where=parse_filter({"score": {"lt": 4}})) == ["tea"]
        assert self.texts(where=parse_filter({"speaker": "Alice"})) == ["tea"]
        assert self.texts(where=parse_filter({"NOT": {"topic": "games"}})) == ["tea"]

    @pytest.mark.parametrize("order", list(Order))
    def test_pages_in_any_order_hold_every_fact_once(self, order: Order) -> None:
        for hour in range(7):
            self.given(
                evolve(fact_added(f"fact {hour}"), occurred_at=NOON - timedelta(hours=hour % 3)),
                hours=hour / 10,
            )
        whole = self.found(order=order)
        field = order.value.lstrip("-")
        paged: list[Fact] = []
        after = None
        while page := self.found(order=order, limit=2, after=after):
            paged.extend(page)
            after = (getattr(page[-1], field), page[-1].fact_id)
        assert paged == list(whole)
        keys = [(getattr(fact, field), fact.fact_id) for fact in whole]
        assert keys == sorted(keys, reverse=order.value.startswith("-"))
        assert len(keys) == 7

    def test_count_is_the_number_of_facts_in_all_pages(self) -> None:
        for hour in range(5):
            self.given(
                evolve(fact_added(f"fact {hour}"), metadata={"even": hour % 2 == 0}),
                hours=hour / 10,
            )
        query = FactQuery(scope=SCOPE, now=LATER, limit=2, after=(NOON, FactId(new_id())))
        assert self.facts.count(query) == 5
        assert self.facts.count(evolve(query, where=parse_filter({"even": True}))) == 3
        assert self.facts.count(evolve(query, as_of=NOON + timedelta(hours=0.1))) == 2
        assert self.facts.count(evolve(query, status=ListedStatus.RETRACTED)) == 0
        assert self.facts.count(evolve(query, scope=Scope(user_id="bob"))) == 0

    @pytest.mark.parametrize("status", ListedStatus)
    def test_facts_of_a_status_are_listed_by_what_became_of_them(
        self, status: ListedStatus
    ) -> None:
        kept = [fact_added(text) for text in ("active", "rival", "old", "gone", "brief", "due")]
        active, rival, old, gone, brief, due = kept
        stay = evolve(fact_added("stay"), valid=Interval(end=NOON))
        coming = evolve(fact_added("coming"), valid=Interval(start=LATER + timedelta(hours=9)))
        self.given(
            *(active, rival, old, gone, coming, stay),
            *(evolve(each, expires_at=LATER) for each in (brief, due)),
        )
        self.given(
            FactsRivalled(one=rival.fact_id, other=coming.fact_id),
            FactSuperseded(fact_id=old.fact_id, by=active.fact_id, ended_at=LATER),
            FactRetracted(fact_id=gone.fact_id),
            FactExpired(fact_id=brief.fact_id),
        )
        at = LATER + timedelta(minutes=1)
        for as_of in (None, at):
            for valid_at in (None, NOON - timedelta(hours=2), LATER + timedelta(hours=9)):
                times = {"now": at, "as_of": as_of, "valid_at": valid_at}
                expected = {
                    fact.text
                    for versions in fold(self.log.read_ledger(ALICE)).facts.values()
                    for fact in versions
                    if fact.listed(status, now=at, as_of=as_of, valid_at=valid_at)
                }
                assert set(self.texts(status=status, **times)) == expected
        assert (
            set(self.texts(status=status, now=at))
            == {
                "active": {"active", "rival", "coming"},
                "rival": {"rival", "coming"},
                "superseded": {"old", "stay"},
                "retracted": {"gone"},
                "expired": {"brief", "due"},
            }[status]
        )

    # Reads of the write path

    def test_active_facts_are_found_by_text_and_by_slot(self) -> None:
        tea = fact_added("I like tea.")
        home = evolve(fact_added("I live in Paris"), slot="alice/residence")
        gone = fact_added("I like TEA!")
        self.given(tea, home, gone, FactRetracted(fact_id=gone.fact_id))
        assert [f.text for f in self.facts.active(ALICE, ["i like  tea"], [])] == ["I like tea."]
        by_slot = self.facts.active(ALICE, [], ["alice/residence", "alice/employer"])
        assert [f.text for f in by_slot] == ["I live in Paris"]
        assert list(self.facts.active(LedgerId("user:bob"), ["I like tea."], [])) == []

    def test_active_facts_are_found_by_a_near_duplicate(self) -> None:
        self.given(fact_added("I am fond of Al."), fact_added("I am not fond of Al."))
        found = self.facts.active(ALICE, ["And I'm really fond of Al!"], [])
        assert [fact.text for fact in found] == ["I am fond of Al."]

    def test_active_endings_are_found_by_their_key(self) -> None:
        gone, tea = fact_added("I don't smoke."), fact_added("I quit drinking green tea in 2020.")
        self.given(fact_added("I no longer smoke."), tea, fact_added("I smoke."), gone)
        self.given(FactRetracted(fact_id=gone.fact_id))
        key = ending_key("I stopped smoking")
        assert key is not None
        assert [f.text for f in self.facts.endings(ALICE, [key])] == ["I no longer smoke."]
        found = self.facts.endings(ALICE, ["drink green tea", key, key, "smoke"])
        assert {f.text for f in found} == {"I no longer smoke.", tea.text}
        assert list(self.facts.endings(ALICE, [])) == []
        assert list(self.facts.endings(LedgerId("user:bob"), [key])) == []

    def test_revision_that_says_that_something_is_over_is_an_ending(self) -> None:
        tea = fact_added("I drink tea.")
        self.given(tea, FactRevised(fact_id=tea.fact_id, text="I no longer drink tea."))
        assert [f.version for f in self.facts.endings(ALICE, ["drink tea"])] == [2]

    def test_active_and_superseded_facts_are_found_by_slot(self) -> None:
        home, old = fact_added("I live in Paris"), fact_added("I live in Rome")
        gone = fact_added("I live in Oslo")
        self.given(*(evolve(each, slot="alice/residence") for each in (home, old, gone)))
        self.given(
            FactRetracted(fact_id=gone.fact_id),
            FactSuperseded(fact_id=old.fact_id, by=home.fact_id, ended_at=LATER),
        )
        found = self.facts.in_slots(ALICE, ["alice/residence", "alice/employer"])
        assert {(fact.text, fact.version) for fact in found} == {
            ("I live in Paris", 1),
            ("I live in Rome", 2),
        }
        assert list(self.facts.in_slots(ALICE, [])) == []
        assert list(self.facts.in_slots(LedgerId("user:bob"), ["alice/residence"])) == []

    def test_blocked_facts_are_found_until_they_are_unblocked(self) -> None:
        one, other, plain = fact_added("one"), fact_added("other"), fact_added("plain")
        self.given(one, other, plain, FactRetracted(fact_id=plain.fact_id))
        self.given(*(FactRetracted(fact_id=each.fact_id, block=True) for each in (one, other)))
        assert {fact.text for fact in self.facts.blocked(ALICE)} == {"one", "other"}
        assert list(self.facts.blocked(LedgerId("user:bob"))) == []
        self.given(FactUnblocked(fact_id=one.fact_id))
        assert [fact.text for fact in self.facts.blocked(ALICE)] == ["other"]

    def test_active_in_returns_active_facts_regardless_of_their_times(self) -> None:
        past = evolve(fact_added("lived there"), valid=Interval(end=NOON - timedelta(days=9)))
        brief = evolve(fact_added("brief"), expires_at=NOON)
        run = evolve(fact_added("in a run"), scope=Scope(user_id="alice", run_id="r"))
        gone, old = fact_added("gone"), fact_added("old")
        self.given(past, brief, run, gone, old)
        self.given(FactRetracted(fact_id=gone.fact_id))
        self.given(FactSuperseded(fact_id=old.fact_id, ended_at=LATER))
        assert [fact.text for fact in self.facts.active_in(SCOPE)] == [
            "lived there",
            "brief",
            "in a run",
        ]
        in_run = self.facts.active_in(Scope(user_id="alice", run_id="r"))
        assert [fact.text for fact in in_run] == ["in a run"]
        assert list(self.facts.active_in(Scope(user_id="bob"))) == []

    def test_messages_are_read_by_their_ids_within_their_ledger(self) -> None:
        one, two = said("one"), said("two")
        bobs = evolve(said("three"), scope=Scope(user_id="bob"))
        self.given(MessageObserved(message=one), MessageObserved(message=two, extract=False))
        self.given(MessageObserved(message=bobs), ledger=LedgerId("user:bob"))
        ids = [two.message_id, MessageId(new_id()), bobs.message_id, one.message_id]
        assert list(self.facts.messages(ALICE, ids)) == [two, one]
        assert list(self.facts.messages(LedgerId("user:bob"), ids)) == [bobs]
        assert list(self.facts.messages(ALICE, [])) == []
        assert list(self.facts.messages(LedgerId("user:carl"), ids)) == []

    def test_messages_are_pending_until_an_inference_names_them(self) -> None:
        one, two, verbatim = said("one"), said("two"), said("verbatim")
        self.given(MessageObserved(message=one), MessageObserved(message=two))
        self.given(MessageObserved(message=verbatim, extract=False))
        assert list(self.facts.pending(ALICE)) == [one, two]
        assert list(self.facts.pending(LedgerId("user:bob"))) == []
        self.given(
            InferenceRecorded(
                purpose="extraction",
                model="m",
                prompt_digest="",
                output="",
                messages=(one.message_id,),
            )
        )
        assert list(self.facts.pending(None)) == [two]
        request = self.log.read(Position(0))[0].correlation_id
        assert list(self.facts.unfinished(ALICE)) == [request]
        assert list(self.facts.unfinished(LedgerId("user:bob"))) == []
        tally = self.facts.tally(ALICE)
        assert (tally.messages, tally.pending) == (3, 1)

    def test_counts_are_by_the_status_of_the_latest_version(self) -> None:
        one, two = fact_added("one"), fact_added("two")
        self.given(one, two, FactRetracted(fact_id=one.fact_id))
        tally = self.facts.tally(None)
        assert dict(tally.facts) == {FactStatus.ACTIVE: 1, FactStatus.RETRACTED: 1}
        assert tally.versions == 3

    def test_evidence_is_collected_without_duplicates(self) -> None:
        evidence = Evidence(message_id=MessageId(new_id()), quote="tea")
        added = evolve(fact_added(), evidence=(evidence,))
        other = Evidence(message_id=MessageId(new_id()))
        self.given(added, FactReaffirmed(fact_id=added.fact_id, evidence=(evidence, other)))
        assert self.facts.versions(added.fact_id)[-1].evidence == (evidence, other)
