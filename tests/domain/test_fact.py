"""One version of a fact: its intervals, and the reads in which it is visible."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from itertools import pairwise, product

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from remembrancer.domain.facts.fact import Evidence, Fact, FactId, FactStatus, Interval, MessageId
from remembrancer.domain.scope import Scope

NOON = datetime(2024, 5, 3, 12, 0, tzinfo=UTC)


def hours(number: float) -> datetime:
    return NOON + timedelta(hours=number)


def span(start: float | None, end: float | None) -> Interval:
    return Interval(
        start=None if start is None else hours(start), end=None if end is None else hours(end)
    )


FACT = Fact(
    fact_id=FactId("f" * 32),
    version=1,
    scope=Scope(user_id="alice"),
    text="Alice lives in Paris",
    occurred_at=NOON,
    created_at=NOON,
    recorded=span(0, None),
)


# Interval


@pytest.mark.parametrize(
    ("interval", "inside", "outside"),
    [
        (span(0, 2), [0, 1], [-1, 2, 3]),
        (span(None, 2), [-1000, 1], [2]),
        (span(0, None), [0, 1000], [-1]),
        (span(None, None), [-1000, 0, 1000], []),
        (span(1, 1), [], [0, 1, 2]),
        (span(2, 1), [], [0, 1, 1.5, 2]),
    ],
)
def test_interval_contains_its_start_and_not_its_end(
    interval: Interval, inside: list[float], outside: list[float]
) -> None:
    assert all(interval.contains(hours(moment)) for moment in inside)
    assert not any(interval.contains(hours(moment)) for moment in outside)


@given(st.lists(st.integers(-5, 5), min_size=1, unique=True), st.integers(-6, 6))
def test_consecutive_intervals_contain_every_time_once(cuts: list[int], moment: int) -> None:
    bounds = [None, *sorted(cuts), None]
    spans = [span(start, end) for start, end in pairwise(bounds)]
    assert sum(each.contains(hours(moment)) for each in spans) == 1


def test_times_are_compared_across_time_zones() -> None:
    tokyo = datetime(2024, 5, 3, 21, 0, tzinfo=timezone(timedelta(hours=9)))
    assert span(0, 1).contains(tokyo)


# Visibility. Each table holds the cases of one condition; the last test combines the conditions.

NOW = 10.0

KNOWN = [
    # recorded, as_of, seen
    (span(0, None), None, True),
    (span(0, 5), None, False),
    (span(0, None), -1.0, False),
    (span(0, None), 0.0, True),
    (span(0, None), 7.0, True),
    (span(0, 5), 4.0, True),
    (span(0, 5), 5.0, False),
    (span(3, 3), 3.0, False),
]
STATUSES = [
    (FactStatus.ACTIVE, True),
    (FactStatus.SUPERSEDED, True),
    (FactStatus.RETRACTED, False),
    (FactStatus.EXPIRED, False),
]
EXPIRIES = [(None, True), (NOW + 1, True), (NOW, False), (NOW - 1, False)]
VALID = [
    # valid, valid_at, seen
    (span(None, None), None, True),
    (span(NOW + 5, None), None, True),
    (span(0, NOW + 1), None, True),
    (span(0, NOW), None, False),
    (span(0, 4), None, False),
    (span(None, None), 2.0, True),
    (span(0, 4), 2.0, True),
    (span(0, 4), 4.0, False),
    (span(0, 4), -1.0, False),
    (span(NOW + 5, None), NOW, False),
    (span(NOW + 5, None), NOW + 6, True),
]


def seen(
    recorded: Interval = KNOWN[0][0],
    as_of: float | None = None,
    status: FactStatus = FactStatus.ACTIVE,
    expires: float | None = None,
    valid: Interval = VALID[0][0],
    valid_at: float | None = None,
) -> bool:
    fact = evolve(
        FACT,
        recorded=recorded,
        status=status,
        expires_at=None if expires is None else hours(expires),
        valid=valid,
    )
    return fact.visible(
        now=hours(NOW),
        as_of=None if as_of is None else hours(as_of),
        valid_at=None if valid_at is None else hours(valid_at),
    )


@pytest.mark.parametrize(("recorded", "as_of", "expected"), KNOWN)
def test_version_is_visible_during_its_recorded_interval(
    recorded: Interval, as_of: float | None, expected: bool
) -> None:
    assert seen(recorded=recorded, as_of=as_of) == expected


@pytest.mark.parametrize(("status", "expected"), STATUSES)
def test_retracted_or_expired_fact_is_not_visible(status: FactStatus, expected: bool) -> None:
    assert seen(status=status) == expected


@pytest.mark.parametrize(("expires", "expected"), EXPIRIES)
def test_fact_is_visible_until_it_expires(expires: float | None, expected: bool) -> None:
    assert seen(expires=expires) == expected


@pytest.mark.parametrize(("valid", "valid_at", "expected"), VALID)
def test_valid_at_is_strict_and_without_it_future_facts_are_visible(
    valid: Interval, valid_at: float | None, expected: bool
) -> None:
    assert seen(valid=valid, valid_at=valid_at) == expected


def test_version_is_visible_only_if_all_conditions_hold() -> None:
    for known, status, expiry, valid in product(KNOWN, STATUSES, EXPIRIES, VALID):
        expected = known[2] and status[1] and expiry[1] and valid[2]
        assert seen(known[0], known[1], status[0], expiry[0], valid[0], valid[1]) == expected


def test_as_of_shows_a_fact_that_has_expired_since() -> None:
    fact = evolve(FACT, expires_at=hours(5))
    assert fact.visible(now=hours(4), as_of=hours(4), valid_at=None)
    assert not fact.visible(now=hours(6), as_of=hours(6), valid_at=None)


# Derived values


def test_updated_at_is_the_start_of_the_recorded_interval() -> None:
    assert evolve(FACT, recorded=span(3, None)).updated_at == hours(3)
    assert FACT.key == ("f" * 32, 1)


def test_to_dict_of_a_fact_is_plain_json() -> None:
    fact = evolve(
        FACT,
        metadata={"nested": {"list": [1, None, True]}},
        evidence=(Evidence(message_id=MessageId("e" * 32), quote="Paris"),),
        entities=("Paris",),
        status=FactStatus.SUPERSEDED,
        valid=span(-1, 2),
    )
    shown = json.loads(json.dumps(fact.to_dict()))
    assert shown["status"] == "superseded"
    assert shown["valid"] == {
        "start": "2024-05-03T11:00:00+00:00",
        "end": "2024-05-03T14:00:00+00:00",
    }
    assert shown["updated_at"] == "2024-05-03T12:00:00+00:00"
    assert shown["evidence"] == [{"message_id": "e" * 32, "quote": "Paris"}]
    assert shown["scope"]["user_id"] == "alice"
    assert shown["metadata"] == {"nested": {"list": [1, None, True]}}
