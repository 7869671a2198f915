"""``as_of`` on every read: a time, or ``"@N"``, the ledger's version N."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings

from remembrancer import InvalidRequest, Memory, NotFound
from remembrancer.domain.facts.evolve import fold
from remembrancer.domain.facts.fact import ListedStatus
from remembrancer.testing.bitemporal import NOW, Clock
from remembrancer.testing.depth import scaled
from tests.helpers.random_changes import carry_out, changes, events_of

ANN: Any = {"user_id": "ann"}


def added(memory: Memory, clock: Clock, text: str, **options: Any) -> str:
    """Add one fact, an hour after the last; returns its id."""
    clock.sleep(3600)
    (verdict,) = memory.add(text, **options, **ANN).verdicts
    return str(verdict.fact_id)


def head(memory: Memory) -> str:
    """The present version of Ann's ledger, as ``as_of`` has it."""
    return f"@{memory.stats(**ANN).events}"


READS: dict[str, Callable[..., object]] = {
    "search": lambda memory, fact, **when: memory.search("tea", **when, **ANN).to_dict(),
    "get": lambda memory, fact, **when: memory.get(fact, **when),
    "get_all": lambda memory, fact, **when: memory.get_all(**when, **ANN),
    "history": lambda memory, fact, **when: memory.history(fact, **when),
    "graph": lambda memory, fact, **when: memory.graph("Oslo", **when, **ANN),
    "entities": lambda memory, fact, **when: memory.entities(**when, **ANN),
    "relations": lambda memory, fact, **when: memory.relations("user", **when, **ANN),
    "stats": lambda memory, fact, **when: memory.stats(**when, **ANN),
    "why": lambda memory, fact, **when: memory.audit.why(fact, **when),
}


@pytest.mark.parametrize("read", READS)
def test_a_version_stands_for_the_time_at_which_it_was_recorded(
    read: str, memory: Memory, clock: Clock
) -> None:
    # Given a fact about tea and Oslo, which changed later
    fact = added(memory, clock, "I drink tea.")
    clock.sleep(3600)
    memory.state("user", "lives in", "Oslo", **ANN)
    version, then = head(memory), clock.time
    clock.sleep(3600)
    memory.update(fact, "I drink coffee.")
    memory.state("user", "lives in", "Rome", **ANN)
    # When it is read as of a version, and as of its time
    # Then both say the same, and not what is said now
    assert READS[read](memory, fact, as_of=version) == READS[read](memory, fact, as_of=then)
    assert READS[read](memory, fact, as_of=version) != READS[read](memory, fact)


@pytest.mark.parametrize("read", READS)
@pytest.mark.parametrize(
    ("as_of", "problem"),
    [
        ("@0", "there is no version @0"),
        ("@99", "there is no version @99"),
        ("@", "'@' is not a version"),
        ("@1.5", "'@1.5' is not a version"),
        ("2999-01-01T00:00:00Z", "2999-01-01T00:00:00+00:00 is in the future"),
        (datetime(2024, 1, 1), "is naive"),  # noqa: DTZ001
        ("2024-01-01", "is naive"),
        ("yesterday", "'yesterday' is not an ISO 8601 date and time"),
    ],
    ids=str,
)
def test_as_of_outside_of_the_ledger_is_refused_and_names_the_range(
    read: str, as_of: object, problem: str, clock: Clock
) -> None:
    """Acceptance test 4 of the audit."""
    with Memory(overrides={"clock": clock}) as memory:
        fact = added(memory, clock, "I drink tea.")
        first = clock.time
        memory.state("user", "lives in", "Oslo", **ANN)
        last = memory.stats(**ANN).events
        with pytest.raises(InvalidRequest) as refused:
            READS[read](memory, fact, as_of=as_of)
        assert refused.value.path == "as_of"
        assert problem in str(refused.value)
        if "is not a version" not in problem:
            assert f"user:ann has @1 ({first.isoformat()}) to @{last} (" in str(refused.value)


def test_an_empty_ledger_has_no_version(memory: Memory) -> None:
    with pytest.raises(InvalidRequest, match=r"no version @1\. user:ann has no events yet"):
        memory.get_all(as_of="@1", **ANN)
    with pytest.raises(InvalidRequest, match="is a version of one ledger"):
        memory.stats(as_of="@1")


def test_events_of_one_append_are_one_moment(memory: Memory, clock: Clock) -> None:
    # Given two facts that were appended together with their message
    memory.add("I drink tea. I play chess.", **ANN)
    # Then each version of the append stands for all of it
    for version in range(1, memory.stats(**ANN).events + 1):
        assert len(memory.get_all(as_of=f"@{version}", **ANN)) == 2


def test_the_last_event_can_be_named_by_its_time_if_the_clock_went_back(
    memory: Memory, clock: Clock
) -> None:
    fact = memory.get(added(memory, clock, "I drink tea."))
    clock.sleep(-30)
    assert memory.get_all(as_of=fact.updated_at, **ANN).facts == (fact,)
    assert memory.get_all(as_of=head(memory), **ANN).facts == (fact,)


def test_get_and_history_take_both_times(memory: Memory, clock: Clock) -> None:
    # Given Berlin, which ended in May
    berlin = memory.state("user", "lives in", "Berlin", valid_from="2024-01-01T00:00Z", **ANN)
    fact_id = str(berlin.verdicts[0].fact_id)
    known = head(memory)
    clock.sleep(3600)
    memory.end(fact_id, at="2024-05-01T00:00Z")
    # Then a read as of before has one version, which holds in June; the other does not
    june = "2024-06-01T00:00Z"
    assert [fact.version for fact in memory.history(fact_id)] == [1, 2]
    assert [fact.version for fact in memory.history(fact_id, as_of=known)] == [1]
    assert [fact.version for fact in memory.history(fact_id, valid_at=june)] == [1]
    assert memory.history(fact_id, valid_at="2023-01-01T00:00Z") == []
    assert memory.get(fact_id, as_of=known, valid_at=june).version == 1
    with pytest.raises(NotFound, match="does not hold at 2024-06-01"):
        memory.get(fact_id, valid_at=june)
    early = NOW - timedelta(days=1)
    for read in (memory.get, memory.history):
        with pytest.raises(NotFound, match="was not known at"):
            read(fact_id, as_of=early)


def test_ended_facts_of_any_time_are_listed_by_status(memory: Memory, clock: Clock) -> None:
    for city, year in (("Berlin", 2001), ("Rome", 2011), ("Oslo", 2021)):
        clock.sleep(3600)
        before = head(memory) if city == "Oslo" else ""
        memory.state("user", "lives in", city, valid_from=f"{year}-01-01T00:00Z", **ANN)
    ended = memory.get_all(status="superseded", order="created_at", **ANN)
    assert [fact.statement and fact.statement.value for fact in ended] == ["Berlin", "Rome"]
    assert len(memory.search("Where do I live?", status="superseded", **ANN)) == 2
    held = memory.get_all(status="superseded", valid_at="2012-01-01T00:00Z", **ANN)
    assert [fact.statement and fact.statement.value for fact in held] == ["Rome"]
    assert len(memory.get_all(status="superseded", as_of=before, **ANN)) == 1


def test_a_page_counts_all_pages_if_asked(memory: Memory, clock: Clock) -> None:
    for number in range(5):
        added(memory, clock, f"I know {number} languages by heart.", infer=False)
    page = memory.get_all(limit=2, total=True, **ANN)
    assert (len(page), page.total, memory.get_all(limit=2, **ANN).total) == (2, 5, None)
    # And later facts change neither the pages nor their count
    added(memory, clock, "I play chess.")
    assert memory.get_all(limit=2, cursor=page.cursor, total=True, **ANN).total == 5
    assert memory.get_all(total=True, filters={"text": {"contains": "chess"}}, **ANN).total == 1
    assert memory.get_all(total=True, as_of="@1", **ANN).total == 1
    assert memory.get_all(total=True, user_id="bob").total == 0
    with pytest.raises(InvalidRequest, match="total: expected true or false"):
        memory.get_all(total="yes", **ANN)  # type: ignore[arg-type]


def test_statistics_of_the_past_are_what_they_were(memory: Memory, clock: Clock) -> None:
    # Given the counts after each change, of Ann and of all
    told: list[tuple[datetime, Any, Any]] = []

    def note() -> None:
        clock.sleep(60)
        told.append((clock.time, memory.stats(**ANN), memory.stats()))
        clock.sleep(60)

    for change in (
        lambda: added(memory, clock, "I live in Berlin."),
        lambda: added(memory, clock, "I moved to Rome."),
        lambda: memory.add("I play chess.", user_id="bob"),
        lambda: memory.delete_all(user_id="bob"),
    ):
        change()
        note()
    # When they are counted as of then, Then they are the same
    for then, of_ann, of_all in told:
        for now, before in (
            (memory.stats(as_of=then, **ANN), of_ann),
            (memory.stats(as_of=then), of_all),
        ):
            for name in ("events", "facts", "versions", "messages", "pending", "usage"):
                assert getattr(now, name) == getattr(before, name), name
    assert memory.stats(as_of=datetime(2000, 1, 1, tzinfo=UTC)).events == 0


def test_listing_of_a_version_equals_the_fold_of_the_versions_until_then(
    memory: Memory, clock: Clock
) -> None:
    """Acceptance test 2 of the audit."""

    @settings(max_examples=scaled(15), deadline=None)
    @given(changes)
    def agree(steps: list[tuple[Any, ...]]) -> None:
        user = uuid.uuid4().hex
        carry_out(steps, memory, clock, user)
        read = events_of(memory, user)
        for item in read:
            at = item.recorded_at
            state = fold(each for each in read if each.recorded_at <= at)
            for status in (None, *ListedStatus):
                page = memory.get_all(
                    user_id=user, as_of=f"@{item.version}", status=status, limit=1000, total=True
                )
                expected = {
                    fact.key
                    for fact in state.current()
                    if fact.listed(status, now=at, as_of=None, valid_at=None)
                }
                assert {fact.key for fact in page} == expected
                assert page.total == len(expected)

    agree()
