"""Every fact store equals the fold of the log, for any history, read in any pages."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

from attrs import evolve, frozen
from hypothesis import given
from hypothesis import strategies as st

from remembrancer.adapters.stores.memory.audit_log import InMemoryAuditLog
from remembrancer.adapters.stores.memory.fact_store import InMemoryFactStore
from remembrancer.adapters.stores.shared.codec import EventCodec
from remembrancer.adapters.stores.sqlite.audit_log import SqliteAuditLog, create_log
from remembrancer.adapters.stores.sqlite.database import Database, SqliteSettings
from remembrancer.adapters.stores.sqlite.fact_store import SqliteFactStore
from remembrancer.domain.conversation import Message, Role
from remembrancer.domain.events import (
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
    FeedbackGiven,
    InferenceRecorded,
    MessageObserved,
)
from remembrancer.domain.facts.evolve import LedgerState, fold
from remembrancer.domain.facts.fact import Evidence, Fact, FactId, FactStatus, Interval, MessageId
from remembrancer.domain.ports.fact_store import FactQuery, Order
from remembrancer.domain.recorded import Append
from remembrancer.domain.scope import LedgerId, Scope
from remembrancer.testing.audit_log import NOON, append_of, new_id
from remembrancer.testing.graph_histories import spans

OWNERS = ("alice", "bob")
LEDGERS = [LedgerId(f"user:{owner}") for owner in OWNERS]
FACTS = {owner: [FactId(f"{owner[0]}{n}".rjust(32, "0")) for n in range(3)] for owner in OWNERS}
ANY_FACT = [fact_id for ids in FACTS.values() for fact_id in ids]


@frozen
class Step:
    """One append: the owner, the events, and the time by the writer's clock."""

    owner: str
    events: Sequence[Event]
    at: datetime


moments = st.integers(-3, 12).map(lambda hours: NOON + timedelta(hours=hours))
intervals = st.builds(Interval, start=st.none() | moments, end=st.none() | moments)
evidence = st.lists(
    st.sampled_from(["1", "2", "3"]).map(lambda n: Evidence(message_id=MessageId(n * 32))),
    max_size=2,
    unique=True,
).map(tuple)
texts = st.sampled_from(["tea", "Tea!", "coffee"])
metadata: st.SearchStrategy[dict[str, Any]] = st.sampled_from([{}, {"a": 1}, {"a": [True, None]}])


def scopes(owner: str) -> st.SearchStrategy[Scope]:
    return st.builds(
        Scope,
        user_id=st.just(owner),
        run_id=st.sampled_from([None, "r"]),
        agent_id=st.sampled_from([None, "g"]),
    )


def events(owner: str) -> st.SearchStrategy[Event]:
    """Any event in an owner's ledger, some of them with fact ids of other owners by mistake."""
    about = st.sampled_from(ANY_FACT)
    return st.one_of(
        st.builds(
            FactAdded,
            fact_id=st.sampled_from(FACTS[owner]),
            scope=scopes(owner),
            text=texts,
            metadata=metadata,
            evidence=evidence,
            slot=st.none() | st.just("s"),
            occurred_at=moments,
            valid=intervals,
            expires_at=st.none() | moments,
        ),
        st.builds(
            FactRevised,
            fact_id=about,
            text=st.none() | texts,
            metadata=st.none() | metadata,
            evidence=evidence,
            expires_at=st.none() | moments,
        ),
        st.builds(FactReaffirmed, fact_id=about, evidence=evidence),
        st.builds(FeedbackGiven, fact_id=about, score=st.sampled_from([1, -1])),
        st.builds(FactSuperseded, fact_id=about, by=st.none() | about, ended_at=moments),
        st.builds(FactRetracted, fact_id=about),
        st.builds(FactExpired, fact_id=about),
        st.builds(FactRestored, fact_id=about, to_version=st.integers(0, 4)),
        st.builds(
            FactCorrected,
            fact_id=about,
            version=st.just(1),
            text=st.none() | texts,
            valid=st.none() | spans,
        ),
        st.builds(FactsRivalled, one=about, other=about, slot=st.just("s")),
        st.builds(FactErased, fact_id=about, versions=st.just((1,))),
        scopes(owner).map(
            lambda scope: MessageObserved(
                message=Message(
                    message_id=MessageId(new_id()),
                    scope=scope,
                    role=Role.USER,
                    text="hello",
                    occurred_at=NOON,
                )
            )
        ),
    )


@st.composite
def histories(draw: st.DrawFn) -> list[Step]:
    """Appends to two ledgers, by writers whose clocks may stop or go back."""
    steps: list[Step] = []
    seen: list[MessageId] = []
    for owner in draw(st.lists(st.sampled_from(OWNERS), min_size=1, max_size=10)):
        some = draw(st.lists(events(owner), min_size=1, max_size=4))
        seen += [each.message.message_id for each in some if isinstance(each, MessageObserved)]
        if seen and draw(st.booleans()):
            looked_at = tuple(draw(st.lists(st.sampled_from(seen), max_size=2)))
            some.append(
                InferenceRecorded(
                    purpose="extraction",
                    model="m",
                    prompt_digest="",
                    output="",
                    messages=looked_at,
                )
            )
        steps.append(Step(owner, some, draw(moments)))
    return steps


class InMemory:
    """A log and a fact store in memory."""

    def __init__(self) -> None:
        self.log = InMemoryAuditLog()
        self.facts = InMemoryFactStore()

    def write(self, steps: Sequence[Step]) -> None:
        for step in steps:
            self.facts.apply(self.log.append(append_at(step)).recorded)


class OnSqlite:
    """A log and a fact store on SQLite."""

    def __init__(self) -> None:
        self._database = Database(SqliteSettings(), [create_log])
        self.log = SqliteAuditLog(self._database)
        self.facts = SqliteFactStore(self._database, EventCodec())
        with self._database.transaction() as connection:
            self.facts.create(connection)

    def write(self, steps: Sequence[Step]) -> None:
        for step in steps:
            recorded = self.log.append(append_at(step)).recorded
            with self._database.transaction() as connection:
                self.facts.apply(connection, recorded)


def append_at(step: Step) -> Append:
    append = append_of(step.events, ledger=LedgerId(f"user:{step.owner}"), at=step.at)
    # The clocks of these writers differ by hours.
    return evolve(append, clock_lead=timedelta(days=1))


def stores(steps: Sequence[Step]) -> Iterator[InMemoryFactStore | SqliteFactStore]:
    """Every store, after the steps."""
    for store in (InMemory(), OnSqlite()):
        store.write(steps)
        yield store.facts


def folded(steps: Sequence[Step]) -> dict[LedgerId, LedgerState]:
    """The expected state: the fold of the log after the steps."""
    store = InMemory()
    store.write(steps)
    return {ledger: fold(store.log.read_ledger(ledger)) for ledger in LEDGERS}


# The fold itself


@given(histories(), st.lists(st.integers(0, 40), max_size=5))
def test_fold_in_pages_equals_fold_at_once(steps: list[Step], cuts: list[int]) -> None:
    store = InMemory()
    store.write(steps)
    for ledger in LEDGERS:
        history = store.log.read_ledger(ledger)
        bounds = sorted({0, len(history), *(min(cut, len(history)) for cut in cuts)})
        state = LedgerState()
        for start, end in pairwise(bounds):
            state = fold(history[start:end], state)
        assert state == fold(history)


@given(histories())
def test_fact_versions_have_neither_overlap_nor_gap(
    steps: list[Step],
) -> None:
    for state in folded(steps).values():
        for fact_id, versions in state.facts.items():
            assert [fact.version for fact in versions] == list(range(1, len(versions) + 1))
            assert {fact.fact_id for fact in versions} == {fact_id}
            for before, after in pairwise(versions):
                assert before.recorded.end == after.recorded.start
                assert before.recorded.start is not None
                assert after.recorded.start is not None
                assert before.recorded.start <= after.recorded.start
            assert versions[-1].recorded.end is None
            assert versions[0].created_at == versions[0].recorded.start


@given(histories(), moments, moments, st.none() | moments)
def test_at_most_one_version_of_a_fact_is_visible_at_any_time(
    steps: list[Step], as_of: datetime, now: datetime, valid_at: datetime | None
) -> None:
    for state in folded(steps).values():
        for versions in state.facts.values():
            for known in (as_of, None):
                seen = [v for v in versions if v.visible(now=now, as_of=known, valid_at=valid_at)]
                assert len(seen) <= 1


@given(histories())
def test_only_a_restoration_or_a_correction_follows_an_ended_version(steps: list[Step]) -> None:
    late = (FactRestored, FactCorrected)
    named = {each.fact_id for step in steps for each in step.events if isinstance(each, late)}
    for state in folded(steps).values():
        for fact_id, versions in state.facts.items():
            ended = {fact.status for fact in versions[:-1]} - {FactStatus.ACTIVE}
            assert not ended or fact_id in named


@given(histories())
def test_immutable_fields_are_the_same_in_all_versions(steps: list[Step]) -> None:
    for state in folded(steps).values():
        for first, *later in state.facts.values():
            for fact in later:
                assert (fact.scope, fact.created_at, fact.occurred_at, fact.slot) == (
                    first.scope,
                    first.created_at,
                    first.occurred_at,
                    first.slot,
                )


# The stores


@given(histories())
def test_both_fact_stores_equal_the_fold(steps: list[Step]) -> None:
    states = folded(steps)
    for facts in stores(steps):
        # all versions of all facts
        for state in states.values():
            for fact_id, versions in state.facts.items():
                assert tuple(facts.versions(fact_id)) == versions
        known = {fact_id for state in states.values() for fact_id in state.facts}
        assert all(not facts.versions(fact_id) for fact_id in ANY_FACT if fact_id not in known)
        # and all pending messages
        for ledger, state in states.items():
            assert {m.message_id for m in facts.pending(ledger)} == state.pending
            tally = facts.tally(ledger)
            assert tally.pending == len(state.pending)
            assert tally.versions == sum(map(len, state.facts.values()))
            assert sum(tally.facts.values()) == len(state.facts)


@given(
    histories(),
    st.sampled_from(OWNERS).flatmap(scopes),
    moments,
    st.none() | moments,
    st.none() | moments,
    st.sampled_from(list(Order)),
)
def test_both_fact_stores_list_the_visible_facts_of_the_fold_at_any_time(
    steps: list[Step],
    scope: Scope,
    now: datetime,
    as_of: datetime | None,
    valid_at: datetime | None,
    order: Order,
) -> None:
    query = FactQuery(scope=scope, now=now, as_of=as_of, valid_at=valid_at, order=order)
    expected = listed(folded(steps)[scope.ledger], query)
    for facts in stores(steps):
        assert list(facts.find(query)) == expected


def listed(state: LedgerState, query: FactQuery) -> list[Fact]:
    descending = query.order.value.startswith("-")
    name = query.order.value.lstrip("-")
    return sorted(
        (
            fact
            for versions in state.facts.values()
            for fact in versions
            if query.scope.covers(fact.scope)
            and fact.visible(now=query.now, as_of=query.as_of, valid_at=query.valid_at)
        ),
        key=lambda fact: (getattr(fact, name), fact.fact_id),
        reverse=descending,
    )


@given(histories(), moments)
def test_both_fact_stores_return_the_active_and_due_facts_of_the_fold(
    steps: list[Step], now: datetime
) -> None:
    states = folded(steps)
    for facts in stores(steps):
        for ledger, state in states.items():
            active = [f for f in state.current() if f.status is FactStatus.ACTIVE]
            found = facts.active(ledger, ["TEA"], [])
            assert {f.key for f in found} == {f.key for f in active if f.text in ("tea", "Tea!")}
            found = facts.active(ledger, [], ["s"])
            assert {f.key for f in found} == {f.key for f in active if f.slot == "s"}
            due = {f.key for f in active if f.expires_at is not None and f.expires_at <= now}
            assert {f.key for f in facts.due(ledger, now)} == due


@given(histories(), st.integers(1, 4))
def test_listing_in_pages_equals_listing_at_once(steps: list[Step], size: int) -> None:
    store = OnSqlite()
    store.write(steps)
    facts = store.facts
    for owner in OWNERS:
        for order in Order:
            query = FactQuery(scope=Scope(user_id=owner), now=NOON, order=order, limit=size)
            paged: list[Fact] = []
            while page := facts.find(query):
                paged.extend(page)
                place: datetime = getattr(page[-1], order.value.lstrip("-"))
                query = evolve(query, after=(place, page[-1].fact_id))
            assert paged == list(facts.find(evolve(query, after=None, limit=1000)))
